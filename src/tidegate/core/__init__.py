"""What every face stands on: the life of one connection, its opening and TLS, without waiting."""

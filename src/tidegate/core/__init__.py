"""What every face stands on: the life of one connection, and its opening, without waiting."""

"""A server under load for minutes: whether anything grows, stalls or is lost. See `__main__`."""

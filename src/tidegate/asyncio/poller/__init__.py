"""A poller inside the event loop: what carries connections on Linux."""

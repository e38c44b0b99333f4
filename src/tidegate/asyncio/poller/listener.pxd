# There are no types to give but for what accepts connections.

from .syscalls cimport accept_connection

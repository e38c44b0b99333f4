"""Bytes to frames to messages and back, compiled: no sockets, no event loop, no HTTP."""

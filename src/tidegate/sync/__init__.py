"""Connections of programs that use threads instead of an event loop."""

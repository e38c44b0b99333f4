"""Counts the instructions that tidegate takes, which a busy machine doesn't change.

A program with servers and clients runs under callgrind. The other ends of its connections are plain
blocking sockets in this process, which do the same each time, and one thing at a time.
"""

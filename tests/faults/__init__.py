"""Faults of networks, operating systems and programs, made for real, on every face.

What is asked of each: what the peer sees, what the program sees, that nothing is left behind, and
that what was acknowledged by a pong or by the closing handshake was delivered, in order.
"""

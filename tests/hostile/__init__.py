"""Peers that do what no decent peer does, against every face: tables of cases, and what is due.

Nothing here speaks WebSocket but `raw`. A table has what is sent, the rule that it breaks or that a
decent library once got wrong, and the exact close code or status that is due; `driver` plays it to
all servers, and to all clients, which `peers` starts as programs of their own.
"""

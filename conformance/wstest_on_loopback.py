"""Autobahn's ``wstest``, kept from listening on any address but 127.0.0.1. Runs on Python 2.7."""

from autobahntestsuite import choosereactor, wstest  # noqa: F401 (the first installs the reactor)
from twisted.internet import reactor

listen_anywhere = reactor.listenTCP


def listen_on_loopback(port, factory, backlog=50, interface=""):
    return listen_anywhere(port, factory, backlog, "127.0.0.1")


reactor.listenTCP = listen_on_loopback
wstest.run()

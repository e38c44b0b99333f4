"""Clients: arguments, reconnecting, defaults."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Generator

from tidegate import (
    Client,
    ClientConnection,
    ConnectionEvent,
    Listener,
    Origin,
    Subprotocol,
    connect,
    unix_connect,
)


def told(event: ConnectionEvent) -> None:
    print(event)


def delays() -> Generator[float]:
    yield 1.0


def endless() -> Generator[str]:
    yield "1s"


def again(exc: Exception) -> Exception | None:
    return None if isinstance(exc, OSError) else exc


class Verbose(ClientConnection):
    async def wait_closed(self) -> None:
        print("closing")
        await super().wait_closed()


class Printer(Listener):
    def on_close(self, exc: Exception) -> None:
        print(exc)


async def main() -> None:
    context = ssl.create_default_context()
    connect("wss://example.com/", ssl=context, server_hostname="example.com")
    connect("ws://example.com/", origin=Origin("http://example.com"), compression=None)
    connect("ws://example.com/", subprotocols=[Subprotocol("chat")], additional_headers={"X": "y"})
    connect("ws://example.com/", additional_headers=[("X", "y"), ("X", "z")])
    connect("ws://example.com/", proxy="socks5h://proxy.example:1080", proxy_loopback=True)
    connect("ws://example.com/", process_exception=again, reconnect_delays=delays, on_event=told)
    connect("ws://example.com/", create_connection=Verbose, listener=Printer)
    connect("ws://example.com/", logger=logging.getLogger("mine"), open_timeout=None)
    connect("ws://example.com/", max_size=None, max_queue=(16, 4), write_limit=(1000, None))
    unix_connect("/run/sluices.sock", "ws://sluices/", open_timeout=1.5)
    client = Client(proxy="http://proxy.example:3128", open_timeout=5)
    async with client.connect("ws://example.com/") as connection:
        await connection.send("text")
    connect(b"ws://example.com/")  # wrong
    connect("ws://example.com/", "http://example.com")  # wrong
    connect("ws://example.com/", additional_headers=["X: y"])  # wrong
    connect("ws://example.com/", max_size="1MB")  # wrong
    connect("ws://example.com/", open_timeot=5)  # wrong
    connect("ws://example.com/", ssl="cert.pem")  # wrong
    connect("ws://example.com/", reconnect_delays=endless)  # wrong
    connect("ws://example.com/", create_connection=dict)  # wrong
    connect("ws://example.com/", extra_headers={})  # wrong
    async for another in connect("ws://example.com/"):
        another.sned("text")  # wrong

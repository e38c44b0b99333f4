"""tidegate's callback API, with default settings."""

from __future__ import annotations

from tidegate.asyncio.connection import Connection
from tidegate.asyncio.listener import Listener
from tidegate.asyncio.server import broadcast, serve, unix_serve
from tidegate.exceptions import ConnectionClosed

from . import common

receivers: set[Connection] = set()


class Server(Listener):
    """Does what the path of the connection asks for."""

    def on_open(self) -> None:
        request = self.connection.request
        assert request is not None
        if request.path == "/receive":
            receivers.add(self.connection)
        elif request.path == "/trigger":
            self.on_message = self.trigger  # type: ignore[method-assign]

    def on_message(self, message: str | bytes) -> None:
        self.connection.send_nowait(message)

    def trigger(self, message: str | bytes) -> None:
        broadcast(receivers, message)

    def on_close(self, exc: ConnectionClosed) -> None:
        receivers.discard(self.connection)


async def main(options: common.Options) -> None:
    if options.unix:
        server = await unix_serve(Server, options.unix, ssl=options.tls)
    else:
        server = await serve(Server, common.HOST, options.port, ssl=options.tls)
    common.announce(server, options)
    await server.serve_forever()


if __name__ == "__main__":
    common.run(main)

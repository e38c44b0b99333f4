"""Servers: handlers, hooks, listeners and routes."""

from __future__ import annotations

import http
from collections.abc import Sequence

from werkzeug.routing import Map, Rule

from tidegate import (
    Limits,
    Listener,
    Request,
    Response,
    ServerConnection,
    Subprotocol,
    basic_auth,
    broadcast,
    route,
    serve,
    unix_serve,
)


async def handler(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def with_path(connection: ServerConnection, path: str) -> None:
    await connection.send(path)


def not_async(connection: ServerConnection) -> None:
    connection.send_nowait("text")


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    return connection.respond(http.HTTPStatus.FORBIDDEN, request.path)


async def refuse_later(connection: ServerConnection, request: Request) -> Response | None:
    return refuse(connection, request)


def refuse_as_before(path: str, headers: dict[str, str]) -> None:
    print(path, headers)


def respond_with_number(connection: ServerConnection, request: Request) -> int:
    return 403


def change(connection: ServerConnection, request: Request, response: Response) -> None:
    response.headers["Server"] = request.headers.get("Host", "")


def choose(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


def choose_number(connection: ServerConnection, offered: Sequence[Subprotocol]) -> int:
    return len(offered)


class Echo(Listener):
    def on_message(self, message: str | bytes) -> None:
        self.connection.send_nowait(message)
        self.connection.send_nowit(message)  # wrong


class TextOnly(Listener):
    def on_message(self, message: str) -> None:  # wrong
        print(message)


async def check(username: str, password: str) -> bool:
    return username == password


async def main() -> None:
    async with serve(handler, "localhost", 8765) as server:
        port: int = server.sockets[0].getsockname()[1]
        broadcast(server.connections, "text")
        broadcast(server.connections, {"type": "text"})  # wrong
        print(port)
        await server.serve_forever()
    serve(Echo, None, 0, limits=Limits(connections=10))
    serve(TextOnly, None, 0)
    serve(handler, ["127.0.0.1", "::1"], 0, process_request=refuse, process_response=change)
    serve(handler, process_request=refuse_later, select_subprotocol=choose)
    serve(handler, process_request=basic_auth("sluices", ("keeper", "secret")))
    serve(handler, process_request=basic_auth("sluices", check_credentials=check))
    serve(handler, subprotocols=[Subprotocol("chat")], max_size=(2**20, None), max_queue=4)
    serve(handler, ssl=None, reuse_port=True, start_serving=False)
    unix_serve(handler, "/run/sluices.sock")
    unix_serve(Echo, "/run/sluices.sock")
    serve(with_path)  # wrong
    serve(not_async)  # wrong
    serve(handler, port="8765")  # wrong
    serve(handler, process_request=refuse_as_before)  # wrong
    serve(handler, process_request=respond_with_number)  # wrong
    serve(handler, process_response=refuse)  # wrong
    serve(handler, select_subprotocol=choose_number)  # wrong
    serve(handler, origins="http://example.com")  # wrong
    serve(handler, max_size="1MB")  # wrong
    serve(handler, ping_intervall=20)  # wrong
    serve(handler, reuse_port="yes")  # wrong
    serve(handler, extra_headers={})  # wrong
    unix_serve(with_path)  # wrong


async def routes() -> None:
    url_map = Map([Rule("/<name>", endpoint=with_path)])
    async with route(url_map, "localhost", 8765, process_request=refuse) as server:
        await server.serve_forever()
    route(url_map, None, 0, ssl=True)
    route(url_map, "localhost", "8765")  # wrong
    route([with_path])  # wrong

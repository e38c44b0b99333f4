"""What is known about a connection."""

from __future__ import annotations

import ssl
import uuid

import tidegate
from tidegate import ClientConnection, ConnectionClosed, ServerConnection


def addresses(connection: ServerConnection) -> str:
    host, port = connection.remote_address
    if connection.proxy_header is not None:
        tlvs: list[tuple[int, bytes]] = [*connection.proxy_header.tlvs]
        print(tlvs, connection.proxy_header.no_such)  # wrong
    named: str = connection.local_address[0]
    no_text: int = connection.remote_address  # wrong
    connection.peer_address.host  # wrong  # noqa: B018
    return f"{host}:{port} {named} {no_text}"


def tls(connection: ClientConnection) -> bool:
    connection.transport.pause_reading()
    connection.transport.pause_raeding()  # wrong
    name: str = connection.transport  # wrong
    tls_object = connection.transport.get_extra_info("ssl_object")
    return name == "" or isinstance(tls_object, ssl.SSLObject)


def others(connection: ServerConnection) -> None:
    if connection.request is not None:
        path: str = connection.request.path
        agent: str | None = connection.request.headers.get("User-Agent")
        surely: str = connection.request.headers["Host"]
        print(path, agent, surely)
    connection.request.path  # wrong  # noqa: B018
    identifier: uuid.UUID = connection.id
    name: str = connection.username
    server: tidegate.Server = connection.server
    latency: float = connection.latency
    state: tidegate.State = connection.state
    code: str = connection.close_code  # wrong
    protocol: tidegate.Subprotocol | None = connection.subprotocol
    print(identifier, name, server, latency, state, code, protocol)


def closed(exc: ConnectionClosed) -> None:
    code: int | None = exc.rcvd.code if exc.rcvd is not None else None
    exc.rcvd.code  # wrong  # noqa: B018
    print(code)

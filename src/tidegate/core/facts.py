"""What can be known of a connection, whatever its face."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING, Any

from ..typing import BytesLike

if TYPE_CHECKING:
    import uuid

    from ..exceptions import ConnectionClosed
    from ..http11 import Request, Response
    from ..protocol import Protocol
    from ..typing import Address, Subprotocol
    from .life import Life
    from .tally import ConnectionStats

__all__ = ["Facts", "log_connection", "payload"]


class Facts:
    """Properties of a connection; a face's connection is a `Link` as well."""

    if TYPE_CHECKING:
        protocol: Protocol
        life: Life

        def closed_error(self) -> ConnectionClosed: ...

        def counters(self) -> tuple[int, int, int, int, int]: ...

    request: Request | None = None
    response: Response | None = None
    # Who is connected to whom, if proxies said so: `tidegate.proxyprotocol.Endpoints`.
    endpoints: Any = None

    def socket_address(self, which: str) -> Address:
        """Give an address of the socket: ``"sockname"`` or ``"peername"``; None without one."""

    @property
    def id(self) -> uuid.UUID:
        """A unique identifier of the connection, for logs."""
        return self.protocol.id

    @property
    def stats(self) -> ConnectionStats:
        """What the connection has done so far, in messages and bytes."""
        from .tally import ConnectionStats

        return ConnectionStats(*self.counters())

    @property
    def local_address(self) -> Address:
        """Local address: ``(host, port)`` for IPv4, longer for IPv6, a path for Unix sockets.

        Behind a load balancer that is trusted, the address that the client connected to. None
        before the connection is established.
        """
        if self.endpoints is not None:
            return self.endpoints.local_address
        return self.socket_address("sockname")

    @property
    def remote_address(self) -> Address:
        """Remote address, in the form of `local_address`.

        Behind a load balancer that is trusted, the client's.
        """
        if self.endpoints is not None:
            return self.endpoints.remote_address
        return self.socket_address("peername")

    @property
    def peer_address(self) -> Address:
        """Address at the other end of the socket, the load balancer's if there is one."""
        return self.socket_address("peername")

    @property
    def proxy_header(self) -> Any:
        """The PROXY protocol header that the connection began with, None if there was none."""
        return None if self.endpoints is None else self.endpoints.header

    @property
    def ping_interval(self) -> float | None:
        """Time between keepalive pings in seconds; None for none."""
        return self.life.ping_interval

    @ping_interval.setter
    def ping_interval(self, seconds: float | None) -> None:
        self.life.ping_interval = seconds

    @property
    def ping_timeout(self) -> float | None:
        """How long to wait for a sign of life after a ping, in seconds; None for ever."""
        return self.life.ping_timeout

    @ping_timeout.setter
    def ping_timeout(self, seconds: float | None) -> None:
        self.life.ping_timeout = seconds

    @property
    def close_timeout(self) -> float | None:
        """How long closing may take, in seconds; None for ever."""
        return self.life.close_timeout

    @close_timeout.setter
    def close_timeout(self, seconds: float | None) -> None:
        self.life.close_timeout = seconds

    @property
    def subprotocol(self) -> Subprotocol | None:
        """The subprotocol that was negotiated, None if there is none."""
        return self.protocol.subprotocol

    @property
    def close_code(self) -> int | None:
        """The code of the Close frame that was received, 1006 if the connection was lost.

        None before the connection is closed.
        """
        return self.protocol.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason in the Close frame that was received, ``""`` if there was none.

        None before the connection is closed.
        """
        return self.protocol.close_reason

    @property
    def close_exc(self) -> ConnectionClosed:
        """The exception that says how the connection was closed."""
        return self.closed_error()


def log_connection(connection: Any) -> None:
    """Have the log records of a connection's protocol say whose they are."""
    protocol = connection.protocol
    if protocol.informs:
        # The protocol doesn't keep the connection.
        extra = {"websocket": weakref.proxy(connection)}
        protocol.logger = logging.LoggerAdapter(protocol.logger, extra)


def payload(data: Any) -> bytes:
    """Give the payload for a ping or a pong.

    Raises:
        TypeError: if it is neither text nor bytes.

    """
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, BytesLike):
        return bytes(data)
    raise TypeError("data must be str or bytes-like")

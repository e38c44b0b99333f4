"""The client of the older API."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Literal

from ..asyncio.client import connect as connect_newer
from ..asyncio.options import refuse_unknown_client
from ..client import (
    BACKOFF_FACTOR,
    BACKOFF_INITIAL_DELAY,
    BACKOFF_MAX_DELAY,
    BACKOFF_MIN_DELAY,
    ClientProtocol,
    backoff,
    is_about_file,
    is_certificate_error,
)
from ..core.arguments import check_headers, check_limits, check_seconds
from ..core.dialling import REDIRECTS
from ..exceptions import InvalidHeader, InvalidStatus
from ..http11 import USER_AGENT
from ..protocol import LOGGERS, Side
from ..uri import WebSocketURI
from .checks import check_factory, refuse_newer_arguments, take_older_arguments
from .coated import CoatedClientConnection
from .exceptions import InvalidStatusCode, RedirectHandshake
from .http import with_surrogates
from .protocol import WebSocketCommonProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from types import TracebackType

    from ..datastructures import HeadersLike
    from ..extensions.base import ClientExtensionFactory
    from ..protocol import Protocol
    from ..typing import LoggerLike, Origin, PathLike, Subprotocol

__all__ = ["Connect", "WebSocketClientProtocol", "connect", "unix_connect"]

# Stands for the URI of a connection until its opening handshake says which it is.
NOWHERE = WebSocketURI(False, "", 0, "", "")


class WebSocketClientProtocol(WebSocketCommonProtocol):
    """The client's end of a connection. See `WebSocketCommonProtocol`.

    `connect` makes them; a subclass can be given to it as ``create_protocol``.

    Args:
        logger: where to log; the default is ``tidegate.client``.
        origin: value of the Origin header.
        extensions: extensions to offer, the preferred first.
        subprotocols: subprotocols to offer, the preferred first.
        extra_headers: headers to add to the request.
        user_agent_header: value of the User-Agent header; None for none.
        **kwargs: the arguments of `WebSocketCommonProtocol`.

    """

    is_client = True
    side = "client"

    _coated: CoatedClientConnection

    def __init__(
        self,
        *,
        logger: LoggerLike | None = None,
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        extra_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        **kwargs: Any,
    ) -> None:
        super().__init__(logger=logger, **kwargs)
        self.origin = origin
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.extra_headers = extra_headers
        self.user_agent_header = user_agent_header

    @classmethod
    def default_logger(cls) -> LoggerLike:
        return LOGGERS[Side.CLIENT]

    def coated(self, max_size: int | None, logger: LoggerLike, **options: Any) -> Any:
        protocol = ClientProtocol(NOWHERE, max_size=max_size, logger=logger)
        return CoatedClientConnection(protocol, **options)

    async def handshake(
        self,
        wsuri: WebSocketURI,
        origin: Origin | None = None,
        available_extensions: Sequence[ClientExtensionFactory] | None = None,
        available_subprotocols: Sequence[Subprotocol] | None = None,
        extra_headers: HeadersLike | None = None,
    ) -> None:
        """Do the opening handshake.

        Args:
            wsuri: the URI, parsed by `tidegate.uri.parse_uri`.
            origin: value of the Origin header.
            available_extensions: extensions to offer, the preferred first.
            available_subprotocols: subprotocols to offer, the preferred first.
            extra_headers: headers to add to the request.

        Raises:
            InvalidHandshake: if the server doesn't accept the connection.
            ConnectionError: if the connection is lost meanwhile.

        """
        connection = self._coated
        protocol = connection.protocol
        protocol.uri = wsuri
        protocol.origin = origin
        protocol.available_extensions = available_extensions
        protocol.available_subprotocols = available_subprotocols
        try:
            await connection.shake_hands(extra_headers, self.user_agent_header)
        except InvalidStatus as exc:
            headers = with_surrogates(exc.response.headers)
            if exc.response.status_code in REDIRECTS:
                locations = headers.get_all("Location")
                if len(locations) == 1:
                    raise RedirectHandshake(locations[0]) from exc
                if exc.response.status_code != 300:
                    value = "multiple values" if locations else None
                    raise InvalidHeader("Location", value) from exc
            raise older(exc) from exc
        finally:
            if connection.request is not None:
                self.path = connection.request.path
                self.request_headers = with_surrogates(connection.request.headers)
            if connection.response is not None:
                self.response_headers = with_surrogates(connection.response.headers)
        self.origin = origin
        self.extensions = protocol.extensions
        self.subprotocol = protocol.subprotocol


class Connect(connect_newer):
    """Connect to a WebSocket server.

    Await it, use it as a context manager, which closes the connection at its end, or iterate over
    it to reconnect::

        async with connect("wss://example.com/") as websocket:
            ...

        async for websocket in connect("wss://example.com/"):
            try:
                ...
            except ConnectionClosed:
                continue

    Args:
        uri: where to connect, ``ws://`` or ``wss://``.
        create_protocol: subclass of `WebSocketClientProtocol` to use, or a function with its
            arguments.
        logger: where to log; the default is ``tidegate.client``.
        compression: ``"deflate"`` enables permessage-deflate, None disables it.
        origin: value of the Origin header, for servers that require one.
        extensions: extensions to offer, the preferred first.
        subprotocols: subprotocols to offer, the preferred first.
        extra_headers: headers to add to the request.
        user_agent_header: value of the User-Agent header; None for none.
        proxy: URL of the proxy to use; True to find one in the environment and the settings of
            the operating system; None for none.
        open_timeout: how long connecting may take, opening handshake included, in seconds; None
            for no limit.
        ping_interval: time between keepalive pings in seconds; None for none.
        ping_timeout: how long to wait for any sign of life after one, in seconds; None for ever.
        close_timeout: how long closing may take, in seconds; 10 by default.
        max_size: limit on incoming messages in bytes, after decompression; None for no limit.
        max_queue: how many messages may wait to be received before reading stops; None for no
            limit.
        read_limit: accepted for programs that give it; see `WebSocketCommonProtocol`.
        write_limit: size of the write buffer in bytes from which on ``send`` waits.
        **kwargs: given to `asyncio.loop.create_connection`: ``ssl``, ``server_hostname``,
            ``host`` and ``port`` to connect to somewhere else than the URI says, where the
            certificate still has to be that of the URI's host, ``sock`` and so on; with ``path``,
            of a Unix socket, to `asyncio.loop.create_unix_connection`.
            Deprecated: ``klass`` is ``create_protocol``, ``timeout`` is ``close_timeout``,
            ``legacy_recv`` has ``recv`` return None at the end, ``loop`` is the running loop.

    Raises:
        InvalidURI: if the URI isn't valid.
        OSError: if the TCP connection fails.
        InvalidHandshake: if the opening handshake fails.
        TimeoutError: if connecting takes longer than ``open_timeout``.
        TypeError: if an argument is of the newer API, or ``create_protocol`` can't be called as it
            will be.

    """

    # Programs change them on the class.
    BACKOFF_INITIAL = BACKOFF_INITIAL_DELAY
    BACKOFF_MIN = BACKOFF_MIN_DELAY
    BACKOFF_MAX = BACKOFF_MAX_DELAY
    BACKOFF_FACTOR = BACKOFF_FACTOR

    protocol: WebSocketClientProtocol

    def __init__(
        self,
        uri: str,
        *,
        create_protocol: Callable[..., WebSocketClientProtocol] | None = None,
        logger: LoggerLike | None = None,
        compression: str | None = "deflate",
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        extra_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: str | Literal[True] | None = True,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = None,
        max_size: int | None = 2**20,
        max_queue: int | None = 2**5,
        read_limit: int = 2**16,
        write_limit: int = 2**16,
        **kwargs: Any,
    ) -> None:
        refuse_newer_arguments("connect", "WebSocketClientProtocol", kwargs)
        refuse_unknown_client(kwargs, Connect, connect_newer)
        older = take_older_arguments("connect", kwargs)
        klass = older.pop("klass", None)
        create_protocol = create_protocol or klass or WebSocketClientProtocol
        self._loop = older.get("loop")
        if "path" in kwargs and kwargs["path"] is None:
            del kwargs["path"]
        elif "path" in kwargs:
            kwargs["unix"] = True
        super().__init__(
            uri,
            extensions=extensions,
            subprotocols=subprotocols,
            compression=compression,
            # Headers that can't be sent are found now.
            additional_headers=(
                None if extra_headers is None else check_headers(extra_headers=extra_headers)
            ),
            user_agent_header=user_agent_header,
            proxy=proxy,
            process_exception=process_exception,
            open_timeout=open_timeout,
            reconnect_delays=functools.partial(delays_of, type(self)),
            logger=logger,
            **kwargs,
        )
        self.create_protocol = create_protocol
        check_limits(max_size=max_size, max_queue=max_queue, write_limit=write_limit)
        check_seconds(
            ping_interval=ping_interval, ping_timeout=ping_timeout, close_timeout=close_timeout
        )
        self.protocol_options = {
            "origin": origin,
            "extensions": self.protocol_kwargs["extensions"],
            "subprotocols": subprotocols,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
            "max_size": max_size,
            "max_queue": max_queue,
            "read_limit": read_limit,
            "write_limit": write_limit,
            "host": kwargs.get("host", self.ws_uri.host),
            "port": kwargs.get("port", self.ws_uri.port),
            "secure": self.ws_uri.secure,
            **older,
        }
        # A factory that was written before these existed doesn't know them.
        if logger is not None:
            self.protocol_options["logger"] = logger
        if user_agent_header != USER_AGENT:
            self.protocol_options["user_agent_header"] = user_agent_header
        check_factory(
            create_protocol,
            WebSocketClientProtocol,
            (),
            {**self.protocol_options, "extra_headers": extra_headers},
        )

    def factory(self) -> CoatedClientConnection:
        protocol = self.create_protocol(
            extra_headers=self.additional_headers, **self.protocol_options
        )
        protocol._coated.protocol.uri = self.ws_uri
        # The transport calls it directly; the coat is between it and the program only.
        return protocol._coated

    async def connect(self) -> Any:
        """Connect, following redirects."""
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise RuntimeError("loop= is another event loop than the one that runs")
        try:
            connection: Any = await super().connect()
        except InvalidStatus as exc:
            # The time was up before its body ended.
            raise older(exc) from exc
        coat: WebSocketClientProtocol | None = connection.coat
        if coat is None:
            # It was closed already.
            raise connection.closed_error()
        self.protocol = coat
        return coat

    def protocol_of(self, connection: Any) -> Protocol:
        coated: CoatedClientConnection = connection._coated
        return coated.protocol

    def process_redirect(self, exc: Exception) -> Exception | str:
        if isinstance(exc, RedirectHandshake) and isinstance(exc.__cause__, InvalidStatus):
            return super().process_redirect(exc.__cause__)
        return exc

    async def __aenter__(self) -> Any:
        return await self.connect()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.protocol.close()


connect = Connect


def older(exc: InvalidStatus) -> InvalidStatusCode:
    """Give the exception that the older API has for a refusal."""
    return InvalidStatusCode(exc.response.status_code, with_surrogates(exc.response.headers))


def delays_of(cls: type[Connect]) -> Generator[float]:
    """Give delays between attempts to reconnect, in seconds, without end."""
    return backoff(cls.BACKOFF_INITIAL, cls.BACKOFF_MIN, cls.BACKOFF_MAX, cls.BACKOFF_FACTOR)


def process_exception(exc: Exception) -> Exception | None:
    """Say whether a failure to connect is worth another attempt.

    With the older API everything is, except for a certificate that isn't trusted or is missing, and
    a file that an argument names and that isn't there.

    Args:
        exc: what happened.

    Returns:
        None to try again after a delay, else the exception to raise.

    """
    return exc if is_certificate_error(exc) or is_about_file(exc) else None


def unix_connect(
    path: PathLike | None = None, uri: str = "ws://localhost/", **kwargs: Any
) -> Connect:
    """Connect to a WebSocket server that listens on a Unix socket.

    Args:
        path: file system path of the socket.
        uri: URI of the server; the host is what goes into the Host header.
        **kwargs: the arguments of `connect`.

    """
    return connect(uri=uri, path=path, unix=True, **kwargs)

"""Where a client connects to, redirects included; when it connects again, and who is told.

A face's ``connect`` is a subclass of `Dialling` that knows how to wait.
"""

from __future__ import annotations

import dataclasses
import os
import time
import traceback
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ..client import ClientProtocol
from ..datastructures import Headers, HeadersLike
from ..exceptions import InvalidMessage, InvalidStatus, InvalidURI, SecurityError
from ..extensions.permessage_deflate import enable_client_permessage_deflate
from ..headers import CREDENTIALS, override, refuse_handshake, validate_subprotocols
from ..hints import add_hint, hint_for_time
from ..protocol import CLOSED, LOGGERS, Side
from ..uri import WebSocketURI, decode_uri, parse_uri, tls_name
from .arguments import (
    PROXY_ARGUMENTS,
    TIMES,
    check_extensions,
    check_headers,
    check_limits,
    check_seconds,
    check_tls,
    refuse_older_arguments,
)
from .checks import check_connection_class, check_function
from .tracing import tell, tracers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from ..extensions.base import ClientExtensionFactory
    from ..protocol import Protocol
    from ..typing import LoggerLike, Origin, Subprotocol
    from .listener import Listener

MAX_REDIRECTS = int(os.environ.get("TIDEGATE_MAX_REDIRECTS", "10"))

# How long a connection has to last for the delays to begin anew if the peer ends it, in seconds.
BACKOFF_RESET_AFTER = float(os.environ.get("TIDEGATE_BACKOFF_RESET_AFTER", "5"))

# RFC 9110, section 15.4: those that tell where to go instead.
REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})

WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss"}


@dataclasses.dataclass(frozen=True)
class ConnectionEvent:
    """Something that changed while a client connects again and again.

    Args:
        state: ``"connecting"``: an attempt begins; ``"connected"``: it succeeded;
            ``"disconnected"``: the connection was closed; ``"waiting"``: the attempt failed, or the
            peer ended the connection at once, there is another one after ``delay``; ``"failed"``:
            the attempt failed and was the last.
        attempt: number of the attempt since the last success, from 1. What is told of a connection
            has the number of the attempt that made it.
        connection: the connection, when there is one.
        delay: time until the next attempt, in seconds.
        exception: why the attempt failed, or the connection ended.

    """

    state: Literal["connecting", "connected", "disconnected", "waiting", "failed"]
    attempt: int
    connection: Any = None
    delay: float | None = None
    exception: Exception | None = None


class Reconnection:
    """The attempts of one client to connect.

    Args:
        delays: gives a generator of the delays after failures in a row, in seconds.
        limit: how many failures in a row there may be; None for no limit.
        on_event: who is told.

    """

    def __init__(
        self,
        delays: Callable[[], Generator[float]],
        limit: int | None,
        on_event: Callable[[ConnectionEvent], object] | None,
    ) -> None:
        self.make_delays = delays
        self.limit = limit
        self.on_event = on_event
        self.attempt = 0
        self.delays: Generator[float] | None = None
        # When the last attempt succeeded; None if it didn't.
        self.since: float | None = None

    def tell(self, state: Any, **kwargs: Any) -> None:
        """Tell what changed."""
        if self.on_event is not None:
            self.on_event(ConnectionEvent(state, self.attempt, **kwargs))

    def connecting(self) -> None:
        """An attempt begins."""
        if self.since is not None:
            self.since = None
            self.attempt = 0
        self.attempt += 1
        self.tell("connecting")

    def connected(self, connection: Any) -> None:
        """It succeeded."""
        self.since = time.monotonic()
        self.tell("connected", connection=connection)

    def disconnected(self, connection: Any, protocol: Protocol | None = None) -> float | None:
        """The connection was closed; give the time until the next attempt, None for at once.

        Args:
            connection: the connection, as the program has it.
            protocol: its state machine, if it isn't what the connection has as ``protocol``.

        """
        if protocol is None:
            protocol = connection.protocol
        self.tell("disconnected", connection=connection)
        assert self.since is not None
        lasted = time.monotonic() - self.since
        if lasted >= BACKOFF_RESET_AFTER or not is_ended_by_peer(protocol):
            self.delays = None
            return None
        # A server that takes connections to close them, because it is overloaded for example, isn't
        # helped by more of them.
        delay = None if self.delays is None else next(self.delays, None)
        if delay is None:
            self.delays = self.make_delays()
            delay = next(self.delays, 0.0)
        self.tell("waiting", delay=delay, exception=protocol.close_exc)
        return delay

    def failed(self, exc: Exception, verdict: Exception | None) -> float | None:
        """It failed; give the time until the next attempt, None if there is none."""
        delay: float | None = None
        if verdict is None and (self.limit is None or self.attempt < self.limit):
            if self.delays is None:
                self.delays = self.make_delays()
            delay = next(self.delays, None)
        self.tell("failed" if delay is None else "waiting", delay=delay, exception=exc)
        return delay


class Dialling:
    """What a client does to get a connection, but for the waiting.

    Args:
        uri: where to connect.
        connection_class: what the face's connections are.
        connection_options: further arguments for them.
        arguments: of the face's ``connect`` that are about what is below the connection.
        **options: the face's other arguments of ``connect``.

    """

    def __init__(
        self,
        uri: str,
        connection_class: type,
        connection_options: dict[str, Any],
        arguments: dict[str, Any],
        *,
        origin: Origin | None,
        extensions: Sequence[ClientExtensionFactory] | None,
        subprotocols: Sequence[Subprotocol] | None,
        compression: str | None,
        additional_headers: HeadersLike | None,
        user_agent_header: str | None,
        proxy: Any,
        send_proxy_header: Any,
        process_exception: Callable[[Exception], Exception | None],
        open_timeout: float | None,
        reconnect_delays: Callable[[], Generator[float]],
        reconnect_limit: int | None,
        on_event: Callable[[ConnectionEvent], object] | None,
        max_size: int | tuple[int | None, int | None] | None,
        logger: LoggerLike | None,
        create_connection: type | None,
        listener: Callable[[], Listener] | None,
    ) -> None:
        refuse_older_arguments("connect", arguments)
        check_function("on_event", on_event, ("event",))
        check_connection_class(create_connection, connection_class)
        self.uri = uri
        self.ws_uri = parse_uri(uri)
        check_tls(self.ws_uri.secure, arguments)
        self.original_uri = uri
        self.without_credentials = False
        self.redirects = 0
        check_extensions(extensions)
        if subprotocols is not None:
            validate_subprotocols(subprotocols)
        if compression == "deflate":
            extensions = enable_client_permessage_deflate(extensions)
        elif compression is not None:
            raise ValueError(f"unsupported compression: {compression}")
        check_limits(
            max_size=max_size,
            **{
                name: connection_options[name]
                for name in ("max_queue", "write_limit")
                if name in connection_options
            },
        )
        check_seconds(
            open_timeout=open_timeout,
            **{name: connection_options[name] for name in TIMES if name in connection_options},
        )
        # Headers that can't be sent are refused here, before there is a connection.
        if additional_headers is not None:
            headers = check_headers(additional_headers=additional_headers)
            refuse_handshake(headers)
            if isinstance(additional_headers, Iterator):
                # It can't be iterated over again, for a redirect or to reconnect.
                additional_headers = headers
        if user_agent_header is not None:
            Headers({"User-Agent": user_agent_header})
        if origin is not None:
            Headers(Origin=origin)
        self.additional_headers = additional_headers
        self.user_agent_header = user_agent_header
        self.proxy = proxy
        self.send_proxy_header = send_proxy_header
        self.process_exception = process_exception
        self.open_timeout = open_timeout
        self.reconnect_delays = reconnect_delays
        self.reconnect_limit = reconnect_limit
        self.on_event = on_event
        self.logger: LoggerLike = LOGGERS[Side.CLIENT] if logger is None else logger
        self.create_connection: Any = (
            connection_class if create_connection is None else create_connection
        )
        self.protocol_kwargs: dict[str, Any] = {
            "origin": origin,
            "extensions": extensions,
            "subprotocols": subprotocols,
            "max_size": max_size,
            "logger": self.logger,
        }
        self.connection_options = connection_options
        self.proxy_options = {
            name: arguments.pop(name) for name in PROXY_ARGUMENTS if name in arguments
        }
        self.listener = listener
        self.create_connection_kwargs = arguments
        self.connection: Any = None
        # The state machine of the opening handshake, while there is one.
        self.opening: ClientProtocol | None = None

    # Connecting once

    def make_protocol(self) -> ClientProtocol:
        """Make the state machine of one more connection."""
        return ClientProtocol(self.ws_uri, **self.protocol_kwargs)

    def start_over(self) -> None:
        """Begin with the URI that the program gave: redirects aren't remembered."""
        if self.uri != self.original_uri:
            self.uri, self.ws_uri = self.original_uri, parse_uri(self.original_uri)
        self.without_credentials = False
        self.redirects = 0

    def below(self) -> dict[str, Any]:
        """Give the arguments for what is below the connection, TLS being as the URI says."""
        # What redirected here has nothing more to say.
        self.opening = None
        kwargs = self.create_connection_kwargs.copy()
        # A redirect may have led elsewhere.
        check_tls(self.ws_uri.secure, kwargs)
        if self.ws_uri.secure:
            kwargs.setdefault("ssl", True)
            name = kwargs.get("server_hostname")
            kwargs["server_hostname"] = tls_name(self.ws_uri.host if name is None else name)
        return kwargs

    def headers(self) -> HeadersLike | None:
        """Give the headers to add to a request, without what is meant for another origin."""
        if self.additional_headers is None or not self.without_credentials:
            return self.additional_headers
        headers = Headers(self.additional_headers)
        # A Host that a program gives is for the first origin, too.
        for name in CREDENTIALS | {"host"}:
            if name in headers:
                del headers[name]
        return headers

    def follow_redirect(self, exc: Exception) -> None:
        """Connect to where a redirect says the next time, or raise what made the attempt fail."""
        verdict = self.process_redirect(exc)
        self.redirects += 1
        try:
            if verdict is exc:
                raise exc
            if isinstance(verdict, Exception):
                raise verdict from exc
            if self.redirects >= MAX_REDIRECTS:
                raise SecurityError(f"more than {MAX_REDIRECTS} redirects") from None
        finally:
            # Its traceback refers to this frame.
            del exc, verdict

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Say whether a failed opening handshake is a redirect that can be followed.

        Returns:
            The new URI, which then is the one to connect to, or the exception to raise.

        """
        if not (isinstance(exc, InvalidStatus) and exc.response.status_code in REDIRECTS):
            return exc
        locations = exc.response.headers.get_all("Location")
        if len(locations) != 1:
            return exc
        old_uri = self.ws_uri
        location = decode_uri(locations[0])
        try:
            new_uri = urllib.parse.urljoin(self.uri, location)
        except ValueError as exc:
            return InvalidURI(location, str(exc))
        # The request was one of HTTP, so that may be what the answer says.
        scheme, separator, rest = new_uri.partition(":")
        new_uri = WEBSOCKET_SCHEMES.get(scheme, scheme) + separator + rest
        try:
            new_ws_uri = parse_uri(new_uri)
        except InvalidURI as invalid:
            return invalid
        if self.create_connection_kwargs.get("sock") is not None:
            return ValueError(f"cannot follow redirect to {new_uri} with a preexisting socket")
        if old_uri.secure and not new_ws_uri.secure:
            return SecurityError(f"cannot follow redirect to non-secure URI {new_uri}")
        if not is_same_origin(old_uri, new_ws_uri):
            kwargs = self.create_connection_kwargs
            if kwargs.get("unix"):
                return ValueError(
                    f"cannot follow cross-origin redirect to {new_uri} with a Unix socket"
                )
            if kwargs.get("host") is not None or kwargs.get("port") is not None:
                return ValueError(
                    f"cannot follow cross-origin redirect to {new_uri} with an explicit "
                    "host or port"
                )
            self.without_credentials = True
        elif new_ws_uri.user_info is None:
            new_ws_uri.username, new_ws_uri.password = old_uri.username, old_uri.password
        self.uri, self.ws_uri = new_uri, new_ws_uri
        return new_uri

    def refusal(self) -> InvalidStatus | None:
        """Give the server's refusal, if the time is up and only its explanation is missing."""
        return None if self.opening is None else self.opening.known_refusal()

    # Connecting again and again

    def begin_reconnecting(self) -> Reconnection:
        """Give what counts the attempts."""
        return Reconnection(self.reconnect_delays, self.reconnect_limit, self.on_event)

    def protocol_of(self, connection: Any) -> Protocol:
        """Give the state machine of what the program has as a connection."""
        return connection.protocol  # type: ignore[no-any-return]

    def delay_after_end(self, connection: Any, reconnection: Reconnection) -> float | None:
        """Give the time to wait when a connection was closed, None for none."""
        protocol = self.protocol_of(connection)
        delay = reconnection.disconnected(connection, protocol)
        if delay is not None:
            self.logger.info(
                "connection ended at once; reconnecting in %.1f seconds: %s",
                delay,
                protocol.close_exc,
            )
        return delay

    def delay_after(self, exc: Exception, reconnection: Reconnection) -> float:
        """Give the time to wait after an attempt that failed, or raise if it was the last."""
        verdict = self.process_exception(exc)
        delay = reconnection.failed(exc, verdict)
        try:
            if verdict is not None and verdict is not exc:
                raise verdict from exc
            if delay is None:
                raise exc
            self.logger.info(
                "connect failed; reconnecting in %.1f seconds: %s",
                delay,
                traceback.format_exception_only(exc)[0].strip(),
            )
            return delay
        finally:
            # Its traceback refers to this frame.
            del exc, verdict


def send_request(
    link: Any, additional_headers: HeadersLike | None, user_agent_header: str | None
) -> None:
    """Send the request that begins the opening handshake of a client's connection.

    Args:
        link: the connection.
        additional_headers: headers to add to the request.
        user_agent_header: value of the User-Agent header; None for none.

    """
    request = link.request = link.protocol.connect()
    if additional_headers is not None:
        additional_headers = Headers(additional_headers)
        refuse_handshake(additional_headers)
        override(request.headers, additional_headers)
    if user_agent_header is not None:
        request.headers.setdefault("User-Agent", user_agent_header)
    if tracers:
        tell("requesting", link, request)
    link.protocol.send_request(request)
    link.flush()


def raise_opening_error(link: Any) -> None:
    """Raise why the opening handshake of a client's connection failed, if it did."""
    exc, link.protocol.handshake_exc = link.protocol.handshake_exc, None
    if exc is None:
        return
    # The exception refers to this connection, so nothing there refers to it from now on.
    if link.response is not None:
        link.response._exception = None
    try:
        if link.cause is not None and isinstance(exc, InvalidMessage):
            raise exc from link.cause
        raise exc
    finally:
        del exc


def is_ended_by_peer(protocol: Protocol) -> bool:
    """Say whether it was the peer that ended a connection, or the network."""
    if protocol.state is not CLOSED:
        return False
    received, sent = protocol.close_rcvd, protocol.close_sent
    if received is None or sent is None:
        return True
    # An answer has the same code (RFC 6455, section 5.5.1).
    return protocol.close_rcvd_then_sent is True or received.code != sent.code


def timed_out(exc: BaseException | None, uri: WebSocketURI, connected: bool) -> TimeoutError:
    """Give the exception for a time limit of opening, with what is known about how far it came.

    Args:
        exc: what the time limit had raised, if it had.
        uri: the server.
        connected: whether there was a connection, TLS included.

    """
    # If there is a proxy, what was cancelled says it. CPython 3.11.2 has it as the context only.
    cause = None if exc is None else exc.__cause__ or exc.__context__
    notes = getattr(cause, "__notes__", ())
    late = TimeoutError("; ".join(["timed out during opening handshake", *notes]))
    return add_hint(late, hint_for_time(uri, connected))


def is_same_origin(one: WebSocketURI, other: WebSocketURI) -> bool:
    """Say whether two URIs have the same scheme, host and port (RFC 6454, section 5)."""
    return (one.secure, one.host, one.port) == (other.secure, other.host, other.port)

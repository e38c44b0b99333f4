"""The client's side of a connection, as a Sans-I/O state machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .datastructures import Headers, MultipleValuesError
from .exceptions import (
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
    NegotiationError,
    ProxyError,
)
from .headers import (
    build_authorization_basic,
    build_extension,
    build_host,
    build_subprotocol,
    check_lists,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
)
from .hints import add_hint, hint_for_answer, hint_for_status
from .http11 import Request, Response, read_response
from .imports import lazy_import
from .protocol import CLIENT, CONNECTING, OPEN, Protocol, State
from .streams import StreamReader
from .utils import accept_key, causes, generate_key, without_frames

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from .extensions.base import ClientExtensionFactory, Extension
    from .typing import LoggerLike, Origin, Subprotocol
    from .uri import WebSocketURI

__all__ = ["ClientProtocol"]


class ClientProtocol(Protocol):
    """The client's side of a connection, without network.

    Args:
        uri: where to connect, parsed by `tidegate.uri.parse_uri`.
        origin: value of the Origin header.
        extensions: extensions to offer, the preferred first.
        subprotocols: subprotocols to offer, the preferred first.
        state: initial state.
        max_size: limit on incoming messages in bytes; see `Protocol`.
        logger: where to log; the default is ``tidegate.client``.

    """

    def __init__(
        self,
        uri: WebSocketURI,
        *,
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        state: State = CONNECTING,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        logger: LoggerLike | None = None,
    ) -> None:
        super().__init__(CLIENT, state=state, max_size=max_size, logger=logger)
        self.uri = uri
        self.origin = origin
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self.key = generate_key()
        # A response that isn't an upgrade, and what has come of its body.
        self.refusal: Response | None = None
        self.explanation = bytearray()
        if state is CONNECTING:
            self.reader = StreamReader()
            self.parser = self.parse_response()

    def connect(self) -> Request:
        """Make the opening handshake request (RFC 6455, section 4.1).

        Send it with `send_request`. It may be changed before that, for example to add headers.
        """
        headers = Headers()
        headers["Host"] = build_host(self.uri.host, self.uri.port, self.uri.secure)
        if self.uri.user_info is not None:
            headers["Authorization"] = build_authorization_basic(*self.uri.user_info)
        if self.origin is not None:
            headers["Origin"] = self.origin
        headers["Upgrade"] = "websocket"
        headers["Connection"] = "Upgrade"
        headers["Sec-WebSocket-Key"] = self.key
        headers["Sec-WebSocket-Version"] = "13"
        if self.available_extensions:
            headers["Sec-WebSocket-Extensions"] = build_extension(
                [
                    (factory.name, factory.get_request_params())
                    for factory in self.available_extensions
                ]
            )
        if self.available_subprotocols:
            headers["Sec-WebSocket-Protocol"] = build_subprotocol(self.available_subprotocols)
        return Request(self.uri.resource_name, headers)

    def send_request(self, request: Request) -> None:
        """Send the opening handshake request.

        Args:
            request: what `connect` made.

        """
        if self.debug:
            self.logger.debug("> %s %s %s", request.method, request.path, request.protocol)
            self.log_headers(">", request.headers)
        self.frame_writer.append(request.serialize())

    def parse_response(self) -> Generator[None]:
        """Read the handshake response; a generator that yields when it needs more bytes."""
        reader = self.reader
        assert reader is not None
        while not reader.buffer and not reader.eof:
            yield
        beginning = bytes(reader.buffer[:16])
        try:
            response = yield from read_response(reader, self.take_refusal)
        except Exception as exc:
            # That its explanation is cut off doesn't make a refusal less of one.
            refusal = self.known_refusal() if isinstance(exc, EOFError) else None
            if refusal is not None:
                self.handshake_exc = refusal
                self.events.append(refusal.response)
            else:
                self.handshake_exc = InvalidMessage("did not receive a valid HTTP response")
                add_hint(self.handshake_exc, hint_for_answer(self.uri, beginning))
            self.handshake_exc.__cause__ = without_frames(exc)
        else:
            if self.debug:
                self.logger.debug("< HTTP/1.1 %d %s", response.status_code, response.reason_phrase)
                self.log_headers("<", response.headers)
                if response.body:
                    self.logger.debug("< [body] (%d bytes)", len(response.body))
            try:
                self.process_response(response)
            except Exception as exc:
                # Something else than InvalidHandshake comes from an extension of the program's own.
                response._exception = exc
                self.handshake_exc = without_frames(exc)
            self.events.append(response)
            if self.handshake_exc is None:
                self.state = OPEN
                self.start_frames()
                self.receive_frames()
                return
        self.reader = None
        self.send_eof()
        self.frame_reader.stop()

    def take_refusal(self, response: Response) -> None:
        """Keep a response that isn't an upgrade while its body is read."""
        assert self.reader is not None
        self.refusal = response
        self.explanation = self.reader.buffer

    def known_refusal(self) -> InvalidStatus | None:
        """Give the refusal as far as it is known, for those who don't wait for all of its body.

        Returns:
            The exception, with as much of the body as can be told; None if there is none.

        """
        if self.refusal is None:
            return None
        if not self.refusal.body and "Transfer-Encoding" not in self.refusal.headers:
            self.refusal.body = bytes(self.explanation)
        return self.refused(self.refusal)

    def refused(self, response: Response) -> InvalidStatus:
        """Give the exception for a response that isn't an upgrade."""
        hint = hint_for_status(self.uri, response.status_code, response.body)
        return add_hint(InvalidStatus(response), hint)

    def process_response(self, response: Response) -> None:
        """Check a handshake response (RFC 6455, section 4.1).

        Args:
            response: what the server answered.

        Raises:
            InvalidHandshake: if the connection can't be opened; the subclass says why.

        """
        if response.status_code != 101:
            raise self.refused(response)
        headers = response.headers
        check_response_headers(headers, self.key)
        self.extensions = self.process_extensions(headers)
        self.subprotocol = self.process_subprotocol(headers)

    def process_extensions(self, headers: Headers) -> list[Extension]:
        """Check which extensions the server chose (RFC 6455, section 9.1).

        Returns:
            The extensions, in the order of the header.

        Raises:
            InvalidHandshake: if the server chose what wasn't offered.

        """
        accepted: list[Extension] = []
        values = headers.get_all("Sec-WebSocket-Extensions")
        if values and not self.available_extensions:
            raise NegotiationError("no extensions supported")
        for value in values:
            for name, params in parse_extension(value):
                for factory in self.available_extensions or ():
                    if factory.name != name:
                        continue
                    try:
                        extension = factory.process_response_params(params, accepted)
                    except NegotiationError:
                        continue
                    accepted.append(extension)
                    break
                else:
                    raise NegotiationError(
                        f"Unsupported extension: name = {name}, params = {params}"
                    )
        return accepted

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """Check which subprotocol the server chose (RFC 6455, section 1.9).

        Returns:
            The subprotocol, None if the server chose none.

        Raises:
            InvalidHandshake: if the server chose what wasn't offered, or several.

        """
        chosen = [
            subprotocol
            for value in headers.get_all("Sec-WebSocket-Protocol")
            for subprotocol in parse_subprotocol(value)
        ]
        if not chosen:
            return None
        if self.available_subprotocols is None:
            raise NegotiationError("no subprotocols supported")
        if len(chosen) > 1:
            raise InvalidHeader("Sec-WebSocket-Protocol", f"multiple values: {', '.join(chosen)}")
        if chosen[0] not in self.available_subprotocols:
            raise NegotiationError(f"unsupported subprotocol: {chosen[0]}")
        return chosen[0]


def check_response_headers(headers: Headers, key: str) -> None:
    """Check that the headers of a response agree to a WebSocket (RFC 6455, section 4.1).

    Args:
        headers: the headers.
        key: the key in the request.

    Raises:
        InvalidHandshake: if they don't; the subclass says why.

    """
    check_lists(headers)
    options = [
        option for value in headers.get_all("Connection") for option in parse_connection(value)
    ]
    if not any(option.lower() == "upgrade" for option in options):
        raise InvalidUpgrade("Connection", ", ".join(options) if options else None)
    protocols = [
        protocol for value in headers.get_all("Upgrade") for protocol in parse_upgrade(value)
    ]
    if not (len(protocols) == 1 and protocols[0].lower() == "websocket"):
        raise InvalidUpgrade("Upgrade", ", ".join(protocols) if protocols else None)
    try:
        accept = headers["Sec-WebSocket-Accept"]
    except KeyError:
        raise InvalidHeader("Sec-WebSocket-Accept") from None
    except MultipleValuesError:
        raise InvalidHeader("Sec-WebSocket-Accept", "multiple values") from None
    if accept != accept_key(key):
        raise InvalidHeaderValue("Sec-WebSocket-Accept", accept)


BACKOFF_INITIAL_DELAY = float(os.environ.get("TIDEGATE_BACKOFF_INITIAL_DELAY", "5"))
BACKOFF_MIN_DELAY = float(os.environ.get("TIDEGATE_BACKOFF_MIN_DELAY", "3.1"))
BACKOFF_MAX_DELAY = float(os.environ.get("TIDEGATE_BACKOFF_MAX_DELAY", "90.0"))
BACKOFF_FACTOR = float(os.environ.get("TIDEGATE_BACKOFF_FACTOR", "1.618"))


def backoff(
    initial_delay: float = BACKOFF_INITIAL_DELAY,
    min_delay: float = BACKOFF_MIN_DELAY,
    max_delay: float = BACKOFF_MAX_DELAY,
    factor: float = BACKOFF_FACTOR,
) -> Generator[float]:
    """Give delays between attempts to reconnect, in seconds, without end.

    Args:
        initial_delay: the first delay is random, between 0 and this, so that the clients of a
            server that restarts don't come back all at once.
        min_delay: the second delay.
        max_delay: the largest delay.
        factor: how much longer each delay is than the one before.

    """
    import random

    yield random.random() * initial_delay
    delay = min_delay
    while delay < max_delay:
        yield delay
        delay *= factor
    while True:
        yield max_delay


def process_exception(exc: Exception) -> Exception | None:
    """Say whether a failure to connect is worth another attempt.

    It is for network errors and time-outs, and for HTTP 500, 502, 503 and 504. It isn't when the
    same would happen again: a certificate that isn't trusted or is missing, a file that an argument
    names and that isn't there, a wrong address, a refusal.

    Args:
        exc: what happened.

    Returns:
        None to try again after a delay, else the exception to raise.

    """
    # A certificate doesn't become valid by waiting; SSLCertVerificationError is an OSError.
    if is_certificate_error(exc) or is_about_file(exc):
        return exc
    if isinstance(exc, ProxyError):
        return None if exc.transient else exc
    if isinstance(exc, (OSError, TimeoutError)):
        return None
    if isinstance(exc, InvalidMessage) and isinstance(exc.__cause__, EOFError):
        return None
    if isinstance(exc, InvalidStatus) and exc.response.status_code in (500, 502, 503, 504):
        return None
    return exc


def is_about_file(exc: BaseException) -> bool:
    """Say whether an error is about a file, such as certificates under the path given as ``ssl``.

    Errors of the network have no file name, also if a Unix socket isn't there.
    """
    return isinstance(exc, OSError) and exc.filename is not None


# What is in the names of the alerts by which others refuse a certificate, or miss one, such as
# TLSV1_ALERT_UNKNOWN_CA. With TLS 1.2, "handshake failure" is all that they say of one that they
# miss (RFC 5246, section 7.4.6); what else it may mean doesn't end by waiting either.
CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ALERT_HANDSHAKE_FAILURE", "ACCESS_DENIED")


def is_certificate_error(exc: BaseException) -> bool:
    """Say whether TLS failed because of a certificate: the other side's, ours or none of ours."""
    names = ("SSLCertVerificationError", "CertificateError")
    for link in causes(exc):
        if any(kind.__name__ in names for kind in type(link).__mro__):
            return True
        # It is an ssl.SSLError then. With TLS 1.3 it comes when the handshake is done.
        reason = getattr(link, "reason", None) if isinstance(link, OSError) else None
        if isinstance(reason, str) and any(word in reason for word in CERTIFICATE_ALERTS):
            return True
    return False


# What this module had before it was for connections without I/O.
lazy_import(
    globals(),
    deprecated_aliases={
        "USER_AGENT": (".http11", "use tidegate.http11.USER_AGENT"),
        "ClientConnection": (".client:ClientProtocol", "use tidegate.ClientProtocol"),
        "Connect": (".legacy.client", "use tidegate.connect"),
        "WebSocketClientProtocol": (".legacy.client", "use tidegate.ClientConnection"),
        "connect": (".legacy.client", "use tidegate.connect"),
        "unix_connect": (".legacy.client", "use tidegate.unix_connect"),
    },
)

"""The server's side of a connection, as a Sans-I/O state machine."""

from __future__ import annotations

import binascii
import email.utils
import http
import re
import time
from typing import TYPE_CHECKING

from .datastructures import Headers, MultipleValuesError
from .exceptions import (
    HeaderLineTooLong,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidUpgrade,
    NegotiationError,
    RequestLineTooLong,
    SecurityError,
    TooManyHeaders,
)
from .headers import (
    build_extension,
    check_lists,
    parse_connection,
    parse_extension,
    parse_subprotocol,
    parse_upgrade,
)
from .http11 import Request, Response, check_no_body, parse_usual_request, read_request
from .imports import lazy_import
from .protocol import CONNECTING, OPEN, SERVER, Protocol, State
from .streams import StreamReader
from .utils import accept_key, without_frames
from .wire.heads import accept_usual_key, key_of_usual_upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from .extensions.base import Extension, ServerExtensionFactory
    from .typing import ExtensionHeader, LoggerLike, Origin, StatusLike, Subprotocol

__all__ = ["ServerProtocol"]

# RFC 3986, section 3.2.2, and a port: what a Host header says, which may be nothing.
is_host = re.compile(
    r"(?:[-._~0-9A-Za-z!$&'()*+,;=%]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"
).fullmatch
# What each answer has that accepts a connection.
UPGRADE_ITEMS = (("Upgrade", "websocket"), ("Connection", "Upgrade"))

# Scheme and authority of a target.
is_absolute = re.compile(r"(?:https?|wss?)://[^/?#]+", re.IGNORECASE).match


class ServerProtocol(Protocol):
    """The server's side of a connection, without network.

    Args:
        origins: acceptable values of the Origin header, text or compiled patterns that must match
            all of it; None in the list accepts a request without the header.
        extensions: extensions to negotiate, in the order in which they are tried.
        subprotocols: supported subprotocols, the preferred first.
        select_subprotocol: called with this protocol and the subprotocols that the client offers;
            returns one of them, None to go on without, or raises `NegotiationError`.
        state: initial state.
        max_size: limit on incoming messages in bytes; see `Protocol`.
        logger: where to log; the default is ``tidegate.server``.

    """

    untouched = False

    # Whether the log tells that a connection was refused, what is called before that, and the
    # status with which it was.
    announces_refusal = True
    on_refusal: Callable[[ServerProtocol, int], None] | None = None
    refused_with: int | None = None

    def __init__(
        self,
        *,
        origins: Sequence[Origin | re.Pattern[str] | None] | None = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        select_subprotocol: (
            Callable[[ServerProtocol, Sequence[Subprotocol]], Subprotocol | None] | None
        ) = None,
        state: State = CONNECTING,
        max_size: int | tuple[int | None, int | None] | None = 2**20,
        logger: LoggerLike | None = None,
    ) -> None:
        super().__init__(SERVER, state=state, max_size=max_size, logger=logger)
        self.origins = origins
        self.available_extensions = extensions
        self.available_subprotocols = subprotocols
        self._select_subprotocol = select_subprotocol
        if state is CONNECTING:
            # Whether nothing was received yet, not even the end of the stream.
            self.untouched = True
            self.reader = StreamReader()
            self.parser = self.parse_request()

    def receive_data(self, data: bytes | bytearray) -> None:
        """Take in bytes that the network received; see `Protocol.receive_data`."""
        if self.untouched and self.parser is not None:
            # Most requests come whole, and nothing behind them.
            self.untouched = False
            request = parse_usual_request(data)
            if request is not None:
                self.parser = None
                self.request_received(request)
                return
        super().receive_data(data)

    def receive_eof(self) -> None:
        """Take in the end of the stream; see `Protocol.receive_eof`."""
        self.untouched = False
        super().receive_eof()

    def parse_request(self) -> Generator[None]:
        """Read the opening handshake request; a generator that yields when it needs more bytes."""
        assert self.reader is not None
        try:
            request = yield from read_request(self.reader, body=True)
        except (RequestLineTooLong, HeaderLineTooLong, TooManyHeaders) as exc:
            self.handshake_exc = without_frames(exc)
            if self.debug:
                self.logger.debug("! request refused", exc_info=exc)
            too_long = isinstance(exc, RequestLineTooLong)
            self.send_response(
                self.reject(
                    http.HTTPStatus.REQUEST_URI_TOO_LONG
                    if too_long
                    else http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"The opening handshake failed: {exc}.\n",
                )
            )
        except InvalidMessage as exc:
            # RFC 9112, section 2.2. Who sent it may be a person, or a program with a log.
            self.handshake_exc = InvalidMessage("did not receive a valid HTTP request")
            self.handshake_exc.__cause__ = without_frames(exc)
            if self.debug:
                self.logger.debug("! request refused", exc_info=exc)
            self.send_response(
                self.reject(http.HTTPStatus.BAD_REQUEST, f"The opening handshake failed: {exc}.\n")
            )
        except Exception as exc:
            self.handshake_exc = InvalidMessage("did not receive a valid HTTP request")
            self.handshake_exc.__cause__ = without_frames(exc)
            if self.debug:
                self.logger.debug("! request didn't come whole: %s", exc)
            self.send_eof()
            self.reader = None
            self.frame_reader.stop()
        else:
            self.request_received(request)

    def request_received(self, request: Request) -> None:
        """Give the request as an event."""
        # RFC 9112, section 3.2.2: a server has to accept the absolute form.
        absolute = None if request.path.startswith("/") else is_absolute(request.path)
        if absolute is not None:
            path = request.path[absolute.end() :]
            request.path = path if path.startswith("/") else f"/{path}"
        if self.debug:
            self.logger.debug("< %s %s %s", request.method, request.path, request.protocol)
            self.log_headers("<", request.headers)
        self.events.append(request)

    def accept(self, request: Request) -> Response:
        """Make the response to a request: an acceptance, or a refusal that says why.

        Send it with `send_response`. The response may be changed before that, for example to set
        cookies. After a refusal, the reason is in `handshake_exc`.

        Args:
            request: what `events_received` gave.

        Returns:
            The response: 101, or 400, 403, 405, 426, 500 or 505.

        """
        try:
            accept, extensions, subprotocol = self.process_request(request)
        except Exception as exc:
            return self.refuse(exc)
        date = http_date()
        items = [("Date", date), *UPGRADE_ITEMS, ("Sec-WebSocket-Accept", accept)]
        values: dict[str, str | list[str]] = {
            "date": date,
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-accept": accept,
        }
        if extensions is not None:
            items.append(("Sec-WebSocket-Extensions", extensions))
            values["sec-websocket-extensions"] = extensions
        response = Response(101, "Switching Protocols", Headers.from_parts(items, values))
        if subprotocol is not None:
            # Checked, because the program may have made it.
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        return response

    def refuse(self, exc: Exception) -> Response:
        """Make the response that fits the reason, which is then in `handshake_exc`.

        Args:
            exc: why the connection can't be opened; what isn't an `InvalidHandshake` is logged as
                an error of this side.

        """
        if not isinstance(exc, InvalidHandshake):
            self.logger.error("opening handshake failed", exc_info=exc)
            self.handshake_exc = without_frames(exc)
            return self.reject(
                http.HTTPStatus.INTERNAL_SERVER_ERROR,
                "The opening handshake failed because of an error in the server. "
                "Its log tells more.\n",
            )
        status = http.HTTPStatus.BAD_REQUEST
        text = f"The opening handshake failed: {exc}.\n"
        extra = {}
        if isinstance(exc, InvalidMethod):
            # RFC 9110, section 15.5.6
            status, extra = http.HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET"}
        elif isinstance(exc, InvalidProtocol):
            status = http.HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
        elif isinstance(exc, InvalidOrigin):
            status = http.HTTPStatus.FORBIDDEN
        elif isinstance(exc, TooManyHeaders):
            status = http.HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        elif isinstance(exc, InvalidUpgrade):
            # RFC 9110, section 15.5.22
            status, extra = http.HTTPStatus.UPGRADE_REQUIRED, {"Upgrade": "websocket"}
            text += (
                "\nThis is a WebSocket server: a WebSocket client can talk to it, not a browser's"
            )
            text += " address bar.\n"
        elif isinstance(exc, InvalidHeader) and exc.name == "Sec-WebSocket-Version":
            # RFC 6455, section 4.4
            extra = {"Sec-WebSocket-Version": "13"}
            if exc.value is not None:
                status = http.HTTPStatus.UPGRADE_REQUIRED
                extra["Upgrade"] = "websocket"
        response = self.reject(status, text)
        for name, value in extra.items():
            response.headers[name] = value
        self.handshake_exc = without_frames(exc)
        if self.debug:
            self.logger.debug("! opening handshake refused", exc_info=exc)
        return response

    def process_request(self, request: Request) -> tuple[str, str | None, str | None]:
        """Check a request and negotiate what it offers (RFC 6455, section 4.2).

        Returns:
            The values of the headers Sec-WebSocket-Accept, Sec-WebSocket-Extensions and
            Sec-WebSocket-Protocol, the last two None where there is nothing to say.

        Raises:
            InvalidHandshake: if the request is not acceptable; the subclass says why.

        """
        if request.method != "GET":
            raise InvalidMethod(request.method)
        if request.protocol != "HTTP/1.1":
            raise InvalidProtocol(request.protocol)
        headers = request.headers

        key = key_of_usual_upgrade(headers._dict)
        if key is not None:
            accept = accept_usual_key(key)
        else:
            check_head(headers)
            accept = accept_key(check_request_headers(headers))
        self.origin = self.process_origin(headers)
        extensions_header, extensions = self.process_extensions(headers)
        if extensions or self._extensions:
            self.extensions = extensions
        self.subprotocol = self.process_subprotocol(headers)
        return accept, extensions_header, self.subprotocol

    def process_origin(self, headers: Headers) -> Origin | None:
        """Check the Origin header (RFC 6455, section 10.2).

        Returns:
            The origin, None if the request has none.

        Raises:
            InvalidOrigin: if it isn't acceptable.

        """
        return check_origin(headers, self.origins)

    def process_extensions(self, headers: Headers) -> tuple[str | None, list[Extension]]:
        """Negotiate extensions (RFC 6455, section 9.1).

        Returns:
            The value of the response's header, None if no extension is used, and the extensions.

        Raises:
            InvalidHandshake: if the request's header is malformed.

        """
        return negotiate_extensions(headers, self.available_extensions)

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """Negotiate a subprotocol (RFC 6455, section 1.9).

        Returns:
            The subprotocol, None to go on without.

        Raises:
            InvalidHandshake: if the request's header is malformed, or no subprotocol suits.

        """
        offered: list[Subprotocol] = []
        if "sec-websocket-protocol" in headers._dict:
            for value in headers.get_all("Sec-WebSocket-Protocol"):
                offered += parse_subprotocol(value)
        return self.select_subprotocol(offered)

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """Pick one of the subprotocols that the client offers.

        Without ``select_subprotocol``, that is the first of this server's that the client offers.

        Args:
            subprotocols: what the client offers, maybe nothing.

        Raises:
            NegotiationError: if this server has subprotocols and the client offers none of them.

        """
        if self._select_subprotocol is not None:
            return self._select_subprotocol(self, subprotocols)
        if not self.available_subprotocols:
            return None
        if not subprotocols:
            raise NegotiationError("missing subprotocol")
        for subprotocol in self.available_subprotocols:
            if subprotocol in subprotocols:
                return subprotocol
        raise NegotiationError(
            "invalid subprotocol; expected one of " + ", ".join(self.available_subprotocols)
        )

    def reject(self, status: StatusLike, text: str) -> Response:
        """Make a response that refuses the request.

        Args:
            status: HTTP status.
            text: body, sent in UTF-8.

        Returns:
            The response; send it with `send_response`.

        """
        status = http.HTTPStatus(status)
        body = text.encode()
        headers = Headers.from_valid(
            [
                ("Date", http_date()),
                ("Connection", "close"),
                ("Content-Length", str(len(body))),
                ("Content-Type", "text/plain; charset=utf-8"),
            ]
        )
        return Response(status.value, status.phrase, headers, body)

    def send_response(self, response: Response) -> None:
        """Send the response to the opening handshake, which ends it.

        Args:
            response: what `accept` or `reject` made.

        """
        if self.debug:
            self.logger.debug("> HTTP/1.1 %d %s", response.status_code, response.reason_phrase)
            self.log_headers(">", response.headers)
            if response.body:
                self.logger.debug("> [body] (%d bytes)", len(response.body))
        self.frame_writer.append(response.serialize())
        if response.status_code == 101:
            self.state = OPEN
            self.start_frames()
            if self.informs:
                self.logger.info("connection open")
            self.receive_frames()
        else:
            # It is a rejection if a WebSocket connection was asked for and can't be had.
            exc = self.handshake_exc
            self.refused_with = response.status_code
            if self.on_refusal is not None:
                self.on_refusal(self, response.status_code)
            if self.announces_refusal:
                self.logger.info(
                    "%s (%d %s)",
                    "HTTP response sent"
                    if exc is None or isinstance(exc, SecurityError)
                    else "connection rejected",
                    response.status_code,
                    response.reason_phrase,
                )
            self.send_eof()
            self.parser = None
            self.reader = None
            self.frame_reader.stop()


def check_head(headers: Headers) -> None:
    """Check what every request has to have, and what this server doesn't take of one.

    Raises:
        InvalidHandshake: if the host isn't clear, or there is a body.

    """
    # RFC 9110, section 7.2: exactly one.
    host = one_value(headers, "Host")
    if is_host(host) is None:
        raise InvalidHeaderValue("Host", host)
    check_no_body(headers)


def check_request_headers(headers: Headers) -> str:
    """Check that the headers of a request ask for a WebSocket (RFC 6455, section 4.2.1).

    Returns:
        The key, as `tidegate.utils.accept_key` takes it.

    Raises:
        InvalidHandshake: if they don't, or not for this version; the subclass says why.

    """
    check_lists(headers)
    connection = headers.get_all("Connection")
    options = [option for value in connection for option in parse_connection(value)]
    if not any(option.lower() == "upgrade" for option in options):
        raise InvalidUpgrade("Connection", ", ".join(options) if options else None)
    upgrade = headers.get_all("Upgrade")
    protocols = [protocol for value in upgrade for protocol in parse_upgrade(value)]
    # RFC 6455, section 4.2.1: compared without regard to case. A client may offer others next to
    # it (RFC 9110, section 7.8).
    if not any(protocol.lower() == "websocket" for protocol in protocols):
        raise InvalidUpgrade("Upgrade", ", ".join(protocols) if protocols else None)

    key = one_value(headers, "Sec-WebSocket-Key")
    try:
        # RFC 6455, section 4.2.1: 16 bytes in base64.
        valid = len(binascii.a2b_base64(key.encode(), strict_mode=True)) == 16
    except ValueError:
        valid = False
    if not valid:
        raise InvalidHeaderValue("Sec-WebSocket-Key", key)
    version = one_value(headers, "Sec-WebSocket-Version")
    if version != "13":
        raise InvalidHeaderValue("Sec-WebSocket-Version", version)
    return key


def check_origin(
    headers: Headers, origins: Sequence[Origin | re.Pattern[str] | None] | None
) -> Origin | None:
    """Check the Origin header of a request; see `ServerProtocol.process_origin`."""
    if origins is None and "origin" not in headers._dict:
        return None
    # A request has one at most, since a browser sends it (RFC 6454, section 7.3).
    try:
        origin = headers.get("Origin")
    except MultipleValuesError:
        raise InvalidHeader("Origin", "multiple values") from None
    if origins is not None:
        for acceptable in origins:
            if origin == acceptable:
                break
            if (
                isinstance(acceptable, re.Pattern)
                and origin is not None
                and acceptable.fullmatch(origin)
            ):
                break
        else:
            raise InvalidOrigin(origin)
    return origin  # type: ignore[return-value]


def negotiate_extensions(
    headers: Headers, available: Sequence[ServerExtensionFactory] | None
) -> tuple[str | None, list[Extension]]:
    """Negotiate the extensions of a request; see `ServerProtocol.process_extensions`."""
    if not available or "sec-websocket-extensions" not in headers._dict:
        return None, []
    values = headers.get_all("Sec-WebSocket-Extensions")
    response: list[ExtensionHeader] = []
    accepted: list[Extension] = []
    # In the client's order of preference; the first offer of each that suits is taken.
    for value in values:
        for name, params in parse_extension(value):
            for factory in available:
                if factory.name != name:
                    continue
                try:
                    response_params, extension = factory.process_request_params(params, accepted)
                except NegotiationError:
                    continue
                response.append((name, response_params))
                accepted.append(extension)
                break
    return (build_extension(response) if response else None), accepted


def one_value(headers: Headers, name: str) -> str:
    """Give the value of a header that must be there once.

    Raises:
        InvalidHeader: if it isn't.

    """
    try:
        return headers[name]
    except KeyError:
        raise InvalidHeader(name) from None
    except MultipleValuesError:
        values = ", ".join(headers.get_all(name))
        raise InvalidHeader(name, f"multiple values: {values}") from None


_date: tuple[int, str] = (0, "")


def http_date() -> str:
    """The time now, as HTTP has it (RFC 9110, section 5.6.7)."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = now, email.utils.formatdate(now, usegmt=True)
    return _date[1]


# What this module had before it was for connections without I/O.
lazy_import(
    globals(),
    deprecated_aliases={
        "USER_AGENT": (".http11", "use tidegate.http11.USER_AGENT"),
        "Serve": (".legacy.server", "use tidegate.serve"),
        "ServerConnection": (".server:ServerProtocol", "use tidegate.ServerProtocol"),
        "WebSocketServer": (".legacy.server", "use tidegate.Server"),
        "WebSocketServerProtocol": (".legacy.server", "use tidegate.ServerConnection"),
        "broadcast": (".legacy.server", "use tidegate.broadcast"),
        "serve": (".legacy.server", "use tidegate.serve"),
        "unix_serve": (".legacy.server", "use tidegate.unix_serve"),
    },
)

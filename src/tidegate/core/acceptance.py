"""The server's side of the opening handshake, as far as it can be done without waiting.

`acceptance` is a generator of questions to the program. A face asks them, waits for the answers
where it must, and sends these back; what the generator returns is what to respond.
"""

from __future__ import annotations

import dataclasses
import http
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..datastructures import Headers, is_valid_header_value
from ..http11 import Request, Response
from ..protocol import OPEN
from ..utils import without_frames
from .limits import PROXY

if TYPE_CHECKING:
    from ..server import ServerProtocol
    from .limits import Limits
    from .link import Link

__all__ = ["Answer", "OpeningOptions", "Question", "acceptance", "default_response", "respond"]

# What a program gives to `serve`, where it may be a coroutine function, and where it may not.
Of = TypeVar("Of")
ProcessRequest = Callable[[Of, Request], Awaitable[Response | None] | Response | None]
ProcessResponse = Callable[[Of, Request, Response], Awaitable[Response | None] | Response | None]
PlainProcessRequest = Callable[[Of, Request], Response | None]
PlainProcessResponse = Callable[[Of, Request, Response], Response | None]

# How long closing may take after a response that isn't 101, in seconds, whatever close_timeout is;
# and after one for which the request wasn't waited for.
CLOSE_TIMEOUT = 10.0
REFUSAL_TIMEOUT = 1.0

CLOSING_DOWN = (503, "The server is shutting down.\n")


class OpeningOptions:
    """How a server does opening handshakes.

    Args:
        process_request: function of the program, asked before the response is made.
        process_response: function of the program, asked about the response.
        server_header: value of the Server header; None for none.
        open_timeout: how long the opening handshake may take, in seconds; None for no limit.
        limits: how many connections there may be.
        forwarded: a `tidegate.proxyprotocol.ForwardedPolicy`, or None.

    """

    def __init__(
        self,
        process_request: Callable[..., Any] | None,
        process_response: Callable[..., Any] | None,
        server_header: str | None,
        open_timeout: float | None,
        limits: Limits | None,
        forwarded: Any,
    ) -> None:
        self.process_request = process_request
        self.process_response = process_response
        # Whether the program is asked about anything.
        self.asks = process_request is not None or process_response is not None
        self.server_header = server_header
        # Else setting it says what is wrong.
        self.server_is_valid = (
            isinstance(server_header, str) and is_valid_header_value(server_header) is not None
        )
        self.open_timeout = open_timeout
        self.limits = limits
        self.forwarded = forwarded

    def counted(self, address: Any) -> Any:
        """Give the address for which a connection counts among the limits.

        Args:
            address: where it comes from.

        Returns:
            This, or `tidegate.core.limits.PROXY` if it is that of a proxy which will say where the
            request comes from.

        """
        if self.limits is None or self.forwarded is None or address not in self.forwarded.trusted:
            return address
        return PROXY

    def identified(
        self, counted: Any, address: Any, now: float
    ) -> tuple[Any, tuple[int, str] | None]:
        """Count a connection for the address that its request came from.

        Args:
            counted: what it counts for.
            address: where the request came from.
            now: time in seconds.

        Returns:
            What it counts for now; and why it is refused, or None.

        """
        # Of a request that comes from the proxy itself, such as a health check, that is known.
        if counted is not PROXY or self.limits is None or self.counted(address) is PROXY:
            return counted, None
        refusal = self.limits.identify(address, now)
        return (address, None) if refusal is None else (counted, refusal)


class Question(NamedTuple):
    """A function of the program to call; what it gives may be awaitable.

    Args:
        function: what to call.
        request: with the connection and this,
        response: and this, unless it is None.

    """

    function: Callable[..., Any]
    request: Request
    response: Response | None = None

    def ask(self, connection: Any) -> Any:
        """Call the function."""
        if self.response is None:
            return self.function(connection, self.request)
        return self.function(connection, self.request, self.response)


class Answer(NamedTuple):
    """How the opening handshake ends.

    Args:
        response: what to respond; None if nobody is there any more.
        failure: what went wrong in the program.

    """

    response: Response | None
    failure: Exception | None = None


def acceptance(
    link: Link,
    request: Request,
    options: OpeningOptions,
    is_serving: Callable[[], bool],
) -> Generator[Question, Any, Answer]:
    """Answer a request.

    Args:
        link: the connection.
        request: its request.
        options: how the server does this.
        is_serving: says whether the server still accepts connections.

    Yields:
        Questions to the program; send what it answers, or throw what it raises.

    Returns:
        What to respond.

    """
    protocol: ServerProtocol = link.protocol  # type: ignore[assignment]
    response: Any = None
    if options.process_request is not None:
        try:
            response = yield Question(options.process_request, request)
            check_result("process_request", response)
        except Exception as exc:
            return failed(link, options, "process_request", exc)
    if protocol.eof_sent:
        # Meanwhile the connection was lost, or refused because the server closes.
        return Answer(None)
    if response is None:
        response = default_response(link, request, options, is_serving())
    else:
        add_server_header(response, options)
    if options.process_response is not None:
        try:
            other = yield Question(options.process_response, request, response)
            check_result("process_response", other)
        except Exception as exc:
            # That a WebSocket connection was possible makes it a rejection, for the log.
            protocol.handshake_exc = without_frames(exc)
            return failed(link, options, "process_response", exc)
        if other is not None:
            response = other
    return Answer(response)


def default_response(
    link: Link, request: Request, options: OpeningOptions, is_serving: bool
) -> Response:
    """Give the response to a request unless the program has another."""
    protocol: ServerProtocol = link.protocol  # type: ignore[assignment]
    response = protocol.accept(request) if is_serving else protocol.reject(*CLOSING_DOWN)
    add_server_header(response, options)
    return response


def failed(link: Link, options: OpeningOptions | None, function: str, exc: Exception) -> Answer:
    """Answer that this side made a mistake."""
    link.logger.error("%s failed", function, exc_info=exc)
    response = link.protocol.reject(  # type: ignore[attr-defined]
        http.HTTPStatus.INTERNAL_SERVER_ERROR,
        "The opening handshake failed because of an error in the server. Its log tells more.\n",
    )
    add_server_header(response, options)
    return Answer(response, exc)


def add_server_header(response: Response, options: OpeningOptions | None) -> None:
    """Say which server this is, unless the program did."""
    if options is not None and options.server_header is not None:
        headers = response.headers
        if options.server_is_valid and type(headers) is Headers:
            if "server" not in headers._dict:
                headers.set_insecure("Server", options.server_header)
        else:
            headers.setdefault("Server", options.server_header)


def check_result(function: str, result: Any) -> None:
    """Raise TypeError if a function of the program gave something else than a response."""
    if not isinstance(result, (Response, type(None))):
        raise TypeError(f"{function} must return a Response or None, not {type(result).__name__}")


def respond(
    link: Link, answer: Answer, options: OpeningOptions | None, waited: bool
) -> Response | None:
    """Send the response that ends the opening handshake.

    Args:
        link: the connection.
        answer: how the opening handshake ends.
        options: how the server does this.
        waited: whether the request was waited for, so that the peer reads the answer.

    Returns:
        What was sent; the connection is open then, or on its way to its end. None if nothing can
        be sent any more.

    """
    protocol: ServerProtocol = link.protocol  # type: ignore[assignment]
    response = answer.response
    if response is None or link.ended or not link.opening or protocol.eof_sent:
        return None
    request: Request | None = getattr(link, "request", None)
    if request is not None and request.method == "HEAD":
        # RFC 9110, section 9.3.2
        response = dataclasses.replace(response, body=b"")
    try:
        protocol.send_response(response)
    except Exception as exc:
        # It has something in it that can't be sent.
        return respond(link, failed(link, options, "opening handshake", exc), options, waited)
    if answer.failure is not None:
        protocol.handshake_exc = without_frames(answer.failure)
    # It refers to the connection, which refers to it.
    protocol._select_subprotocol = None
    if protocol.state is OPEN:
        link.opened()
    else:
        # A time limit for those who don't read it, or never close the connection.
        link.follow(CLOSE_TIMEOUT if waited else REFUSAL_TIMEOUT)
    return response

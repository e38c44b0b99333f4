"""Every exception that tidegate raises on purpose.

::

    WebSocketException
    ├── ConnectionClosed
    │   ├── ConnectionClosedOK
    │   └── ConnectionClosedError
    ├── InvalidURI                          (also a ValueError)
    ├── InvalidProxy                        (also a ValueError)
    ├── InvalidHandshake
    │   ├── SecurityError
    │   │   ├── RequestLineTooLong
    │   │   ├── StatusLineTooLong
    │   │   ├── HeaderLineTooLong
    │   │   └── TooManyHeaders
    │   ├── ProxyError
    │   │   ├── InvalidProxyMessage
    │   │   ├── InvalidProxyStatus
    │   │   ├── ProxyConnectionError        (also a ConnectionError)
    │   │   ├── ProxyHandshakeError         (also an InvalidMessage)
    │   │   ├── ProxyTimeout                (also a TimeoutError)
    │   │   └── ProxyTLSError               (also an ssl.SSLError)
    │   │       └── ProxyCertificateError   (also an ssl.SSLCertVerificationError)
    │   ├── InvalidMessage                  (also a ValueError)
    │   ├── InvalidMethod
    │   ├── InvalidProtocol
    │   ├── InvalidStatus
    │   ├── InvalidHeader
    │   │   ├── InvalidHeaderName           (also a ValueError)
    │   │   ├── InvalidHeaderFormat
    │   │   ├── InvalidHeaderValue          (also a ValueError)
    │   │   ├── InvalidOrigin
    │   │   └── InvalidUpgrade
    │   └── NegotiationError
    │       ├── DuplicateParameter
    │       ├── InvalidParameterName
    │       └── InvalidParameterValue
    ├── ProtocolError
    │   ├── InvalidData
    │   └── InvalidReason                   (also a ValueError)
    ├── PayloadTooBig
    ├── TooManyFragments
    ├── InvalidState                        (also an AssertionError)
    └── ConcurrencyError                    (also a RuntimeError)

Messages quote what a peer sent with control characters escaped, cut to a readable length, and
passwords in URIs hidden; the attributes hold it as it came.
"""

from __future__ import annotations

import ssl
import warnings
from typing import TYPE_CHECKING, cast, overload

from .imports import lazy_import, warn_of_attribute
from .printable import printable, without_user_info

if TYPE_CHECKING:
    from .frames import Close
    from .http11 import Response
    from .proxy import Proxy

__all__ = [
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "DuplicateParameter",
    "HeaderLineTooLong",
    "InvalidData",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidHeaderFormat",
    "InvalidHeaderName",
    "InvalidHeaderValue",
    "InvalidMessage",
    "InvalidMethod",
    "InvalidOrigin",
    "InvalidParameterName",
    "InvalidParameterValue",
    "InvalidProtocol",
    "InvalidProxy",
    "InvalidProxyMessage",
    "InvalidProxyStatus",
    "InvalidReason",
    "InvalidState",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "PayloadTooBig",
    "ProtocolError",
    "ProxyCertificateError",
    "ProxyConnectionError",
    "ProxyError",
    "ProxyHandshakeError",
    "ProxyTLSError",
    "ProxyTimeout",
    "RequestLineTooLong",
    "SecurityError",
    "StatusLineTooLong",
    "TooManyFragments",
    "TooManyHeaders",
    "WebSocketException",
]


class WebSocketException(Exception):
    """What all exceptions of tidegate have in common."""

    # So that each has a signature: that of an exception of Python can't be looked up.
    def __init__(self, *args: object) -> None:
        super().__init__(*args)


class ConnectionClosed(WebSocketException):
    """The connection is closed, so nothing more can be sent or received.

    Programs of the older API make it of code and reason: ``ConnectionClosed(code, reason)``
    (deprecated).

    Attributes:
        rcvd: the Close frame that was received, None if there was none.
        sent: the Close frame that was sent, None if there was none.
        rcvd_then_sent: if both were, whether the one received came first, else None.
        remark: what else is known about an end without Close frames, None if nothing is.
    """

    remark: str | None = None

    @overload
    def __init__(
        self, rcvd: Close | None, sent: Close | None, rcvd_then_sent: bool | None = None
    ) -> None: ...
    @overload
    def __init__(self, code: int, reason: str) -> None: ...
    def __init__(  # type: ignore[misc]
        self,
        rcvd: Close | int | None = None,
        sent: Close | str | None = None,
        rcvd_then_sent: bool | None = None,
        *,
        code: int | None = None,
        reason: str = "",
    ) -> None:
        if isinstance(rcvd, int):
            code, reason = rcvd, sent if isinstance(sent, str) else ""
        if code is not None:
            from .frames import Close, CloseCode

            warnings.warn(
                "ConnectionClosed(code, reason) is deprecated: use"
                " ConnectionClosed(Close(code, reason), None)",
                DeprecationWarning,
                stacklevel=2,
            )
            rcvd = None if code == CloseCode.ABNORMAL_CLOSURE else Close(code, reason)
            sent = rcvd_then_sent = None
        rcvd, sent = cast("Close | None", rcvd), cast("Close | None", sent)
        super().__init__(rcvd, sent, rcvd_then_sent)
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent

    def __str__(self) -> str:
        if self.rcvd is None and self.sent is None:
            text = "no close frame received or sent"
            return text if self.remark is None else f"{text}; {self.remark}"
        if self.sent is None:
            return f"received {self.rcvd}; no close frame sent"
        if self.rcvd is None:
            return f"sent {self.sent}; no close frame received"
        if self.rcvd_then_sent:
            return f"received {self.rcvd}; then sent {self.sent}"
        return f"sent {self.sent}; then received {self.rcvd}"

    @property
    def code(self) -> int:
        """The code of the Close frame received, 1006 without one (deprecated)."""
        warn_of_attribute(
            "ConnectionClosed.code", "use Protocol.close_code or ConnectionClosed.rcvd.code"
        )
        return 1006 if self.rcvd is None else self.rcvd.code

    @property
    def reason(self) -> str:
        """The reason of the Close frame received, empty without one (deprecated)."""
        warn_of_attribute(
            "ConnectionClosed.reason", "use Protocol.close_reason or ConnectionClosed.rcvd.reason"
        )
        return "" if self.rcvd is None else self.rcvd.reason


class ConnectionClosedOK(ConnectionClosed):
    """The connection was closed as agreed: both sides sent 1000, 1001 or no code."""


class ConnectionClosedError(ConnectionClosed):
    """The connection was closed with an error code, or without a closing handshake."""


class InvalidURI(WebSocketException, ValueError):
    """A URI that no WebSocket connection can be made to.

    Attributes:
        uri: the URI, with ``***`` for what may be a password in it.
        msg: what is wrong with it.
    """

    def __init__(self, uri: str, msg: str = "") -> None:
        # A traceback, a log and a bug report show it.
        uri = without_user_info(uri)
        super().__init__(uri, msg)
        self.uri = uri
        self.msg = msg

    def __str__(self) -> str:
        text = f"{printable(self.uri)} isn't a valid URI"
        return f"{text}: {self.msg}" if self.msg else text


class InvalidProxy(WebSocketException, ValueError):
    """A proxy that cannot be used.

    Attributes:
        proxy: the URL of the proxy, with ``***`` for what may be a password in it.
        msg: what is wrong with it.
    """

    def __init__(self, proxy: str, msg: str) -> None:
        proxy = without_user_info(proxy)
        super().__init__(proxy, msg)
        self.proxy = proxy
        self.msg = msg

    def __str__(self) -> str:
        return f"{printable(self.proxy)} isn't a valid proxy: {self.msg}"


class InvalidHandshake(WebSocketException):
    """The opening handshake failed."""


class SecurityError(InvalidHandshake):
    """A handshake request or response breaks a security rule, such as a limit on its size."""


class RequestLineTooLong(SecurityError):
    """A request line is longer than MAX_LINE_LENGTH."""


class StatusLineTooLong(SecurityError):
    """A status line is longer than MAX_LINE_LENGTH."""


class HeaderLineTooLong(SecurityError):
    """A header line is longer than MAX_LINE_LENGTH."""


class TooManyHeaders(SecurityError):
    """A request or response has more than MAX_NUM_HEADERS header lines."""


class ProxyError(InvalidHandshake):
    """A connection through a proxy could not be made.

    Its text says what went wrong in the first line and all that is known about it in those that
    follow, without passwords.

    Args:
        *args: what went wrong.
        hint: what to try.
        transient: whether trying again later may help.

    Attributes:
        proxy: the proxy, None if it isn't known.
        source: where it was found, such as ``the environment variable https_proxy``.
        target: whom the step was to connect to, as ``host:port``.
        server: the server that all was about, as ``host:port``.
        step: what failed: ``resolve``, ``connect``, ``TLS to proxy``, ``authenticate``,
            ``CONNECT``, ``TLS to server`` or ``handshake``.
        elapsed: how long the attempt took, in seconds.
        hint: what to try, None if there is nothing to advise.
        transient: whether trying again later may help.
        response: what an HTTP proxy answered, None if it didn't.
    """

    proxy: Proxy | None = None
    source: str | None = None
    target: str | None = None
    server: str | None = None
    step: str | None = None
    elapsed: float | None = None
    response: Response | None = None

    def __init__(self, *args: object, hint: str | None = None, transient: bool = False) -> None:
        super().__init__(*args)
        self.hint = hint
        self.transient = transient

    def summary(self) -> str:
        """What went wrong, in one line."""
        return ", ".join(map(str, self.args))

    def __str__(self) -> str:
        lines = [self.summary()]
        if self.proxy is not None:
            source = "" if self.source is None else f", from {self.source}"
            lines.append(f"  proxy: {printable(str(self.proxy))}{source}")
        if self.target is not None:
            lines.append(f"  target: {printable(self.target)}")
        if self.server is not None and self.server != self.target:
            lines.append(f"  server: {printable(self.server)}")
        if self.step is not None:
            after = "" if self.elapsed is None else f", after {self.elapsed:.3f} seconds"
            lines.append(f"  failed at: {self.step}{after}")
        if self.response is not None and len(lines) > 1:
            lines += self._describe_response(self.response)
        if self.hint is not None:
            lines.append(f"  hint: {printable(self.hint, 1000)}")
        return "\n".join(lines)

    @staticmethod
    def _describe_response(response: Response) -> list[str]:
        lines = [f"  reply: HTTP {response.status_code} {printable(response.reason_phrase)}"]
        for challenge in response.headers.get_all("Proxy-Authenticate"):
            lines.append(f"  challenge: {printable(challenge)}")
        if response.body:
            from .bodies import text_of

            lines.append(f"  body: {printable(text_of(response.body), 1024)}")
        return lines


class InvalidProxyMessage(ProxyError):
    """A proxy answered something that isn't a valid response."""


class InvalidProxyStatus(ProxyError):
    """A proxy answered with another status than success.

    Attributes:
        response: what it answered.
    """

    response: Response

    def __init__(self, response: Response, *, hint: str | None = None) -> None:
        # A proxy whose own way to the server is broken for now says so with these.
        super().__init__(
            response, hint=hint, transient=response.status_code in (500, 502, 503, 504)
        )
        self.response = response

    def summary(self) -> str:
        return f"proxy rejected connection: HTTP {self.response.status_code:d}"


class ProxyConnectionError(ProxyError, ConnectionError):
    """The name of a proxy could not be resolved, or the proxy could not be connected to."""


class ProxyTimeout(ProxyError, TimeoutError):
    """A step of the way through a proxy took too long."""


class ProxyTLSError(ProxyError, ssl.SSLError):
    """TLS with a proxy, or with the server through it, failed."""


class ProxyCertificateError(ProxyTLSError, ssl.SSLCertVerificationError):
    """The certificate of a proxy, or of the server behind it, isn't valid."""


class InvalidMessage(InvalidHandshake, ValueError):
    """A handshake request or response is malformed, or didn't come whole."""


class ProxyHandshakeError(ProxyError, InvalidMessage):
    """The opening handshake through a proxy wasn't answered, or not as HTTP has it."""


class InvalidMethod(InvalidHandshake):
    """A handshake request has another method than GET.

    Attributes:
        method: the method.
    """

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.method = method

    def __str__(self) -> str:
        return f"unsupported HTTP method: {printable(self.method)}"


class InvalidProtocol(InvalidHandshake):
    """A handshake request or response has another HTTP version than 1.1.

    Attributes:
        protocol: the version, such as ``HTTP/1.0``.
    """

    def __init__(self, protocol: str) -> None:
        super().__init__(protocol)
        self.protocol = protocol

    def __str__(self) -> str:
        return f"unsupported HTTP version: {printable(self.protocol)}"


class InvalidStatus(InvalidHandshake):
    """A server answered a handshake request with another status than 101.

    Attributes:
        response: what it answered.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response

    def __str__(self) -> str:
        return f"server rejected WebSocket connection: HTTP {self.response.status_code:d}"


class InvalidHeader(InvalidHandshake):
    """A header is missing or has a value that cannot be used.

    Attributes:
        name: the name of the header.
        value: its value, None if it is missing.
    """

    def __init__(self, name: str, value: str | None = None) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        name = printable(self.name)
        if self.value is None:
            return f"missing {name} header"
        if self.value == "":
            return f"empty {name} header"
        return f"invalid {name} header: {printable(self.value)}"


class InvalidHeaderName(InvalidHeader, ValueError):
    """The name of a header has characters that cannot be sent (RFC 9110, section 5.1)."""

    def __str__(self) -> str:
        return f"invalid header name: '{printable(self.name)}'"


class InvalidHeaderFormat(InvalidHeader):
    """The value of a header cannot be parsed.

    Attributes:
        name: the name of the header.
        value: what is wrong, where, and the value.
    """

    def __init__(self, name: str, error: str, header: str, pos: int) -> None:
        super().__init__(name, f"{error} at {pos} in {printable(header)}")
        self.args = (name, error, header, pos)


class InvalidHeaderValue(InvalidHeader, ValueError):
    """The value of a header can be parsed but not used, or has characters that cannot be sent."""


class InvalidOrigin(InvalidHeader):
    """The ``Origin`` header of a request isn't one of those that are allowed.

    Attributes:
        value: the origin, None if the header is missing.
    """

    def __init__(self, origin: str | None) -> None:
        super().__init__("Origin", origin)
        self.args = (origin,)


class InvalidUpgrade(InvalidHeader):
    """The ``Upgrade`` or the ``Connection`` header doesn't ask for, or agree to, WebSocket."""


class NegotiationError(InvalidHandshake):
    """An extension or subprotocol could not be agreed on."""


class DuplicateParameter(NegotiationError):
    """An extension has the same parameter twice.

    Attributes:
        name: the name of the parameter.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"duplicate parameter: {printable(self.name)}"


class InvalidParameterName(NegotiationError):
    """An extension has a parameter that it doesn't know.

    Attributes:
        name: the name of the parameter.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"invalid parameter name: {printable(self.name)}"


class InvalidParameterValue(NegotiationError):
    """A parameter of an extension has a value that it cannot have.

    Attributes:
        name: the name of the parameter.
        value: its value, None if it has none.
    """

    def __init__(self, name: str, value: str | None) -> None:
        super().__init__(name, value)
        self.name = name
        self.value = value

    def __str__(self) -> str:
        name = printable(self.name)
        if self.value is None:
            return f"missing value for parameter {name}"
        if self.value == "":
            return f"empty value for parameter {name}"
        return f"invalid value for parameter {name}: {printable(self.value)}"


class ProtocolError(WebSocketException):
    """A frame that was received, or is to be sent, breaks the rules of the protocol."""


class InvalidData(ProtocolError):
    """The compressed data of a message ends where it can't; the connection ends with code 1007."""


class InvalidReason(ProtocolError, ValueError):
    """A reason to send, of a Close frame or an HTTP response, would break the line it stands in.

    Attributes:
        reason: the reason.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"invalid characters in reason: '{printable(self.reason)}'"


class PayloadTooBig(WebSocketException):
    """A frame or a message is larger than its limit.

    Args:
        size_or_message: the size of the frame in bytes, None if it isn't known; giving a message
            instead is deprecated.
        max_size: how many bytes the frame could have had.
        current_size: how many bytes the earlier frames of the message have.

    Attributes:
        size: the size of the frame in bytes, None if it isn't known.
        max_size: the limit on the message in bytes.
        current_size: how many bytes the earlier frames of the message have, None if there are none.
    """

    message: str | None
    size: int | None
    max_size: int
    current_size: int | None

    def __init__(
        self,
        size_or_message: int | str | None,
        max_size: int | None = None,
        current_size: int | None = None,
    ) -> None:
        super().__init__(size_or_message, max_size, current_size)
        self.current_size = None
        if isinstance(size_or_message, str):
            warnings.warn(
                "PayloadTooBig(message) is deprecated: use PayloadTooBig(size, max_size)",
                DeprecationWarning,
                stacklevel=2,
            )
            self.message = size_or_message
            self.size = None
            self.max_size = 0 if max_size is None else max_size
        else:
            if max_size is None:
                raise TypeError("PayloadTooBig needs a max_size in bytes")
            self.message = None
            self.size = size_or_message
            self.max_size = max_size
            self.set_current_size(current_size)

    def __str__(self) -> str:
        if self.message is not None:
            return self.message
        words = ["frame"]
        if self.size is not None:
            words.append(f"with {self.size} bytes")
        if self.current_size is not None:
            words.append(f"after reading {self.current_size} bytes")
        words.append(f"exceeds limit of {self.max_size} bytes")
        return " ".join(words)

    def set_current_size(self, current_size: int | None) -> None:
        """Say how many bytes the earlier frames of the message have, which the limit counts too."""
        if current_size is not None:
            self.max_size += current_size - (self.current_size or 0)
            self.current_size = current_size


class TooManyFragments(WebSocketException):
    """A message has more fragments than allowed.

    tidegate itself bounds the memory that the fragments of a message hold, not their count
    (see `PayloadTooBig`); the name is for programs that expect it.

    Attributes:
        max_fragments: the limit.
    """

    def __init__(self, max_fragments: int) -> None:
        super().__init__(max_fragments)
        self.max_fragments = max_fragments

    def __str__(self) -> str:
        return f"fragmented message exceeds limit of {self.max_fragments} frames"


class InvalidState(WebSocketException, AssertionError):
    """The connection is in a state in which this cannot be done."""


class ConcurrencyError(WebSocketException, RuntimeError):
    """Two tasks or threads receive, or send a fragmented message, at the same time."""


lazy_import(
    globals(),
    deprecated_aliases={
        "AbortHandshake": (".legacy.exceptions", "return a Response from process_request"),
        "InvalidStatusCode": (".legacy.exceptions", "use tidegate.InvalidStatus"),
        "RedirectHandshake": (".legacy.exceptions", "use tidegate.InvalidStatus"),
        "WebSocketProtocolError": (".legacy.exceptions", "use tidegate.ProtocolError"),
        "CLOSE_CODES": (
            ".frames:CLOSE_CODE_EXPLANATIONS",
            "use tidegate.frames.CLOSE_CODE_EXPLANATIONS",
        ),
        "format_close": (".legacy.framing", "use str() of a tidegate.Close"),
    },
)

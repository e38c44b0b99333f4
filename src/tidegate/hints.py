"""What to try when a connection can't be opened: one sentence for each situation that is known.

Exceptions of proxies have it as their attribute ``hint``, all others as a note that begins with
``hint: `` and stands below them in a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from typing import TYPE_CHECKING, TypeVar

from .exceptions import ProxyError
from .headers import build_host
from .printable import printable
from .uri import WebSocketURI

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "CLOSED",
    "OTHER",
    "REFUSED",
    "SERVER",
    "UNREACHABLE",
    "add_hint",
    "explained",
    "hint_for_answer",
    "hint_for_certificate",
    "hint_for_cut_off",
    "hint_for_name",
    "hint_for_no_answer",
    "hint_for_status",
    "hint_for_time",
    "hint_for_tls",
    "hint_of",
    "speaker",
]

REFUSED = "nothing listens there: check host and port, and whether it runs"
UNREACHABLE = "check host and port, and whether a firewall is in between"
OTHER = "this is neither a web server nor a WebSocket server: check the port"
CLOSED = "the server closed the connection without an answer"

SERVER = "the server"

PREFIX = "hint: "

# How those begin to talk whom one may have reached instead.
TLS_RECORDS = (b"\x14\x03", b"\x15\x03", b"\x16\x03")
SOCKS4_REPLIES = tuple(bytes([0, code]) for code in range(0x5A, 0x5E))

# Of X509_verify_cert() in OpenSSL.
NOT_YET_VALID, EXPIRED, REVOKED = 9, 10, 23
# There is no way from it to an authority that is trusted.
NO_AUTHORITY = {2, 18, 19, 20, 21}

# In the reasons of TLS that fails, in OpenSSL's words.
NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER", "PACKET_LENGTH_TOO_LONG")
OTHER_VERSION = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "VERSION_TOO_LOW", "NO_PROTOCOLS")
REFUSED_CERTIFICATE = (
    "UNKNOWN_CA",
    "BAD_CERTIFICATE",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "UNSUPPORTED_CERTIFICATE",
    "ACCESS_DENIED",
)
MISSING_CERTIFICATE = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")


def speaker(data: bytes) -> str | None:
    """Say what protocol begins like ``data``, None if that isn't known."""
    if data.startswith(TLS_RECORDS):
        return "TLS"
    if data.startswith(b"HTTP/"):
        return "HTTP"
    if data.startswith(b"SSH-"):
        return "SSH"
    if data.startswith(b"\x05"):
        return "SOCKS5"
    if data.startswith(SOCKS4_REPLIES):
        return "SOCKS4"
    # An HTTP/2 connection begins with a SETTINGS frame (RFC 9113, section 3.4).
    if data[3:5] == b"\x04\x00":
        return "HTTP/2"
    return None


def hint_for_certificate(exc: Exception, whose: str, argument: str, name: str) -> str:
    """Say what may help against a certificate that isn't accepted.

    Args:
        exc: why not; usually an ``ssl.SSLCertVerificationError``.
        whose: whose certificate it is, such as ``the server``.
        argument: the argument for whom to trust.
        name: the argument for the name in the certificate.
    """
    text = str(exc).lower()
    code = getattr(exc, "verify_code", None)
    if "mismatch" in text:
        return f"if the certificate is right and has another name, give it as {name}"
    if code == EXPIRED or "has expired" in text:
        return f"whoever runs {whose} has to renew it, unless the clock of this machine is wrong"
    if code == NOT_YET_VALID or "not yet valid" in text:
        return "check the clock of this machine"
    if code == REVOKED or (code is not None and code not in NO_AUTHORITY and code > 0):
        return f"whoever runs {whose} has to replace it"
    others = " (or of a proxy that opens TLS on the way)" if whose == SERVER else ""
    return (
        f"if the CA of {whose}{others} is to be trusted, give the path of its certificate as"
        f" {argument}"
    )


def hint_for_tls(exc: Exception, plain: str | None, argument: str) -> str | None:
    """Say what may help when TLS fails otherwise.

    Args:
        exc: what happened; usually an ``ssl.SSLError``.
        plain: the URL without TLS; None if it is known that there is TLS.
        argument: the argument for a context.
    """
    reason = getattr(exc, "reason", None)
    text = reason if isinstance(reason, str) else str(exc).upper().replace(" ", "_")
    if plain is not None and any(word in text for word in NO_TLS):
        return f"this port doesn't speak TLS: check the port, or try {plain}"
    if any(word in text for word in REFUSED_CERTIFICATE):
        return f"the certificate in the context given as {argument} isn't accepted there"
    if any(word in text for word in MISSING_CERTIFICATE):
        return f"a client certificate may be wanted: load it into a context for {argument}"
    if any(word in text for word in OTHER_VERSION):
        return (
            "the other side and this one allow no version of TLS in common: see minimum_version of"
            f" a context for {argument}"
        )
    if "UNRECOGNIZED_NAME" in text:
        return "there is nobody of that name: check the host"
    return None


def hint_for_name(whose: str) -> str:
    """Say what may help when the name of somebody isn't known."""
    return f"check the name of {whose}, and whether you are in the network that knows it"


def hint_for_no_answer(server: str) -> str:
    """Say what may help when a server can be connected to, and says nothing."""
    return f"{server} accepts connections, but doesn't answer: check that it is a WebSocket server"


def hint_for_cut_off(plain: str, argument: str) -> str:
    """Say what may help when the connection is lost in a TLS handshake.

    Args:
        plain: the URL without TLS.
        argument: the argument for a context.
    """
    return (
        f"if this port doesn't speak TLS, use {plain}; a client certificate may also be wanted:"
        f" load it into a context for {argument}"
    )


def with_scheme(uri: WebSocketURI, scheme: str, user_info: str = "") -> str:
    """Give a URI without its path, with another scheme and other credentials, by default none."""
    host = build_host(uri.host, uri.port, False, always_include_port=True)
    return f"{scheme}://{user_info}{host}"


def hint_for_answer(uri: WebSocketURI, data: bytes) -> str | None:
    """Say who began to answer like ``data`` where a WebSocket server was expected."""
    who = speaker(data)
    if who == "TLS" and not uri.secure:
        return f"this port speaks TLS; {try_wss(uri)}"
    if who == "SSH":
        return "this is an SSH server: check the port"
    if who == "HTTP/2":
        return "this port speaks HTTP/2 only, not HTTP/1.1"
    if who == "HTTP":
        return None
    if data:
        return OTHER
    if uri.secure:
        return f"{CLOSED}: check that it is a WebSocket server"
    return f"{CLOSED}: check that it is a WebSocket server; if it speaks TLS, {try_wss(uri)}"


def try_wss(uri: WebSocketURI) -> str:
    return f"try {with_scheme(uri, 'wss')}"


def hint_for_status(uri: WebSocketURI, status: int, body: bytes | bytearray) -> str | None:
    """Say what may help against a refusal of a server."""
    if status == 400 and not uri.secure and b"https" in body.lower():
        return f"this port speaks TLS; {try_wss(uri)}"
    if status in (200, 204, 404, 405, 501):
        path = printable(uri.path or "/")
        return f"this is a web server that has no WebSocket at {path}: check host, port and path"
    if status == 401:
        scheme = "wss" if uri.secure else "ws"
        return (
            "the server wants a user name and a password:"
            f" {with_scheme(uri, scheme, 'user:password@')}; or give another Authorization in"
            " additional_headers"
        )
    if status == 403:
        return "the server may want another origin, a cookie, or a token: ask who runs it"
    if status in (502, 504):
        return "what is in front of the server, such as a load balancer, cannot reach it"
    return None


def hint_for_error(uri: WebSocketURI, exc: Exception) -> str | None:
    """Say what may help when there is no connection to a server."""
    plain = with_scheme(uri, "ws")
    if isinstance(exc, socket.gaierror):
        return hint_for_name(SERVER)
    if isinstance(exc, ssl.SSLCertVerificationError):
        return hint_for_certificate(exc, SERVER, "ssl", "server_hostname")
    if isinstance(exc, ssl.SSLError):
        return hint_for_tls(exc, plain, "ssl")
    if not isinstance(exc, OSError):
        return None
    # For several addresses, the event loop puts what happened into the text.
    if exc.errno == errno.ECONNREFUSED or f"[Errno {errno.ECONNREFUSED}]" in str(exc):
        return REFUSED
    if uri.secure and isinstance(exc, ConnectionError):
        return hint_for_cut_off(plain, "ssl")
    if exc.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH):
        return UNREACHABLE
    return None


def hint_for_time(uri: WebSocketURI, connected: bool) -> str:
    """Say what may help when connecting takes too long.

    Args:
        uri: the server.
        connected: whether there was a connection, TLS included.
    """
    if connected:
        return hint_for_no_answer(build_host(uri.host, uri.port, uri.secure))
    return f"{UNREACHABLE}, and whether this port speaks TLS" if uri.secure else UNREACHABLE


@contextlib.contextmanager
def explained(uri: WebSocketURI) -> Iterator[None]:
    """Connect to a server inside: exceptions get a hint, unless they have one."""
    try:
        yield
    except ProxyError:
        # It has a hint of its own.
        raise
    except Exception as exc:
        add_hint(exc, hint_for_error(uri, exc))
        raise


E = TypeVar("E", bound=Exception)


def add_hint(exc: E, hint: str | None) -> E:
    """Give an exception a hint, if there is one and it has none.

    Args:
        exc: the exception.
        hint: the hint.
    """
    if hint is not None and hint_of(exc) is None and not isinstance(exc, ProxyError):
        exc.add_note(f"{PREFIX}{hint}")
    return exc


def hint_of(exc: BaseException) -> str | None:
    """Give the hint that an exception has; None if it has none."""
    if isinstance(exc, ProxyError):
        return exc.hint
    for note in getattr(exc, "__notes__", ()):
        if isinstance(note, str) and note.startswith(PREFIX):
            return note.removeprefix(PREFIX)
    return None

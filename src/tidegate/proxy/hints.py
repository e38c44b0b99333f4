"""What to try when a proxy doesn't let through: one sentence for each situation that is known."""

from __future__ import annotations

import errno
import socket
import ssl
import typing as t

from .addresses import is_loopback
from .challenges import parse_challenges
from .negotiate import is_available as is_negotiate_available
from .url import Proxy

if t.TYPE_CHECKING:
    from ..http11 import Response
    from .hop import Target
    from .routes import Route

__all__ = [
    "hint_for_certificate",
    "hint_for_connection",
    "hint_for_garbage",
    "hint_for_handshake",
    "hint_for_loopback",
    "hint_for_silence",
    "hint_for_status",
    "hint_for_timeout",
    "hint_for_tls",
    "with_password",
]

# How those whom one may have reached instead of an HTTP proxy begin to talk.
TLS_RECORDS = (b"\x14\x03", b"\x15\x03", b"\x16\x03")
SOCKS4_REPLIES = tuple(bytes([0, code]) for code in range(0x5A, 0x5E))


def with_scheme(proxy: Proxy, scheme: str, user_info: str = "") -> str:
    """Give the URL of a proxy with another scheme and other credentials, by default none."""
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    return f"{scheme}://{user_info}{host}:{proxy.port}"


def with_password(proxy: Proxy) -> str:
    """Give the URL of a proxy as it would be with a user and a password."""
    return with_scheme(proxy, proxy.scheme, "user:password@")


def hint_for_garbage(proxy: Proxy, data: bytes) -> str | None:
    """Say what speaks like ``data`` where a proxy was expected."""
    if data.startswith(TLS_RECORDS):
        scheme = "https" if proxy.is_http else f"{proxy.scheme}+tls"
        return f"this port speaks TLS; try {with_scheme(proxy, scheme)}"
    if data.startswith(b"HTTP/") and not proxy.is_http:
        return f"this is an HTTP proxy or a web server; try {with_scheme(proxy, 'http')}"
    if data.startswith(b"\x05") and not proxy.is_socks5:
        return f"this is a SOCKS5 proxy; try {with_scheme(proxy, 'socks5h')}"
    if data.startswith(SOCKS4_REPLIES) and not proxy.is_socks4:
        return f"this is a SOCKS4 proxy; try {with_scheme(proxy, 'socks4a')}"
    if data.startswith(b"SSH-"):
        return "this is an SSH server; `ssh -D 1080 host` makes a SOCKS proxy of it"
    if proxy.is_http and data[3:5] == b"\x04\x00":
        return "this port speaks HTTP/2 only; tidegate speaks HTTP/1.1 to proxies"
    return None


def hint_for_silence(proxy: Proxy) -> str:
    """Say what may be wrong with a proxy that closes the connection without a word."""
    if proxy.tls:
        return (
            "check that this is a proxy; it may also want a client certificate, which proxy_ssl"
            " can bring along"
        )
    others = "https, socks5h" if proxy.is_http else "http, https"
    return f"check that this is {proxy.scheme.upper()} and not another kind of proxy ({others})"


def hint_for_status(proxy: Proxy, target: Target, response: Response) -> str | None:
    """Say what may help against a refusal of an HTTP proxy."""
    status = response.status_code
    if status in (401, 407):
        return hint_for_authentication(proxy, response)
    if 300 <= status < 400 or status == 511:
        where = response.headers.get_all("Location")
        return "this looks like a network that wants you to log in first; open " + (
            f"{where[0]} in a browser" if where else "any page in a browser"
        )
    if status == 403:
        if target.port == 443:
            return f"the proxy's rules forbid {target}; ask who runs it to allow that"
        return (
            f"the proxy's rules forbid {target}; many allow CONNECT to port 443 only,"
            " so wss:// may pass where ws:// does not"
        )
    if status in (400, 404, 405, 501):
        return f"check that {proxy.host}:{proxy.port} is a proxy that knows CONNECT"
    # Some say 500 where others say 502: tinyproxy and privoxy, "unable to connect".
    if status in (500, 502, 503, 504):
        return f"the proxy is there but cannot reach {target}"
    return None


def hint_for_loopback(proxy: Proxy, target: Target) -> str | None:
    """Say what goes wrong when a proxy elsewhere is asked to connect to this machine."""
    if not is_loopback(target.host) or is_loopback(proxy.host) or proxy.unix_path is not None:
        return None
    return f"to the proxy, {target.host} is the proxy itself; connect with proxy=None"


def hint_for_authentication(proxy: Proxy, response: Response) -> str:
    """Say what is missing for a proxy that wants authentication."""
    offered = parse_challenges(response.headers.get_all("Proxy-Authenticate"))
    schemes = {challenge.scheme for challenge in offered}
    if proxy.username is None and proxy.auth is None:
        if schemes and not schemes & {"basic", "digest", "ntlm", "negotiate"}:
            return f"the proxy wants credentials of the kind {', '.join(sorted(schemes))}"
        return f"the proxy wants a user name and a password: {with_password(proxy)}"
    if schemes and not schemes & {"basic", "digest"}:
        accepted = f"the proxy accepts only {', '.join(sorted(schemes))}"
        if schemes & {"ntlm", "negotiate"} and not is_negotiate_available():
            return f"{accepted}, which need `pip install tidegate[spnego]`"
        return f"{accepted}; check the user name, with its domain as DOMAIN\\user, and the password"
    return "the proxy refused the user name or the password; percent-escape special characters"


def hint_for_connection(exc: OSError, step: str, proxy: Proxy | None, target: Target) -> str | None:
    """Say what may help when a connection cannot be made or is lost."""
    if isinstance(exc, socket.gaierror):
        if proxy is not None and target.host != proxy.host:
            other = "socks5h" if proxy.is_socks5 else "socks4a"
            return f"let the proxy look it up: use {other}:// instead of {proxy.scheme}://"
        whose = "proxy" if proxy is not None else "server"
        return f"check the name of the {whose}, and whether you are in the network that knows it"
    if step == "connect":
        if exc.errno == errno.ECONNREFUSED:
            return "nothing listens there: check host and port, and whether it runs"
        return "check host and port, and whether a firewall is in between"
    if step == "TLS to proxy" and proxy is not None:
        plain = with_scheme(proxy, without_tls(proxy))
        others = ", or socks5h:// if it is a SOCKS proxy" if proxy.is_http else ""
        return (
            f"if this proxy doesn't speak TLS, use {plain}{others}; it may also want a client"
            " certificate, which a context for proxy_ssl can bring along"
        )
    if step == "CONNECT" and proxy is not None:
        return hint_for_silence(proxy)
    if step == "TLS to server":
        return f"the proxy opened the tunnel, but {target} doesn't answer with TLS"
    return None


def hint_for_handshake(route: Route) -> str | None:
    """Say what may help when the opening handshake through an open tunnel isn't answered."""
    if route.proxy is None:
        return None
    if route.uri.secure:
        return "what the proxy leads to doesn't speak HTTP; check host and port"
    # Proxies that look into what they carry let TLS pass, which they cannot look into.
    return "the proxy may not let WebSocket pass unless it is encrypted; try a wss:// URI"


def hint_for_timeout(step: str, proxy: Proxy | None, target: Target, heard: bool) -> str | None:
    """Say what may help when a step takes too long.

    Arguments:
        step: the step.
        proxy: whom it was made with, None for the server.
        target: whom the proxy was to connect to.
        heard: whether the proxy said anything at all.
    """
    if step == "connect":
        return "check host and port, and whether a firewall is in between"
    if step == "TLS to proxy" and proxy is not None:
        return f"if this proxy doesn't speak TLS, use {with_scheme(proxy, without_tls(proxy))}"
    if step == "CONNECT" and proxy is not None:
        if heard or proxy.is_http:
            return f"the proxy may be waiting for {target}, or this is another kind of proxy"
        # An HTTP proxy waits for the end of a line that SOCKS doesn't have.
        return f"if this is an HTTP proxy, use {with_scheme(proxy, 'http')}"
    if step in ("TLS to server", "handshake"):
        return f"the tunnel is open, but {target} doesn't answer"
    return None


def without_tls(proxy: Proxy) -> str:
    return "http" if proxy.is_http else proxy.scheme.removesuffix("+tls")


def hint_for_certificate(exc: ssl.SSLCertVerificationError, proxy: Proxy | None) -> str:
    """Say what may help against a certificate that isn't accepted, ``proxy``'s or the server's."""
    argument, name = ("ssl", "server_hostname")
    if proxy is not None:
        argument, name = ("proxy_ssl", "proxy_server_hostname")
    if "mismatch" in str(exc).lower():
        return f"if the certificate is right and has another name, give it as {name}"
    whose = "this proxy's own CA" if proxy is not None else "the CA of the server"
    if proxy is None:
        whose += " (or of a proxy that opens TLS on the way)"
    return f"if {whose} is to be trusted, give the path of its certificate as {argument}"


def hint_for_tls(exc: OSError, proxy: Proxy | None) -> str | None:
    """Say what may help when TLS fails otherwise."""
    text = str(exc).upper().replace(" ", "_")
    if proxy is None:
        return "check the port, and whether the URI should begin with ws:// instead of wss://"
    if "WRONG_VERSION_NUMBER" in text or "HTTP_REQUEST" in text or "RECORD_LAYER" in text:
        return f"this port doesn't speak TLS; try {with_scheme(proxy, without_tls(proxy))}"
    if "CERTIFICATE_REQUIRED" in text or "HANDSHAKE_FAILURE" in text:
        return "the proxy may want a client certificate: load it into a context for proxy_ssl"
    return None

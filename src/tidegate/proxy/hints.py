"""What to try when a proxy doesn't let through: one sentence for each situation that is known."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING

from ..hints import (
    CLOSED,
    OTHER,
    REFUSED,
    SERVER,
    UNREACHABLE,
    hint_for_certificate,
    hint_for_cut_off,
    hint_for_name,
    hint_for_no_answer,
    hint_for_tls,
    hint_of,
    speaker,
)
from .addresses import is_loopback
from .challenges import parse_challenges
from .negotiate import is_available as is_negotiate_available
from .steps import AUTHENTICATE, CONNECT, CONNECT_TCP, HANDSHAKE, PROXY_TLS, SERVER_TLS
from .url import Proxy

if TYPE_CHECKING:
    from ..exceptions import InvalidMessage
    from ..http11 import Response
    from .auth import Auth
    from .hop import Target
    from .routes import Route

__all__ = [
    "hint_for_connection",
    "hint_for_garbage",
    "hint_for_handshake",
    "hint_for_loopback",
    "hint_for_proxy_certificate",
    "hint_for_proxy_tls",
    "hint_for_silence",
    "hint_for_status",
    "hint_for_timeout",
    "with_password",
]

ESCAPE = "percent-escape special characters"

# What to use for what a proxy may accept.
AUTHS = {
    "basic": "a user and a password in its URL",
    "digest": "DigestAuth",
    "bearer": "BearerAuth",
    "ntlm": "NegotiateAuth",
    "negotiate": "NegotiateAuth",
}


def with_scheme(proxy: Proxy, scheme: str, user_info: str = "") -> str:
    """Give the URL of a proxy with another scheme and other credentials, by default none."""
    host = f"[{proxy.host}]" if ":" in proxy.host else proxy.host
    return f"{scheme}://{user_info}{host}:{proxy.port}"


def with_password(proxy: Proxy) -> str:
    """Give the URL of a proxy as it would be with a user and a password."""
    return with_scheme(proxy, proxy.scheme, "user:password@")


def hint_for_garbage(proxy: Proxy, data: bytes) -> str | None:
    """Say what speaks like ``data`` where a proxy was expected."""
    who = speaker(data)
    tls = "+tls" if proxy.tls else ""
    if who == "TLS":
        if proxy.is_http:
            return f"this port speaks TLS; try {with_scheme(proxy, 'https')}"
        secure, http = with_scheme(proxy, f"{proxy.scheme}+tls"), with_scheme(proxy, "https")
        return f"this port speaks TLS; try {secure}, or {http} if it is an HTTP proxy"
    if who == "HTTP" and not proxy.is_http:
        scheme = "https" if proxy.tls else "http"
        return f"this is an HTTP proxy or a web server; try {with_scheme(proxy, scheme)}"
    if who == "SOCKS5" and not proxy.is_socks5:
        return f"this is a SOCKS5 proxy; try {with_scheme(proxy, f'socks5h{tls}')}"
    if who == "SOCKS4" and not proxy.is_socks4:
        return f"this is a SOCKS4 proxy; try {with_scheme(proxy, f'socks4a{tls}')}"
    if who == "SSH":
        return "this is an SSH server; `ssh -D 1080 host` makes a SOCKS proxy of it"
    if who == "HTTP/2" and proxy.is_http:
        return "this port speaks HTTP/2 only; tidegate speaks HTTP/1.1 to proxies"
    return None


def hint_for_silence(proxy: Proxy, target: Target, step: str, heard: bool) -> str:
    """Say what may be wrong with a proxy that closes the connection before its answer is whole.

    Args:
        proxy: the proxy.
        target: whom it was to connect to.
        step: what it was asked for last.
        heard: whether it had said anything.
    """
    if heard and step == AUTHENTICATE:
        return f"it may have refused the user name or the password; {ESCAPE}"
    if heard:
        # It knows the protocol, so it's no other kind of proxy.
        return (
            f"the proxy may not have reached {target}: check host and port, and whether the server"
            " runs"
        )
    if proxy.tls:
        return (
            "check that this is a proxy; it may also want a client certificate, which proxy_ssl"
            " can bring along"
        )
    others = "https, socks5h" if proxy.is_http else "http, https"
    return (
        f"check that this is {proxy.scheme.upper()} and not another kind of proxy ({others}), and"
        f" that it can reach {target}"
    )


def hint_for_status(
    proxy: Proxy, target: Target, response: Response, auth: Auth | None
) -> str | None:
    """Say what may help against a refusal of an HTTP proxy that was authenticated to so."""
    status = response.status_code
    if status in (401, 407):
        return hint_for_authentication(proxy, response, auth)
    if 300 <= status < 400 or status == 511:
        where = response.headers.get_all("Location")
        return "this looks like a network that wants you to log in first; open " + (
            f"{where[0]} in a browser" if where else "any page in a browser"
        )
    if status == 403:
        if target.port == 443:
            return f"the proxy's rules forbid {target}; ask who runs it to allow that"
        return (
            f"the proxy's rules forbid {target}; many allow CONNECT to port 443 only, so a server"
            " may be reached there"
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


def hint_for_authentication(proxy: Proxy, response: Response, auth: Auth | None) -> str:
    """Say what is missing for a proxy that wants authentication."""
    offered = parse_challenges(response.headers.get_all("Proxy-Authenticate"))
    schemes = {challenge.scheme for challenge in offered}
    if auth is None:
        if schemes and not schemes & AUTHS.keys():
            return f"the proxy wants credentials of the kind {', '.join(sorted(schemes))}"
        return f"the proxy wants a user name and a password: {with_password(proxy)}"
    accepted = f"the proxy accepts only {', '.join(sorted(schemes))}"
    if schemes and auth.schemes is not None and not schemes & auth.schemes:
        if schemes & {"ntlm", "negotiate"} and not is_negotiate_available():
            return f"{accepted}, which need `pip install tidegate[spnego]`"
        known = dict.fromkeys(AUTHS[scheme] for scheme in AUTHS if scheme in schemes)
        if known:
            return f"{accepted}, which {type(auth).__name__} isn't: use {' or '.join(known)}"
        return f"{accepted}, which {type(auth).__name__} isn't"
    if schemes and not schemes & {"basic", "digest", "bearer"}:
        return f"{accepted}; check the user name, with its domain as DOMAIN\\user, and the password"
    if auth.schemes == frozenset({"bearer"}):
        return "the proxy refused the token"
    return f"the proxy refused the user name or the password; {ESCAPE}"


def hint_for_connection(
    exc: OSError, step: str, proxy: Proxy | None, target: Target, through: bool
) -> str | None:
    """Say what may help when a connection cannot be made or is lost.

    Args:
        exc: what happened.
        step: the step.
        proxy: whom it was made with, None for the server.
        target: where the connection was to lead.
        through: whether there is a proxy on the way.
    """
    if isinstance(exc, socket.gaierror):
        if proxy is not None and target.host != proxy.host:
            other = "socks5h" if proxy.is_socks5 else "socks4a"
            return f"let the proxy look it up: use {other}:// instead of {proxy.scheme}://"
        return hint_for_name(SERVER if proxy is None else "the proxy")
    if step == CONNECT_TCP:
        return REFUSED if exc.errno == errno.ECONNREFUSED else UNREACHABLE
    if step == PROXY_TLS and proxy is not None:
        plain = with_scheme(proxy, without_tls(proxy))
        others = ", or socks5h:// if it is a SOCKS proxy" if proxy.is_http else ""
        return (
            f"if this proxy doesn't speak TLS, use {plain}{others}; it may also want a client"
            " certificate, which a context for proxy_ssl can bring along"
        )
    if step == CONNECT and proxy is not None:
        return hint_for_silence(proxy, target, step, False)
    if step == SERVER_TLS:
        if through:
            return f"{OPENED}, but {target} doesn't answer with TLS; {EARLY}"
        return hint_for_cut_off(f"ws://{target}", "ssl")
    return None


# Not every proxy waits for the server's answer before it gives its own.
OPENED = "the proxy opened the tunnel"
EARLY = "it may refuse connections, which some proxies, such as `ssh -D`, don't tell"


def hint_for_handshake(route: Route, exc: InvalidMessage) -> str | None:
    """Say what may help when the opening handshake through an open tunnel isn't answered."""
    hint = hint_of(exc)
    if route.proxy is None or (hint is not None and not hint.startswith((CLOSED, OTHER))):
        return hint
    if route.uri.secure:
        return f"{OPENED}, but what is behind it doesn't speak HTTP; check host and port"
    # Proxies that look into what they carry let TLS pass, which they cannot look into.
    return (
        f"{OPENED}, but {route.destination} doesn't answer; {EARLY}, or the proxy may not let"
        " WebSocket pass unless it is encrypted; try a wss:// URI"
    )


def hint_for_timeout(
    step: str, proxy: Proxy | None, target: Target, heard: bool, through: bool
) -> str | None:
    """Say what may help when a step takes too long.

    Args:
        step: the step.
        proxy: whom it was made with, None for the server.
        target: where the connection was to lead.
        heard: whether the proxy said anything at all.
        through: whether there is a proxy on the way.
    """
    if step == CONNECT_TCP:
        return UNREACHABLE
    if step == PROXY_TLS and proxy is not None:
        return f"if this proxy doesn't speak TLS, use {with_scheme(proxy, without_tls(proxy))}"
    if step == CONNECT and proxy is not None:
        if heard or proxy.is_http:
            return f"the proxy may be waiting for {target}, or this is another kind of proxy"
        # It waits for the end of a line, or of a TLS record, that SOCKS doesn't have.
        if proxy.tls:
            return f"if this is an HTTP proxy, use {with_scheme(proxy, 'https')}"
        http, https = with_scheme(proxy, "http"), with_scheme(proxy, "https")
        return f"if this is an HTTP proxy, use {http}, or {https} if it speaks TLS"
    if step in (SERVER_TLS, HANDSHAKE):
        if through:
            return f"the tunnel is open, but {target} doesn't answer"
        return hint_for_no_answer(str(target))
    return None


def without_tls(proxy: Proxy) -> str:
    return "http" if proxy.is_http else proxy.scheme.removesuffix("+tls")


def hint_for_proxy_certificate(exc: ssl.SSLCertVerificationError, proxy: Proxy | None) -> str:
    """Say what may help against a certificate that isn't accepted, ``proxy``'s or the server's."""
    if proxy is None:
        return hint_for_certificate(exc, SERVER, "ssl", "server_hostname")
    return hint_for_certificate(exc, "this proxy", "proxy_ssl", "proxy_server_hostname")


def hint_for_proxy_tls(exc: OSError, step: str, proxy: Proxy | None, target: Target) -> str | None:
    """Say what may help when TLS fails otherwise, in the step or on its basis."""
    if proxy is not None:
        # Later on, it's known that there is TLS.
        plain = with_scheme(proxy, without_tls(proxy)) if step == PROXY_TLS else None
        return hint_for_tls(exc, plain, "proxy_ssl")
    hint = hint_for_tls(exc, f"ws://{target}" if step == SERVER_TLS else None, "ssl")
    return hint or "check host and port"

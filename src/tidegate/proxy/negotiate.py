"""Authenticating with NTLM, Kerberos or Negotiate (RFC 4559), by way of pyspnego.

It needs the extra ``tidegate[spnego]``, and Kerberos on other systems than Windows
``pyspnego[kerberos]`` as well.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
from collections.abc import Iterable, Sequence

from .auth import Auth, AuthFlow, ConnectRequest
from .challenges import Challenge

__all__ = ["NegotiateAuth", "is_available"]

# Some proxies compare them with their case.
NAMES = {"ntlm": "NTLM", "negotiate": "Negotiate", "kerberos": "Kerberos"}


def is_available() -> bool:
    """Say whether pyspnego is installed."""
    return importlib.util.find_spec("spnego") is not None


class NegotiateAuth(Auth):
    """The login of an operating system's domain: NTLM, Kerberos, or what both sides know of these.

    Args:
        username: the user, with their domain as ``DOMAIN\\user`` or ``user@domain`` where that is
            needed; None for the one who is logged in.
        password: their password, None if the system knows it.
        protocol: ``negotiate`` for Kerberos where possible and otherwise NTLM, or ``kerberos`` or
            ``ntlm``.
        service: the service that the proxy's Kerberos principal is for.
        hostname: the host of that principal, by default the name of the proxy.

    Raises:
        ImportError: if pyspnego isn't installed.
    """

    schemes = frozenset({"ntlm", "negotiate"})

    blocking = True

    def __init__(
        self,
        username: str | None = None,
        password: str | None = None,
        *,
        protocol: str = "negotiate",
        service: str = "HTTP",
        hostname: str | None = None,
    ) -> None:
        if not is_available():
            raise ImportError("NTLM and Negotiate need pyspnego: pip install tidegate[spnego]")
        self.username = username
        self.password = password
        self.protocol = protocol
        self.service = service
        self.hostname = hostname

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        import spnego

        if not challenges:
            challenges = yield None
        schemes = ("ntlm",) if self.protocol == "ntlm" else ("negotiate", "kerberos")
        challenge = find(challenges, schemes)
        if challenge is None and self.protocol == "negotiate":
            challenge = find(challenges, ("ntlm",))
        if challenge is None:
            return
        scheme = challenge.scheme
        client = spnego.client(
            self.username,
            self.password,
            hostname=self.hostname or request.proxy_host,
            service=self.service,
            protocol="ntlm" if scheme == "ntlm" else self.protocol,
        )
        token = client.step()
        while token is not None:
            challenges = yield f"{NAMES[scheme]} {base64.b64encode(token).decode()}"
            challenge = find(challenges, (scheme,))
            # Without a token of the proxy's this is the first challenge again: it refused.
            if challenge is None or challenge.token is None or client.complete:
                return
            try:
                received = base64.b64decode(challenge.token, validate=True)
            except binascii.Error:
                return
            token = client.step(received)


def find(challenges: Iterable[Challenge], schemes: Sequence[str]) -> Challenge | None:
    """Give the first challenge of one of these schemes."""
    return next((c for c in challenges if c.scheme in schemes), None)

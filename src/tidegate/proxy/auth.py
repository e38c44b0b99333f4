"""Authenticating to an HTTP proxy: what all ways of doing so have in common, and the simple ones.

An `Auth` is how to authenticate; it may serve many connections. For each of them its `Auth.flow` is
a conversation: it gives the value of the ``Proxy-Authorization`` header to send, gets the
challenges of the proxy's answer, gives the next value, and returns when it has nothing more to try.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Generator, Sequence

from .challenges import Challenge

__all__ = ["Auth", "AuthFlow", "BasicAuth", "BearerAuth", "ConnectRequest"]


@dataclasses.dataclass(frozen=True)
class ConnectRequest:
    """What is being authenticated.

    Attributes:
        target: the request target, ``host:port``.
        proxy_host: the name of the proxy.
    """

    target: str
    proxy_host: str


AuthFlow = Generator[str | None, Sequence[Challenge], None]


class Auth:
    """How to authenticate to an HTTP proxy; the base of all ways.

    Attributes:
        blocking: whether its flow may take long, so that it needs a thread.
        schemes: which schemes it can answer, in lower case; None if that isn't known.
    """

    blocking = False
    schemes: frozenset[str] | None = None

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        """Converse: yield a value for ``Proxy-Authorization`` or None, and get the challenges.

        Return when there is nothing more to try.

        Args:
            request: what is to be let through.
            challenges: those that were received already, if the conversation was begun by another.
        """
        raise NotImplementedError


class BasicAuth(Auth):
    """A user name and a password, as they are, in UTF-8 (RFC 7617).

    It is sent with the first request already: who doesn't want a proxy to see the password before
    it asked for it takes `DigestAuth`.

    Raises:
        ValueError: if the user name has a colon.
    """

    schemes = frozenset({"basic"})

    def __init__(self, username: str, password: str) -> None:
        if ":" in username:
            raise ValueError("a user name for Basic authentication cannot have a colon")
        pair = f"{username}:{password}".encode(errors="surrogateescape")
        self.value = f"Basic {base64.b64encode(pair).decode()}"

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        yield self.value


class BearerAuth(Auth):
    """A token (RFC 6750, section 2.1), or a function that gives the one of the moment."""

    schemes = frozenset({"bearer"})

    def __init__(self, token: str | Callable[[], str]) -> None:
        self.token = token
        self.blocking = callable(token)

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        yield f"Bearer {self.token() if callable(self.token) else self.token}"

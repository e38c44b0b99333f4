"""Which way to authenticate, where a proxy is to choose or a program brings its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .auth import Auth, AuthFlow, BasicAuth, ConnectRequest
from .challenges import Challenge
from .digest import DigestAuth, choose_digest
from .negotiate import NegotiateAuth
from .negotiate import is_available as is_negotiate_available

__all__ = ["AuthLike", "CallableAuth", "PasswordAuth", "make_auth"]


class PasswordAuth(Auth):
    """The user and password of a proxy's URL: Basic at once, else what the proxy asks for.

    Proxies that accept neither Basic nor Digest get the password only by way of NTLM or Negotiate,
    if ``pyspnego`` is installed.
    """

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.password = password
        self.digest = DigestAuth(username, password)
        self.blocking = is_negotiate_available()
        self.schemes = frozenset({"basic", "digest"})
        if is_negotiate_available():
            self.schemes |= {"ntlm", "negotiate"}

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        # Basic has no way to tell a colon in the name from the one behind it.
        if ":" in self.username:
            challenges = challenges or (yield None)
        elif not challenges or any(challenge.scheme == "basic" for challenge in challenges):
            challenges = yield BasicAuth(self.username, self.password).value
            if any(challenge.scheme == "basic" for challenge in challenges):
                # Trying the same password in other ways would only lock the account sooner.
                return
        if choose_digest(challenges) is not None:
            yield from self.digest.flow(request, challenges)
        elif is_negotiate_available():
            login = NegotiateAuth(self.username, self.password)
            yield from login.flow(request, challenges)


class CallableAuth(Auth):
    """A function of the program that answers challenges.

    Args:
        function: gets the challenges of the proxy, none for the first request; gives the value for
            ``Proxy-Authorization``, or a user and a password, or another `Auth`, or None when it
            has nothing (more) to offer. It may block: where that matters it runs in a thread.
    """

    blocking = True
    rounds = 3

    def __init__(self, function: Callable[[Sequence[Challenge]], AuthAnswer]) -> None:
        self.function = function

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        for number in range(self.rounds):
            answer = self.function(challenges)
            if answer is None and number > 0:
                return
            if answer is not None and not isinstance(answer, str):
                yield from make_auth(answer).flow(request, challenges)
                return
            challenges = yield answer


AuthAnswer = Auth | tuple[str, str] | str | None
AuthLike = Auth | tuple[str, str] | Callable[[Sequence[Challenge]], AuthAnswer]


def make_auth(auth: AuthLike) -> Auth:
    """Give the `Auth` that is meant: itself, a user and a password, or a function."""
    if isinstance(auth, Auth):
        return auth
    if isinstance(auth, tuple):
        return PasswordAuth(*auth)
    if callable(auth):
        return CallableAuth(auth)
    raise TypeError(f"expected an Auth, a user and a password, or a function, not {auth!r}")

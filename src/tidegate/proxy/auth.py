"""Authenticating to an HTTP proxy: Basic, Digest, Bearer, and whatever a program brings along.

An `Auth` is how to authenticate; it may serve many connections. For each of them its `Auth.flow` is
a conversation: it gives the value of the ``Proxy-Authorization`` header to send, gets the
challenges of the proxy's answer, gives the next value, and returns when it has nothing more to try.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
import secrets
import threading
import typing as t
from collections.abc import Callable, Generator, Iterable, Sequence

__all__ = [
    "Auth",
    "AuthLike",
    "BasicAuth",
    "BearerAuth",
    "CallableAuth",
    "Challenge",
    "ConnectRequest",
    "DigestAuth",
    "PasswordAuth",
    "make_auth",
    "parse_challenges",
]


@dataclasses.dataclass
class Challenge:
    """One way to authenticate that a proxy offers (RFC 9110 section 11.3).

    Attributes:
        scheme: such as ``basic``, in lower case.
        params: parameters by name in lower case.
        token: the data of a scheme that has no parameters, such as ``NTLM``.
    """

    scheme: str
    params: dict[str, str] = dataclasses.field(default_factory=dict)
    token: str | None = None


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
        same_connection: whether the conversation cannot go on in another connection.
    """

    blocking = False
    same_connection = False

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        """Converse: yield a value for ``Proxy-Authorization`` or None, and get the challenges.

        Return when there is nothing more to try.

        Arguments:
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

    def __init__(self, username: str, password: str) -> None:
        if ":" in username:
            raise ValueError("a user name for Basic authentication cannot have a colon")
        pair = f"{username}:{password}".encode(errors="surrogateescape")
        self.value = f"Basic {base64.b64encode(pair).decode()}"

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        yield self.value


class BearerAuth(Auth):
    """A token (RFC 6750 section 2.1), or a function that gives the one of the moment."""

    def __init__(self, token: str | Callable[[], str]) -> None:
        self.token = token
        self.blocking = callable(token)

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        yield f"Bearer {self.token() if callable(self.token) else self.token}"


class DigestAuth(Auth):
    """A password that is proved and not sent (RFC 7616).

    It knows MD5, SHA-256 and SHA-512-256, each also in its session variant. A nonce that a proxy
    gave is used again, counted, until the proxy wants another.
    """

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.password = password
        # Connections may be made in several threads.
        self.lock = threading.Lock()
        self.known: dict[str, DigestNonce] = {}

    def flow(self, request: ConnectRequest, challenges: Sequence[Challenge] = ()) -> AuthFlow:
        with self.lock:
            nonce = self.known.get(request.proxy_host)
            value = None if nonce is None else nonce.authorization(self, request.target)
        tried_fresh = False
        while True:
            if not challenges:
                challenges = yield value
            params = choose_digest(challenges)
            if params is None or (tried_fresh and params.get("stale", "").lower() != "true"):
                return
            tried_fresh = True
            challenges = ()
            nonce = DigestNonce(params)
            with self.lock:
                self.known[request.proxy_host] = nonce
                value = nonce.authorization(self, request.target)


DIGESTS: dict[str, Callable[[bytes], t.Any]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),
    "SHA-256": hashlib.sha256,
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data),
}


def algorithm_of(params: dict[str, str]) -> tuple[str, bool] | None:
    """Give the hash of a Digest challenge and whether it is the session variant."""
    name = params.get("algorithm", "MD5").upper()
    session = name.endswith("-SESS")
    name = name.removesuffix("-SESS")
    return (name, session) if name in DIGESTS else None


def choose_digest(challenges: Iterable[Challenge]) -> dict[str, str] | None:
    """Give the parameters of the strongest Digest challenge that can be answered, if any."""
    best = None
    best_rank = -1
    for challenge in challenges:
        params = challenge.params
        algorithm = algorithm_of(params)
        if challenge.scheme != "digest" or algorithm is None or "nonce" not in params:
            continue
        rank = list(DIGESTS).index(algorithm[0])
        if rank > best_rank:
            best, best_rank = params, rank
    return best


class DigestNonce:
    """A nonce of a proxy, and how often it was used."""

    def __init__(self, params: dict[str, str]) -> None:
        self.params = params
        algorithm = algorithm_of(params)
        assert algorithm is not None
        self.digest = DIGESTS[algorithm[0]]
        self.session = algorithm[1]
        self.count = 0
        # With a session, the key is made from the first nonce of the client (section 3.4.2).
        self.cnonce = secrets.token_hex(16)
        offered = {qop.strip().lower() for qop in params.get("qop", "").split(",")} - {""}
        self.qop = "auth" if "auth" in offered else "auth-int" if "auth-int" in offered else None

    def hash(self, *parts: str) -> str:
        encoded = ":".join(parts).encode(errors="surrogateescape")
        return t.cast(str, self.digest(encoded).hexdigest())

    def authorization(self, auth: DigestAuth, target: str) -> str:
        """Give the value of ``Proxy-Authorization`` for the next request to ``target``."""
        realm = self.params.get("realm", "")
        nonce = self.params["nonce"]
        self.count += 1
        count = f"{self.count:08x}"
        key = self.hash(auth.username, realm, auth.password)
        if self.session:
            key = self.hash(key, nonce, self.cnonce)
        request = ["CONNECT", target]
        if self.qop == "auth-int":
            request.append(self.hash(""))
        response = self.hash(
            key,
            nonce,
            *([count, self.cnonce, self.qop] if self.qop is not None else []),
            self.hash(*request),
        )
        userhash = self.params.get("userhash", "").lower() == "true"
        username = self.hash(auth.username, realm) if userhash else auth.username
        fields = [
            f"username={quote(username)}",
            f"realm={quote(realm)}",
            f"nonce={quote(nonce)}",
            f"uri={quote(target)}",
            f'response="{response}"',
        ]
        if "algorithm" in self.params:
            fields.append(f"algorithm={self.params['algorithm']}")
        if "opaque" in self.params:
            fields.append(f"opaque={quote(self.params['opaque'])}")
        if self.qop is not None:
            fields += [f"qop={self.qop}", f"nc={count}", f'cnonce="{self.cnonce}"']
        elif self.session:
            fields.append(f'cnonce="{self.cnonce}"')
        if userhash:
            fields.append("userhash=true")
        return "Digest " + ", ".join(fields)


def quote(value: str) -> str:
    """Give a quoted-string (RFC 9110 section 5.6.4) that holds UTF-8, as Latin-1 text."""
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'.encode(errors="surrogateescape").decode("latin-1")


class PasswordAuth(Auth):
    """The user and password of a proxy's URL: Basic at once, else what the proxy asks for.

    Proxies that accept neither Basic nor Digest get the password only by way of NTLM or Negotiate,
    if ``pyspnego`` is installed.
    """

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.password = password
        self.digest = DigestAuth(username, password)

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


class CallableAuth(Auth):
    """A function of the program that answers challenges.

    Arguments:
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


TOKEN = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"

# A scheme, alone or before a token68 or a parameter; a parameter; a comma (RFC 9110 section 11.6).
CHALLENGE_PARTS = re.compile(
    rf"""[ \t,]*(?:
        (?P<name>{TOKEN})[ \t]*=[ \t]*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<value>{TOKEN}))
            (?=[ \t]*(?:,|$))
        |(?P<scheme>{TOKEN})(?:[ \t]+(?P<token>[-A-Za-z0-9._~+/]+=*)(?=[ \t]*(?:,|$)))?
            (?=[ \t]|,|$)
    )""",
    re.VERBOSE,
)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read the values of ``Proxy-Authenticate`` headers.

    What cannot be read is left out: another challenge may still be good.
    """
    challenges: list[Challenge] = []
    for header in headers:
        position = 0
        current: Challenge | None = None
        while match := CHALLENGE_PARTS.match(header, position):
            position = match.end()
            if match["scheme"] is not None:
                current = Challenge(match["scheme"].lower(), token=match["token"])
                challenges.append(current)
            elif current is not None:
                value = match["value"]
                if value is None:
                    value = re.sub(r"\\(.)", r"\1", match["quoted"])
                current.params.setdefault(match["name"].lower(), value)
    return challenges

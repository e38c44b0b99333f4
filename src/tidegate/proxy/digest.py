"""Digest authentication (RFC 7616)."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from .auth import Auth, AuthFlow, ConnectRequest
from .challenges import Challenge

__all__ = ["DigestAuth", "choose_digest"]


class DigestAuth(Auth):
    """A password that is proved and not sent (RFC 7616).

    It knows MD5, SHA-256 and SHA-512-256, each also in its session variant. A nonce that a proxy
    gave is used again, counted, until the proxy wants another.
    """

    schemes = frozenset({"digest"})

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


DIGESTS: dict[str, Callable[[bytes], Any]] = {
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
        return cast(str, self.digest(encoded).hexdigest())

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
    """Give a quoted-string (RFC 9110, section 5.6.4) that holds UTF-8, as Latin-1 text."""
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'.encode(errors="surrogateescape").decode("latin-1")

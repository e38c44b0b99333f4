"""An HTTP proxy to start inside a test."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import secrets
from typing import Any

from ..proxy.challenges import parse_challenges
from .proxies import Finished, ProxyRequest, ProxyServer

__all__ = ["HTTPProxyServer"]

REALM = "tidegate"

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


class HTTPProxyServer(ProxyServer):
    """An HTTP proxy, or an HTTPS proxy with ``ssl``, for the method ``CONNECT``.

    Args:
        auth: how users authenticate: ``basic``, or the name of a Digest algorithm, such as ``MD5``
            or ``SHA-256-sess``.
        **options: those of `ProxyServer`.
    """

    def __init__(self, *, auth: str = "basic", **options: Any) -> None:
        super().__init__(**options)
        self.auth = auth
        self.nonce = secrets.token_hex(8)
        self.counts: dict[str, int] = {}

    @property
    def url_scheme(self) -> str:
        return "http" if self.ssl is None else "https"

    def expire_nonce(self) -> None:
        """Forget the nonce of Digest, so that the next use of it is stale."""
        self.nonce = secrets.token_hex(8)
        self.counts.clear()

    async def negotiate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, version = head[0].split(" ")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            if method != "CONNECT":
                await self.answer(writer, response(405, "Method Not Allowed"))
                continue
            if self.username is None or await self.authenticate(target, headers, writer):
                break
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        request = ProxyRequest(host, int(port), self.username, headers, version)
        self.requests.append(request)
        if self.faults.refuse is not None:
            await self.answer(writer, response(self.faults.refuse, "Refused"))
            raise Finished
        try:
            server = await self.dial(host, int(port))
        except OSError as exc:
            await self.answer(writer, response(502, "Bad Gateway", body=f"{exc}\n"))
            raise Finished from None
        try:
            await self.answer(writer, b"HTTP/1.1 200 Connection established\r\n\r\n")
        except BaseException:
            server[1].transport.abort()
            raise
        await self.relay((reader, writer), server)

    async def authenticate(
        self, target: str, headers: dict[str, str], writer: asyncio.StreamWriter
    ) -> bool:
        """Let a request in, or send it a challenge."""
        value = headers.get("proxy-authorization", "")
        known = (
            self.knows_basic(value) if self.auth == "basic" else self.knows_digest(value, target)
        )
        if known is True and not self.faults.wrong_password:
            return True
        if self.auth == "basic":
            challenge = f'Basic realm="{REALM}", charset="UTF-8"'
        else:
            challenge = (
                f'Digest realm="{REALM}", qop="auth", algorithm={self.auth}, nonce="{self.nonce}"'
                + (", stale=true" if known is None else "")
            )
        extra = f"Proxy-Authenticate: {challenge}\r\n"
        if self.faults.close_on_challenge:
            extra += "Connection: close\r\n"
        await self.answer(
            writer, response(407, "Proxy Authentication Required", extra, "Who are you?\n")
        )
        if self.faults.close_on_challenge:
            writer.close()
            await writer.wait_closed()
            raise Finished
        return False

    def knows_basic(self, value: str) -> bool:
        """Say whether a header has the right user name and password."""
        scheme, _, token = value.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            pair = base64.b64decode(token, validate=True)
        except binascii.Error:
            return False
        return pair == f"{self.username}:{self.password}".encode()

    def knows_digest(self, value: str, target: str) -> bool | None:
        """Check the answer to a challenge; give None if the nonce isn't good any more."""
        # Credentials and challenges have the same form (RFC 9110, section 11.4).
        parsed = parse_challenges([value])
        if not parsed or parsed[0].scheme != "digest":
            return False
        given = parsed[0].params
        algorithm = self.auth.removesuffix("-sess")

        def digest(*parts: str | None) -> str:
            text = ":".join(part or "" for part in parts)
            return hashlib.new(HASHES[algorithm], text.encode()).hexdigest()

        key = digest(self.username, REALM, self.password)
        if self.auth.endswith("-sess"):
            key = digest(key, given.get("nonce"), given.get("cnonce"))
        expected = digest(
            key,
            given.get("nonce"),
            given.get("nc"),
            given.get("cnonce"),
            "auth",
            digest("CONNECT", target),
        )
        if given.get("response") != expected or given.get("uri") != target:
            return False
        count = int(given.get("nc", "0"), 16)
        if given.get("nonce") != self.nonce or count <= self.counts.get(self.nonce, 0):
            return None
        self.counts[self.nonce] = count
        return True


def response(status: int, reason: str, extra: str = "", body: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status} {reason}\r\n{extra}Content-Type: text/plain\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}"
    ).encode()

"""A SOCKS proxy to start inside a test."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

from .proxies import Finished, ProxyRequest, ProxyServer

__all__ = ["SOCKSProxyServer"]

GENERAL_FAILURE, REJECTED = 1, 0x5B


class SOCKSProxyServer(ProxyServer):
    """A proxy for SOCKS4, 4a and 5, inside TLS with ``ssl``.

    Args:
        scheme: the scheme of its URL, ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``. It speaks
            the version that this names and no other.
        **options: those of `ProxyServer`. With SOCKS4 there is no password, but it still may be
            that only ``username`` is let in.
    """

    def __init__(self, scheme: str = "socks5h", **options: Any) -> None:
        super().__init__(**options)
        self.socks_scheme = scheme

    @property
    def url_scheme(self) -> str:
        return self.socks_scheme if self.ssl is None else f"{self.socks_scheme}+tls"

    async def negotiate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version = (await reader.readexactly(1))[0]
        if version != (4 if self.socks_scheme.startswith("socks4") else 5):
            raise Finished
        negotiate = self.negotiate4 if version == 4 else self.negotiate5
        request = await negotiate(reader, writer)
        self.requests.append(request)
        if self.faults.refuse is not None:
            await self.answer(writer, self.reply(self.faults.refuse))
            raise Finished
        try:
            server = await self.dial(request.host, request.port)
        except OSError:
            await self.answer(writer, self.reply(REJECTED if version == 4 else GENERAL_FAILURE))
            raise Finished from None
        try:
            await self.answer(writer, self.reply(0x5A if version == 4 else 0))
        except BaseException:
            server[1].transport.abort()
            raise
        await self.relay((reader, writer), server)

    def reply(self, code: int) -> bytes:
        """Give the reply with a code, and no address."""
        if self.socks_scheme.startswith("socks4"):
            return bytes([0, code]) + bytes(6)
        return bytes([5, code, 0, 1]) + bytes(6)

    async def negotiate4(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> ProxyRequest:
        """Take a request of version 4 or 4a, and give it."""
        await reader.readexactly(1)
        port = int.from_bytes(await reader.readexactly(2), "big")
        address = await reader.readexactly(4)
        user = (await reader.readuntil(b"\0"))[:-1].decode()
        host, version = str(ipaddress.IPv4Address(address)), "SOCKS4"
        if address[:3] == b"\0\0\0" and address[3] != 0:
            host, version = (await reader.readuntil(b"\0"))[:-1].decode(), "SOCKS4a"
        if self.username is not None and (user != self.username or self.faults.wrong_password):
            await self.answer(writer, self.reply(0x5D))
            raise Finished
        return ProxyRequest(host, port, user or None, version=version)

    async def negotiate5(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> ProxyRequest:
        """Take a request of version 5, and give it."""
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        method = 0 if self.username is None else 2
        if method not in methods:
            await self.answer(writer, b"\x05\xff")
            raise Finished
        await self.answer(writer, bytes([5, method]))
        if method == 2:
            await reader.readexactly(1)
            user = await reader.readexactly((await reader.readexactly(1))[0])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            right = (user.decode(), password.decode()) == (self.username, self.password)
            if not right or self.faults.wrong_password:
                await self.answer(writer, b"\x01\x01")
                raise Finished
            await self.answer(writer, b"\x01\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        return ProxyRequest(host, port, self.username, version="SOCKS5")

"""Servers to try things out with, in the interface of ``proxy-protocol``: a relay and an echo."""

from __future__ import annotations

import ssl as _ssl
from urllib.parse import SplitResult, parse_qs, urlsplit

from ..base import ProxyProtocol
from ..version import ProxyProtocolVersion

__all__ = ["Address"]


class Address:
    """An address as it is written on a command line.

    ::

        localhost:10007
        :10007?pp=v1
        ssl://example.com:443
        ssl://:443?cert=/path/to/cert.pem&key=/path/to/key.pem&ca=/path/to/ca.pem&verify=CERT_REQUIRED

    Args:
        addr: the text.
        server: whether it is one to listen on.

    Raises:
        ValueError: if it is malformed.
    """

    __slots__ = ("_ssl", "query", "server", "url")

    def __init__(self, addr: str, *, server: bool = False) -> None:
        self.url: SplitResult = urlsplit(addr if "://" in addr else f"//{addr}")
        self.query: dict[str, list[str]] = parse_qs(self.url.query)
        self.server = server
        self._ssl: _ssl.SSLContext | None = None
        # It is looked at late, and would fail late.
        self.url.port  # noqa: B018

    @property
    def host(self) -> str:
        """The host, empty for all addresses of this machine."""
        return self.url.hostname or ""

    @property
    def port(self) -> int | None:
        """The port, None if there is none."""
        return self.url.port

    @property
    def pp(self) -> ProxyProtocol:
        """The version of the PROXY protocol: ``?pp=v1``, ``v2``, ``detect`` or ``noop``.

        Raises:
            ValueError: if there is no such version.
        """
        name = self._option("pp") or "detect"
        try:
            return ProxyProtocolVersion.get(name)
        except KeyError:
            raise ValueError(f"there is no version {name!r} of the PROXY protocol") from None

    @property
    def ssl(self) -> _ssl.SSLContext | None:
        """The TLS context for ``ssl://`` addresses, None for others.

        Raises:
            ValueError: if a server has no certificate, or ``verify`` has another value than those
                of :class:`ssl.VerifyMode`.
            OSError: if a file can't be read; it is an ``ssl.SSLError`` if it can't be used.
        """
        if self._ssl is None and self.url.scheme == "ssl":
            self._ssl = self._make_context()
        return self._ssl

    def _make_context(self) -> _ssl.SSLContext:
        cert, key, ca = (self._option(name) for name in ("cert", "key", "ca"))
        if self.server:
            if cert is None:
                raise ValueError(f"{self} needs a certificate: ?cert=/path/to/cert.pem")
            context = _ssl.create_default_context(_ssl.Purpose.CLIENT_AUTH, cafile=ca)
        else:
            context = _ssl.create_default_context(cafile=ca)
        if cert is not None:
            context.load_cert_chain(cert, key)
        verify = self._option("verify")
        if verify is not None:
            try:
                mode = _ssl.VerifyMode[verify]
            except KeyError:
                names = ", ".join(_ssl.VerifyMode.__members__)
                raise ValueError(f"verify must be one of {names}, not {verify!r}") from None
            context.check_hostname = not self.server and mode is _ssl.CERT_REQUIRED
            context.verify_mode = mode
        return context

    def _option(self, name: str) -> str | None:
        values = self.query.get(name)
        return values[-1] if values else None

    def __str__(self) -> str:
        return self.url.geturl().removeprefix("//")

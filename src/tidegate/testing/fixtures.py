"""Fixtures for pytest: a proxy of each kind, in a thread of its own.

Make them known in ``conftest.py``::

    pytest_plugins = ["tidegate.testing.fixtures"]

They work for tests with and without asyncio. Set ``faults`` of a proxy to see it fail, and
``hosts`` to give names of your own to local servers.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from .http_proxy import HTTPProxyServer
from .socks_proxy import SOCKSProxyServer

__all__ = ["http_proxy", "https_proxy", "https_proxy_ca", "socks_proxy"]


@pytest.fixture
def http_proxy() -> Iterator[HTTPProxyServer]:
    """An HTTP proxy that lets in anybody."""
    with HTTPProxyServer().in_thread() as proxy:
        yield proxy


@pytest.fixture
def socks_proxy() -> Iterator[SOCKSProxyServer]:
    """A SOCKS5 proxy that resolves names and lets in anybody."""
    with SOCKSProxyServer("socks5h").in_thread() as proxy:
        yield proxy


@pytest.fixture(scope="session")
def https_proxy_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CA certificate that ``https_proxy`` is to be trusted by; it is for ``proxy_ssl``."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    directory = tmp_path_factory.mktemp("https_proxy")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    server = authority.issue_cert("localhost", "127.0.0.1", "::1")
    server.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return directory / "ca.pem"


@pytest.fixture
def https_proxy(https_proxy_ca: Path) -> Iterator[HTTPProxyServer]:
    """An HTTPS proxy that lets in anybody. It needs trustme."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(https_proxy_ca.with_name("server.pem"))
    with HTTPProxyServer(ssl=context).in_thread() as proxy:
        yield proxy

"""Runs a proxy for tests in a process of its own: ``python -m tidegate.testing --help``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .http_proxy import HTTPProxyServer
from .proxies import Faults, ProxyServer
from .socks_proxy import SOCKSProxyServer

SCHEMES = ("http", "socks4", "socks4a", "socks5", "socks5h")

PARSERS: dict[str, Callable[[str], object]] = {
    "bool": lambda text: text.lower() not in ("0", "no", "false"),
    "float": float,
    "int | None": int,
    "bytes": lambda text: text.encode(),
    "bytes | None": lambda text: text.encode(),
}


def parse_fault(text: str) -> tuple[str, object]:
    """Read ``name=value``, or ``name`` for what is true or false."""
    name, _, value = text.partition("=")
    for field in dataclasses.fields(Faults):
        if field.name == name:
            try:
                return name, PARSERS[str(field.type)](value or "1")
            except ValueError as exc:
                raise argparse.ArgumentTypeError(f"{name}: {exc}") from None
    names = ", ".join(field.name for field in dataclasses.fields(Faults))
    raise argparse.ArgumentTypeError(f"there is no fault {name!r}, only {names}")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tidegate.testing",
        description="Run a proxy for tests; it prints its URL and runs until it is interrupted.",
    )
    parser.add_argument("scheme", choices=SCHEMES, help="what it speaks")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="the port, by default a free one")
    parser.add_argument("--user", metavar="NAME:PASSWORD", help="who may use it")
    parser.add_argument("--auth", default="basic", help="HTTP: basic, MD5, SHA-256, SHA-256-sess …")
    parser.add_argument("--cert", metavar="PEM", help="certificate and key, for TLS with clients")
    parser.add_argument(
        "--fault",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=parse_fault,
        help="what to do wrong, such as refuse=503 or delay=1.5; may be repeated",
    )
    return parser


def make_server(arguments: argparse.Namespace) -> ProxyServer:
    """Give the proxy that the command line asks for."""
    user, colon, password = (arguments.user or "").partition(":")
    options: dict[str, Any] = {
        "host": arguments.host,
        "port": arguments.port,
        "username": user or None,
        "password": password if colon else None,
        "faults": Faults(**dict(arguments.fault)),
    }
    if arguments.cert:
        options["ssl"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        options["ssl"].load_cert_chain(arguments.cert)
    if arguments.scheme == "http":
        return HTTPProxyServer(auth=arguments.auth, **options)
    return SOCKSProxyServer(arguments.scheme, **options)


async def run(server: ProxyServer) -> None:
    """Run a proxy until this process is told to end."""
    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with server:
        print(server.url, flush=True)
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    server = make_server(make_parser().parse_args(arguments))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(server))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A relay: what connects to it is connected to somewhere else, after a PROXY protocol header."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import sys
from collections.abc import Sequence

from ..dnsbl import Dnsbl
from ..gate import HeaderGate
from ..policy import ProxyPolicy
from . import Address
from .protocol import DownstreamProtocol, RelayLimits, UpstreamProtocol

__all__ = ["add_arguments", "main", "run"]

logger = logging.getLogger(__name__)

# In seconds
DNSBL_TIMEOUT = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.description = (
        "Pass connections on to somewhere else, each after a PROXY protocol header that says where"
        " it comes from."
    )
    parser.add_argument(
        "addresses",
        nargs="*",
        metavar="LISTEN TARGET",
        help="where to listen and where to connect to: HOST:PORT, or ssl://HOST:PORT with TLS;"
        " TARGET?pp=v1 for version 1 of the header, ssl://...?cert=FILE&key=FILE for a certificate,"
        " ca=FILE and verify=CERT_NONE, CERT_OPTIONAL or CERT_REQUIRED for the verification of the"
        " other side's",
    )
    parser.add_argument(
        "--service",
        nargs=2,
        action="append",
        default=[],
        metavar=("SOURCE:PORT", "DEST:PORT"),
        help="one more pair of LISTEN and TARGET; may be repeated",
    )
    parser.add_argument(
        "--trusted",
        action="append",
        metavar="NETWORK",
        help="expect a header from this address or network, and pass on what it says; may be"
        " repeated",
    )
    parser.add_argument(
        "--buf-len",
        type=positive(int),
        default=262_144,
        metavar="BYTES",
        help="how much is read at once (%(default)s)",
    )
    parser.add_argument("--dnsbl", metavar="HOST", help="a DNS blocklist to look up clients in")
    parser.add_argument(
        "--max-connections",
        type=positive(int),
        default=RelayLimits().connections,
        metavar="N",
        help="how many connections there may be at a time (%(default)s)",
    )
    parser.add_argument(
        "--connect-timeout",
        type=positive(float),
        default=RelayLimits().connect_timeout,
        metavar="SECONDS",
        help="how long connecting to TARGET may take (%(default)s)",
    )
    parser.add_argument(
        "--idle-timeout",
        type=positive(float),
        default=RelayLimits().idle_timeout,
        metavar="SECONDS",
        help="close connections on which nothing happens for so long (%(default)s)",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="tell about connections that failed only"
    )


def positive(number: type[int] | type[float]) -> functools.partial[float]:
    return functools.partial(read_positive, number)


def read_positive(number: type[int] | type[float], text: str) -> float:
    try:
        value = number(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above zero")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of its own, ``proxyprotocol-server``; give the exit status."""
    parser = argparse.ArgumentParser(prog="proxyprotocol-server")
    add_arguments(parser)
    return run_command(parser.parse_args(argv))


def run_command(args: argparse.Namespace) -> int:
    """Run the command; give the exit status."""
    level = logging.ERROR if args.quiet else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)-15s %(name)s %(message)s")
    try:
        return asyncio.run(run(args))
    except (OSError, ValueError) as exc:
        print(f"relay: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


async def run(args: argparse.Namespace) -> int:
    """Relay until this is cancelled.

    Args:
        args: what :func:`add_arguments` asks for; all but ``service`` may be missing.

    Raises:
        OSError: if it isn't possible to listen somewhere.
        ValueError: if an address is malformed, or there is none.
    """
    addresses = list(getattr(args, "addresses", ()))
    if len(addresses) not in (0, 2):
        raise ValueError("give LISTEN and TARGET, or services")
    pairs = [*([addresses] if addresses else []), *args.service]
    if not pairs:
        raise ValueError("there is nothing to relay: give LISTEN and TARGET")
    trusted = getattr(args, "trusted", None)
    policy = ProxyPolicy(trusted=trusted, untrusted="reject") if trusted else None
    defaults = RelayLimits()
    limits = RelayLimits(
        getattr(args, "max_connections", defaults.connections),
        getattr(args, "connect_timeout", defaults.connect_timeout),
        getattr(args, "idle_timeout", defaults.idle_timeout),
    )
    dnsbl = Dnsbl.load(getattr(args, "dnsbl", None), timeout=DNSBL_TIMEOUT)
    buf_len = getattr(args, "buf_len", None) or 262_144
    servers = []
    try:
        for source, target in pairs:
            try:
                server = await listen(
                    source if isinstance(source, Address) else Address(source, server=True),
                    target if isinstance(target, Address) else Address(target),
                    policy,
                    limits,
                    dnsbl,
                    buf_len,
                )
            except OSError as exc:
                what = f"cannot relay from {source} to {target}: {exc.strerror or exc}"
                raise OSError(what) from exc
            servers.append(server)
        await asyncio.get_running_loop().create_future()
    finally:
        for server in servers:
            server.close()
        for connection in tuple(limits.open):
            connection.transport.abort()
    return 0


async def listen(
    source: Address,
    target: Address,
    policy: ProxyPolicy | None,
    limits: RelayLimits,
    dnsbl: Dnsbl,
    buf_len: int,
) -> asyncio.Server:
    """Start to relay from one address to another one.

    Args:
        source: where to listen.
        target: where to connect to.
        policy: from whom headers are taken, None if from nobody.
        limits: what the relay puts up with.
        dnsbl: the blocklist to look up clients in.
        buf_len: how much is read at once, in bytes.

    Raises:
        OSError: if it isn't possible to listen there, or a certificate can't be read.
        ValueError: if an address is incomplete.
    """
    loop = asyncio.get_running_loop()
    if target.port is None:
        raise ValueError(f"{target} has no port")
    # What is wrong with these should be found now.
    _ = target.pp, target.ssl
    protocol = functools.partial(
        DownstreamProtocol, UpstreamProtocol, loop, buf_len, dnsbl, target, limits=limits
    )
    host, port = source.host or None, source.port or 0
    if policy is None:
        server = await loop.create_server(protocol, host, port, ssl=source.ssl)
    else:
        server = await loop.create_server(HeaderGate(policy, protocol, ssl=source.ssl), host, port)
    for sock in server.sockets:
        logger.info("Relaying from %s to %s", sock.getsockname(), target)
    return server


if __name__ == "__main__":
    sys.exit(main())

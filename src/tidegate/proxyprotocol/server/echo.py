"""A server that tells who connects, and sends back what it gets."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence

from ..describe import describe, to_json
from ..noop import ProxyProtocolNoop
from ..policy import ProxyPolicy, Trust
from ..sock import SocketInfo
from ..streams import ProxiedStreamWriter, start_server
from ..v1 import ProxyProtocolV1
from ..v2 import ProxyProtocolV2
from . import Address

__all__ = ["add_arguments", "main", "run", "run_conn"]

logger = logging.getLogger(__name__)

DEFAULT = ":10007"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.description = (
        "Serve connections that begin with a PROXY protocol header: tell what it says, with every"
        " TLV, and send back what follows."
    )
    parser.add_argument(
        "address",
        nargs="?",
        type=listen_address,
        default=listen_address(DEFAULT),
        metavar="HOST:PORT",
        help=f"where to listen ({DEFAULT}); with ?pp=v1, v2, detect or noop, and as"
        " ssl://HOST:PORT?cert=FILE&key=FILE for TLS after the header",
    )
    parser.add_argument(
        "--trusted",
        action="append",
        metavar="NETWORK",
        help="take headers from this address or network only, and nothing from others; may be"
        " repeated (everybody's headers are taken without it)",
    )
    parser.add_argument("--json", action="store_true", help="write JSON, one line per header")


def listen_address(text: str) -> Address:
    try:
        return Address(text, server=True)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of its own, ``proxyprotocol-echo``; give the exit status."""
    parser = argparse.ArgumentParser(prog="proxyprotocol-echo")
    add_arguments(parser)
    return run_command(parser.parse_args(argv))


def run_command(args: argparse.Namespace) -> int:
    """Run the command; give the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)-15s %(name)s %(message)s")
    # Why connections were refused.
    logging.getLogger("tidegate.proxyprotocol").setLevel(logging.DEBUG)
    try:
        return asyncio.run(run(args.address, trusted=args.trusted or "anyone", as_json=args.json))
    except OSError as exc:
        print(f"echo: cannot listen on {args.address}: {exc.strerror or exc}", file=sys.stderr)
        return 1
    except ValueError as exc:
        print(f"echo: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def policy_for(address: Address, trusted: Trust) -> ProxyPolicy:
    """Give the policy for an address: which versions are allowed stands there."""
    pp = address.pp
    if isinstance(pp, ProxyProtocolNoop):
        return ProxyPolicy(trusted=[])
    versions = (1,) if isinstance(pp, ProxyProtocolV1) else (1, 2)
    if isinstance(pp, ProxyProtocolV2):
        versions = (2,)
    return ProxyPolicy(trusted=trusted, untrusted="reject", versions=versions)


async def run(address: Address, *, trusted: Trust = "anyone", as_json: bool = False) -> int:
    """Serve until this is cancelled.

    Args:
        address: where to listen.
        trusted: from whom headers are taken, as for :class:`ProxyPolicy`.
        as_json: write JSON.

    Raises:
        OSError: if it isn't possible to listen there.
        ValueError: if the address or a network is malformed.
    """

    async def connected(
        reader: StreamReader, writer: ProxiedStreamWriter, info: SocketInfo
    ) -> None:
        header = writer.proxy_header
        if header is not None:
            lines = [json.dumps(to_json(header))] if as_json else [*describe(header), ""]
            print("\n".join(lines), flush=True)
        await run_conn(reader, writer, info)

    server = await start_server(
        connected,
        address.host or None,
        address.port or 0,
        policy=policy_for(address, trusted),
        ssl=address.ssl,
    )
    for sock in server.sockets:
        logger.info("Listening on %s", sock.getsockname())
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()
    return 0


async def run_conn(reader: StreamReader, writer: StreamWriter, sock_info: SocketInfo) -> None:
    """Send back what comes from one connection."""
    name = sock_info.unique_id.hex()
    logger.info("[%s] Connection received: %s", name, sock_info)
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        # It was reset.
        pass
    finally:
        logger.info("[%s] Connection lost", name)
        writer.close()


if __name__ == "__main__":
    sys.exit(main())

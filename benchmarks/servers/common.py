"""What the servers of the benchmark share: arguments, event loop, and saying that they are ready.

Every server does the same, by path:

- ``/`` gives every message back;
- ``/receive`` gets every message that comes on ``/trigger``;
- ``/trigger`` sends its messages to everybody on ``/receive``, by the library's own means.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    port: int
    unix: str | None
    tls: ssl.SSLContext | None


def announce(server: Any, options: Options) -> None:
    """Tell the harness the port on standard output."""
    port = 0 if options.unix else server.sockets[0].getsockname()[1]
    print("ready", port, flush=True)


def parse() -> tuple[Options, str]:
    """Give the options of the command line, and the event loop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--unix", metavar="PATH")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    arguments = parser.parse_args()

    context = None
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*arguments.tls)

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    return Options(arguments.port, arguments.unix, context), arguments.loop


def run(serve: Callable[[Options], Awaitable[None]]) -> None:
    """Run ``serve`` with the options of the command line, until the process is terminated."""
    options, loop = parse()

    async def main() -> None:
        await serve(options)

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(main())


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Give what makes an event loop of that name."""
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop

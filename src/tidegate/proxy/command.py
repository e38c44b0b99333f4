"""``tidegate route URI``: which way a connection takes, why, and whether it gets there."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import re
import socket
import sys
from pathlib import Path
from typing import Any

from ..core.dialling import WEBSOCKET_SCHEMES
from ..exceptions import InvalidProxy, InvalidURI, WebSocketException
from ..hints import hint_of
from .choice import ProxyLike, route
from .hop import Target
from .passage import Passage
from .routes import Route
from .tls import make_context
from .url import Proxy

__all__ = ["add_arguments", "run"]

DESCRIPTION = """\
Tell which proxies a connection to URI goes through and why, without going there, or with --probe
go there. The exit status is 0 if there is a way, 1 if the probe fails, and 2 if URI or a proxy is
malformed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.description = DESCRIPTION
    parser.add_argument("uri", metavar="URI", help="ws:// or wss:// URI of a server, or HOST:PORT")
    parser.add_argument(
        "--proxy",
        action="append",
        metavar="URL",
        help="use this proxy instead of looking for one: a URL, several joined by '->', or none; "
        "may be repeated, to try one after the other",
    )
    parser.add_argument(
        "--env",
        type=Path,
        metavar="FILE",
        help="read environment variables from FILE, with NAME=value lines or such as "
        "/proc/PID/environ, instead of those of this process",
    )
    parser.add_argument(
        "--loopback", action="store_true", help="look for a proxy for this machine, too"
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help="go there, up to the opening handshake, and tell how long each step takes",
    )
    parser.add_argument("--ca", metavar="PEM", help="certificates to trust for the server")
    parser.add_argument("--proxy-ca", metavar="PEM", help="certificates to trust for proxies")
    parser.add_argument(
        "--timeout",
        type=float,
        default=10,
        metavar="SECONDS",
        help="how long a probe may take (%(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")


def run(args: argparse.Namespace) -> int:
    """Run the command; give the exit status."""
    args.uri = complete_uri(args.uri)
    try:
        environment = os.environ if args.env is None else read_environment(args.env)
        found = route(
            args.uri,
            chosen_proxy(args.proxy),
            environment=environment,
            proxy_loopback=True if args.loopback else None,
        )
    except (InvalidProxy, InvalidURI, OSError, UnicodeDecodeError) as exc:
        print(f"tidegate route: {exc}", file=sys.stderr)
        return 2
    addresses = resolve(found)
    if not args.json:
        print(found.explain())
        for name, found_addresses in addresses.items():
            print(f"addresses of {name}: {found_addresses}")
    probes = asyncio.run(probe_all(found, args)) if args.probe else []
    if args.json:
        report = found.as_dict() | {"addresses": addresses}
        if args.probe:
            report["probes"] = [dataclasses.asdict(probe) for probe in probes]
        json.dump(report, sys.stdout, indent=2)
        print()
    return 0 if not probes or probes[-1].error is None else 1


# RFC 3986, section 3.1
has_scheme = re.compile(r"[a-z][-+.a-z0-9]*:/", re.IGNORECASE).match


def complete_uri(text: str) -> str:
    """Give the URI that somebody means who types an address, or copies that of a web page.

    Without a scheme it is ``ws``, or ``wss`` for port 443. Browsers, too, take the schemes of HTTP
    for those of WebSocket (WHATWG WebSockets Standard, section 3.1).

    Args:
        text: what was typed.
    """
    if has_scheme(text) is None:
        authority = re.split(r"[/?#]", text, maxsplit=1)[0]
        return f"{'wss' if authority.endswith(':443') else 'ws'}://{text}"
    scheme, _, rest = text.partition(":")
    return f"{WEBSOCKET_SCHEMES.get(scheme.lower(), scheme)}:{rest}"


def chosen_proxy(values: list[str] | None) -> ProxyLike:
    """Give the argument ``proxy`` of `connect` that the options stand for."""
    if not values:
        return True
    proxies = [None if value.lower() == "none" else value for value in values]
    return proxies[0] if len(proxies) == 1 else proxies


# What a hint calls an argument of `connect` -> what it is in a command.
OPTIONS = {
    "give it as server_hostname": "connect to that name",
    "load it into a context for ssl": "give it with --cert",
    "the certificate in the context given as ssl": "the certificate",
    "as ssl": "with --ca",
    "as proxy_ssl": "with --proxy-ca",
}


def with_options(text: str) -> str:
    """Give a text with hints for a program as one for the command."""
    for words, others in OPTIONS.items():
        text = re.sub(rf"\b{words}\b", others, text)
    return text


def read_environment(path: Path) -> dict[str, str]:
    """Read variables from a file of ``NAME=value`` lines, or from /proc/PID/environ.

    Lines may begin with ``export``, values may be in quotes, and what follows ``#`` at the
    beginning of a line is a comment.
    """
    text = path.read_text(errors="surrogateescape")
    if "\0" in text:
        return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)
    variables = {}
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", line)
        if match is not None:
            value = match[2].strip()
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            variables[match[1]] = value
    return variables


def resolve(found: Route) -> dict[str, str]:
    """Look up what has to be looked up here; give the addresses of each name, or why not."""
    addresses: dict[str, str] = {}
    # Who looks up the name of the next stop.
    asked: Proxy | None = None
    for proxy in (*found.hops, None):
        stop = found.destination if proxy is None else Target(proxy.host, proxy.port)
        if asked is not None and asked.remote_names:
            addresses[stop.host] = f"looked up by {asked.url()}"
        elif proxy is None or proxy.unix_path is None:
            addresses[stop.host] = look_up(stop)
        asked = proxy
    return addresses


def look_up(stop: Target) -> str:
    try:
        infos = socket.getaddrinfo(*stop, type=socket.SOCK_STREAM)
    except OSError as exc:
        return f"cannot be looked up: {exc.strerror or exc}"
    return ", ".join(dict.fromkeys(str(info[4][0]) for info in infos))


@dataclasses.dataclass
class Probe:
    """What came of an attempt to go a way.

    Attributes:
        route: the way.
        steps: the steps, the proxy of each, and how long it took in seconds.
        error: why it failed, None if it didn't.
        hint: what to try.
    """

    route: str
    steps: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    error: str | None = None
    hint: str | None = None


async def probe_all(found: Route, args: argparse.Namespace) -> list[Probe]:
    """Go one way after the other until one succeeds."""
    probes = []
    for way in (found, *found.alternatives):
        probe = await probe_route(way, args)
        probes.append(probe)
        if not args.json:
            print_probe(probe)
        if probe.error is None:
            break
    return probes


async def probe_route(way: Route, args: argparse.Namespace) -> Probe:
    """Go one way up to the opening handshake."""
    from ..asyncio.client import connect
    from ..asyncio.tunnel import connect_through, opening_handshake

    passage = Passage(way, open_timeout=args.timeout)
    probe = Probe(str(way))
    try:
        context = make_context(args.ca) if args.ca else None
        async with asyncio.timeout(args.timeout):
            loop = asyncio.get_running_loop()
            client = connect(args.uri)
            transport, connection = await connect_through(
                loop,
                client.factory,
                way.uri,
                passage,
                ssl=context,
                proxy_ssl=args.proxy_ca,
            )
            try:
                async with opening_handshake(passage):
                    await connection.handshake()
                await connection.close()
            finally:
                transport.abort()
    except (WebSocketException, OSError) as exc:
        # The lines behind the first tell what the report has anyway, but for the reply.
        probe.error = with_options(str(exc)) or type(exc).__name__
        hint = hint_of(exc)
        probe.hint = hint and with_options(hint)
    for step in passage.steps:
        proxy = None if step.proxy is None else step.proxy.url()
        probe.steps.append({"name": step.name, "proxy": proxy, "seconds": step.seconds})
    return probe


def print_probe(probe: Probe) -> None:
    print(f"probe: {probe.route}")
    for step in probe.steps:
        whom = f"  {step['proxy']}" if step["proxy"] else ""
        print(f"  {step['seconds'] * 1000:9.1f} ms  {step['name']:14}{whom}".rstrip())
    if probe.error is None:
        total = sum(step["seconds"] for step in probe.steps)
        print(f"  {total * 1000:9.1f} ms  in all: the WebSocket connection is open")
    else:
        print(f"failed: {probe.error}")
        # Those of proxies have it in their text.
        if probe.hint is not None and probe.hint not in probe.error:
            print(f"  hint: {probe.hint}")

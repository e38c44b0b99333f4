"""A program that is a client of one face: python -m tests.hostile.connecting FACE AUTHORITY.

For each line of its input, which is a URI, it connects there, receives until the end, and prints
what it has seen, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import warnings

# What a server may take for an answer.
BRIEF = {"open_timeout": 5, "close_timeout": 0.5}


def told(messages: list[object], exc: Exception) -> None:
    """Tell what was received and how it ended."""
    report: dict[str, object] = {
        "messages": [
            [1, each.encode().hex()] if isinstance(each, str) else [2, each.hex()]
            for each in messages
        ],
        "error": type(exc).__name__,
        "text": str(exc),
    }
    response = getattr(exc, "response", None)
    report["status"] = getattr(exc, "status_code", getattr(response, "status_code", None))
    for name in ("sent", "rcvd"):
        close = getattr(exc, name, None)
        report[name] = None if close is None else close.code
    print(json.dumps(report), flush=True)


def options(uri: str, context: ssl.SSLContext) -> dict[str, object]:
    """Give the arguments for a URI."""
    secure = {"ssl": context, "server_hostname": "localhost"}
    return {**BRIEF, **(secure if uri.startswith("wss") else {})}


async def on_asyncio(context: ssl.SSLContext, legacy: bool) -> None:
    """Connect with `tidegate.asyncio`, or `tidegate.legacy`."""
    if legacy:
        from tidegate.legacy.client import connect
    else:
        from tidegate.asyncio.client import connect
    while line := await asyncio.to_thread(sys.stdin.readline):
        uri, messages = line.strip(), []
        try:
            async with connect(uri, **options(uri, context)) as connection:
                while True:
                    messages.append(await connection.recv())
        except Exception as exc:
            told(messages, exc)


async def on_trio(context: ssl.SSLContext) -> None:
    """Connect with `tidegate.trio`."""
    import trio

    from tidegate.trio.client import connect

    while line := await trio.to_thread.run_sync(sys.stdin.readline):
        uri, messages = line.strip(), []
        try:
            async with connect(uri, **options(uri, context)) as connection:
                while True:
                    messages.append(await connection.recv())
        except Exception as exc:
            told(messages, exc)


def on_threads(context: ssl.SSLContext) -> None:
    """Connect with `tidegate.sync`."""
    from tidegate.sync.client import connect

    for line in sys.stdin:
        uri, messages = line.strip(), []
        try:
            with connect(uri, legacy=False, **options(uri, context)) as connection:
                while True:
                    messages.append(connection.recv())
        except Exception as exc:
            told(messages, exc)


def main(face: str, authority: str) -> None:
    """Be a client of one face."""
    warnings.simplefilter("ignore", DeprecationWarning)
    context = ssl.create_default_context(cafile=authority)
    if face == "threads":
        on_threads(context)
    elif face == "trio":
        import trio

        trio.run(on_trio, context)
    elif face == "uvloop":
        import uvloop

        uvloop.run(on_asyncio(context, False))
    else:
        asyncio.run(on_asyncio(context, face == "legacy"))


if __name__ == "__main__":
    main(*sys.argv[1:])

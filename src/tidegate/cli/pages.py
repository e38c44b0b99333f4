"""The pages of ``tidegate serve`` for whoever watches it: whether it is well, and its numbers."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
from collections.abc import Callable
from typing import Any

from ..asyncio.server import Limits, Server, ServerConnection, serve
from ..http11 import Request, Response
from ..metrics import (
    LoopLag,
    Numbers,
    add_numbers,
    all_hubs,
    families,
    lasting,
    page_of,
    read_numbers,
)

__all__ = ["ASK", "Health", "Watched", "numbers_line", "serve_pages"]

# With what a supervisor asks a worker for its numbers, and how long it waits, in seconds.
ASK = b"numbers\n"
ANSWER_TIMEOUT = 2.0

# How often it asks even if nobody wants them, so that little is lost of a worker that is killed.
ASK_EVERY = 5.0

METRICS_PATH = "/metrics"
HEALTH_PATH = "/healthz"

# Who looks at pages is no crowd.
MOST_READERS = 100


class Health:
    """Whether a server is well, for load balancers.

    Args:
        path: of its page.
        problem: says what is wrong, None if nothing is.

    """

    def __init__(self, path: str, problem: Callable[[], str | None]) -> None:
        self.path = path
        self.problem = problem

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer if the page is asked for; everything else is none of its business."""
        if request.path.partition("?")[0] != self.path:
            return None
        response = refuse_method(connection, request)
        if response is not None:
            return response
        problem = self.problem()
        status = http.HTTPStatus.OK if problem is None else http.HTTPStatus.SERVICE_UNAVAILABLE
        response = connection.respond(status, f"{problem or 'OK'}\n")
        response.headers["Cache-Control"] = "no-store"
        return response

    def before(self, process_request: Any) -> Any:
        """Give a ``process_request`` that asks another one about other pages, if there is one."""
        if process_request is None:
            return self.process_request

        def both(connection: ServerConnection, request: Request) -> Any:
            response = self.process_request(connection, request)
            return process_request(connection, request) if response is None else response

        return both


def refuse_method(connection: ServerConnection, request: Request) -> Response | None:
    """Refuse what isn't GET or HEAD."""
    if request.method in ("GET", "HEAD"):
        return None
    response = connection.respond(http.HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD\n")
    response.headers["Allow"] = "GET, HEAD"
    return response


def numbers_line(servers: list[Server], lag: LoopLag | None) -> bytes:
    """Give the numbers of a worker, for its supervisor."""
    return json.dumps(read_numbers(servers, all_hubs(), lag)).encode() + b"\n"


class Watched:
    """The numbers of one worker, asked for over the connection to it.

    Args:
        reader: of the connection.
        writer: of the connection.

    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.numbers: Numbers = {}
        self.answered = asyncio.Event()
        self.task = asyncio.ensure_future(self.listen())

    async def listen(self) -> None:
        """Take in what the worker says, until its end."""
        with contextlib.suppress(OSError, ValueError):
            while line := await self.reader.readline():
                self.numbers = json.loads(line)
                self.answered.set()
        self.answered.set()

    async def ask(self) -> None:
        """Ask for its numbers; one that doesn't answer has those that it had."""
        if self.task.done():
            return
        self.answered.clear()
        self.writer.write(ASK)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await self.answered.wait()

    async def close(self) -> None:
        """Ask no more; what the worker said last stays."""
        await asyncio.wait([self.task], timeout=ANSWER_TIMEOUT)
        self.task.cancel()
        self.writer.close()


class Sums:
    """The numbers of all workers together."""

    def __init__(self) -> None:
        self.watched: set[Watched] = set()
        self.past: Numbers = {}

    def ended(self, watched: Watched) -> None:
        """Keep the numbers of a worker that has ended."""
        if watched in self.watched:
            self.watched.discard(watched)
            add_numbers(self.past, lasting(watched.numbers))

    async def ask(self) -> None:
        """Ask all workers."""
        await asyncio.gather(*(watched.ask() for watched in list(self.watched)))

    async def keep_asking(self) -> None:
        """Ask them now and then."""
        while True:
            await asyncio.sleep(ASK_EVERY)
            await self.ask()

    def collect(self) -> Any:
        """Give all numbers, as ``prometheus_client`` asks for them."""
        numbers: Numbers = {"workers": {"": len(self.watched)}}
        add_numbers(numbers, self.past)
        for watched in self.watched:
            add_numbers(numbers, watched.numbers)
        return families(numbers)


def serve_pages(address: tuple[str, int], health: Health, collector: Any, ask: Any = None) -> Any:
    """Serve the pages by HTTP.

    Args:
        address: host and port to listen on.
        health: whether all is well.
        collector: has the numbers.
        ask: coroutine function to call before they are collected.

    """

    async def process_request(connection: ServerConnection, request: Request) -> Response:
        response = health.process_request(connection, request)
        if response is not None:
            return response
        if request.path.partition("?")[0] != METRICS_PATH:
            return connection.respond(
                http.HTTPStatus.NOT_FOUND, f"{METRICS_PATH} or {health.path}\n"
            )
        response = refuse_method(connection, request)
        if response is not None:
            return response
        if ask is not None:
            await ask()
        body, content_type = page_of(collector)
        response = connection.respond(http.HTTPStatus.OK, body.decode())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = content_type
        return response

    logging.info("metrics on http://%s:%d%s", *address, METRICS_PATH)
    return serve(
        nobody,
        *address,
        process_request=process_request,
        limits=Limits(connections=MOST_READERS),
    )


async def nobody(connection: ServerConnection) -> None:
    """Handle no connection: none is accepted here."""

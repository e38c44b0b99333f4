"""The processes of ``tidegate serve --workers``: who starts them, and starts them again."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator

from .pages import HEALTH_PATH, Health, Sums, Watched, serve_pages
from .serve import ENDING, LISTENING, READY, SUPERVISOR, listening

# How long a worker may take to be ready, in seconds.
START_TIMEOUT = 60.0

# How long a worker must have run for the delays to begin anew, and these, in seconds.
STEADY = 10.0
FIRST_DELAY = 0.1
LONGEST_DELAY = 10.0

# How long a worker may take to end beyond the time that it may drain, in seconds.
GRACE = 5.0

# How large the numbers of a worker may be, in bytes.
MOST_NUMBERS = 2**20

# How often files are looked at with ``--reload``, in seconds.
LOOK_EVERY = 0.5

# The part of a command that a supervisor keeps to itself, with the number of its values.
OWN_OPTIONS = {"--workers": 1, "--reload": 0, "--metrics-address": 1}


def supervise(args: argparse.Namespace) -> int:
    """Keep workers alive, until a signal; give the exit status.

    Raises:
        OSError: if the address can't be used.

    """
    count = args.workers or 1
    with listening(args, count) as slots:
        supervisor = Supervisor(command_of(args), slots, args.notice + args.drain)
        if args.metrics is not None:
            supervisor.pages_at = args.metrics_address
            supervisor.health_path = args.health or HEALTH_PATH
        return asyncio.run(supervisor.run(args.reload))


def command_of(args: argparse.Namespace) -> list[str]:
    """Give the command of a worker, but for its sockets."""
    command = [sys.executable, "-m", __package__.partition(".")[0], "serve"]
    for name, value in sorted(vars(args).items()):
        option = "--" + name.replace("_", "-")
        if value is None or value is False or name == "run" or option in OWN_OPTIONS:
            continue
        if name == "handler":
            command.append(value)
        elif value is True:
            command.append(option)
        else:
            for each in value if isinstance(value, list) else [value]:
                command.append(f"{option}={each}")
    return command


class Worker:
    """A process that serves.

    Args:
        process: the process.
        sock: this end of the connection to it.

    """

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket) -> None:
        self.process = process
        self.sock = sock
        self.exit = asyncio.ensure_future(process.wait())
        self.was_ready = False
        self.watched: Watched | None = None

    async def ready(self) -> bool:
        """Wait until it serves; say whether it does."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(START_TIMEOUT):
                self.was_ready = await loop.sock_recv(self.sock, len(READY)) == READY
        except (OSError, TimeoutError):
            pass
        return self.was_ready

    async def end(self, seconds: float) -> None:
        """Have it drain and end, in so many seconds at most."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        await asyncio.wait([self.exit], timeout=seconds)
        await self.kill()

    async def kill(self) -> None:
        """End it now."""
        if not self.exit.done():
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.exit
        await self.let_go()

    async def watch(self) -> Watched:
        """Begin to ask it for its numbers."""
        reader, writer = await asyncio.open_unix_connection(sock=self.sock, limit=MOST_NUMBERS)
        self.watched = Watched(reader, writer)
        return self.watched

    async def let_go(self) -> None:
        """Close the connection to it, when it has ended."""
        if self.watched is not None:
            await self.watched.close()
        self.sock.close()


class Supervisor:
    """Who keeps workers alive.

    Args:
        command: of a worker.
        slots: the listening sockets of each worker.
        drain: how long one may take to drain, in seconds.

    """

    def __init__(self, command: list[str], slots: list[list[socket.socket]], drain: float) -> None:
        self.command = command
        self.slots = slots
        self.most_time = drain + GRACE
        # Who serves in each slot, and all that have not ended.
        self.workers: list[Worker | None] = [None] * len(slots)
        self.live: set[Worker] = set()
        self.ending: set[asyncio.Task[None]] = set()
        self.signals = 0
        self.told = asyncio.Event()
        self.rolls = asyncio.Event()
        self.lock = asyncio.Lock()
        # Where there are pages about all of them, if anywhere, and the numbers on these.
        self.pages_at: tuple[str, int] | None = None
        self.health_path = HEALTH_PATH
        self.sums = Sums()

    async def run(self, reloads: bool) -> int:
        """Keep workers alive, until a signal; give the exit status."""
        loop = asyncio.get_running_loop()
        for number in signal.SIGINT, signal.SIGTERM:
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGHUP, self.rolls.set)
        tasks: list[asyncio.Task[None]] = []
        stack = contextlib.AsyncExitStack()
        try:
            if self.pages_at is not None:
                health = Health(self.health_path, self.problem)
                pages = serve_pages(self.pages_at, health, self.sums, self.sums.ask)
                await stack.enter_async_context(pages)
                tasks.append(loop.create_task(self.sums.keep_asking()))
            started = await asyncio.gather(*(self.fill(i) for i in range(len(self.slots))))
            if not all(started) and not self.told.is_set():
                logging.error("a worker doesn't start, so this ends")
                return 1
            tasks += [loop.create_task(self.keep(i)) for i in range(len(self.slots))]
            tasks.append(loop.create_task(self.roll_when_told()))
            if reloads:
                tasks.append(loop.create_task(self.watch()))
            await self.told.wait()
            return 0
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(worker.end(self.most_time) for worker in list(self.live)))
            await stack.aclose()

    def problem(self) -> str | None:
        """Say what is wrong, None if all is well."""
        if self.told.is_set():
            return ENDING
        return None if self.sums.watched else "no worker serves"

    def end(self) -> None:
        """End the workers; on a second signal, at once."""
        self.signals += 1
        self.told.set()
        if self.signals > 1:
            for worker in self.live:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.kill()

    async def start(self, slot: int) -> Worker | None:
        """Start a worker, and wait until it serves; None if it doesn't."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            fds = [sock.fileno() for sock in self.slots[slot]]
            try:
                process = await asyncio.create_subprocess_exec(
                    *self.command,
                    f"{LISTENING}={','.join(map(str, fds))}",
                    f"{SUPERVISOR}={theirs.fileno()}",
                    pass_fds=[*fds, theirs.fileno()],
                )
            except OSError as exc:
                # There are too many processes, or there is too little memory.
                logging.error("cannot start a process: %s", exc)
                ours.close()
                return None
        worker = Worker(process, ours)
        self.live.add(worker)
        worker.exit.add_done_callback(lambda _: self.live.discard(worker))
        if not await worker.ready():
            await worker.kill()
            return None
        if self.pages_at is not None:
            watched = await worker.watch()
            self.sums.watched.add(watched)
            worker.exit.add_done_callback(lambda _: self.forget(watched))
        return worker

    def forget(self, watched: Watched) -> None:
        """Keep the numbers of a worker that has ended, when its last words are here."""

        def done(_: object) -> None:
            self.sums.ended(watched)

        watched.task.add_done_callback(done)

    async def fill(self, slot: int) -> bool:
        """Have a worker in a slot; say whether there is one."""
        if self.workers[slot] is None:
            self.workers[slot] = await self.start(slot)
        return self.workers[slot] is not None

    async def keep(self, slot: int) -> None:
        """Start a worker again whenever it has ended, after delays that grow."""
        loop = asyncio.get_running_loop()
        failures = 0
        since = loop.time()
        while True:
            worker = self.workers[slot]
            if worker is not None:
                await asyncio.shield(worker.exit)
                if self.workers[slot] is not worker:
                    # It was replaced.
                    since = loop.time()
                    continue
                self.workers[slot] = None
                await worker.let_go()
            if loop.time() - since >= STEADY:
                failures = 0
            delay = min(FIRST_DELAY * 2**failures, LONGEST_DELAY)
            failures += 1
            what = "a worker doesn't start" if worker is None else describe_end(worker)
            logging.error("%s; another is started in %.1f s", what, delay)
            await asyncio.sleep(delay)
            async with self.lock:
                since = loop.time()
                await self.fill(slot)

    async def roll_when_told(self) -> None:
        """Replace the workers whenever that is asked for."""
        while True:
            await self.rolls.wait()
            self.rolls.clear()
            async with self.lock:
                await self.roll()

    async def roll(self) -> None:
        """Replace the workers by new ones, one after the other; the first failure ends that."""
        logging.info("replacing the workers")
        for slot, old in enumerate(self.workers):
            new = await self.start(slot)
            if new is None:
                logging.error("a new worker doesn't start, so the old ones go on")
                return
            self.workers[slot] = new
            if old is not None:
                # It drains while the others are replaced.
                task = asyncio.ensure_future(old.end(self.most_time))
                self.ending.add(task)
                task.add_done_callback(self.ending.discard)

    async def watch(self) -> None:
        """Replace the workers when a file changes."""
        before = await asyncio.to_thread(lambda: dict(python_files(os.getcwd())))
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = await asyncio.to_thread(lambda: dict(python_files(os.getcwd())))
            if now != before:
                before = now
                self.rolls.set()


def describe_end(worker: Worker) -> str:
    """Say how a worker has ended."""
    status = worker.process.returncode
    assert status is not None
    how = f"with status {status}" if status >= 0 else f"by signal {-status}"
    return f"worker {worker.process.pid} has ended {how}"


def python_files(folder: str) -> Iterator[tuple[str, int]]:
    """Give the Python files below a folder, but not in environments, and when each was changed."""
    for path, folders, files in os.walk(folder):
        if "pyvenv.cfg" in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        for name in files:
            if name.endswith(".py"):
                with contextlib.suppress(OSError):
                    file = os.path.join(path, name)
                    yield file, os.stat(file).st_mtime_ns

"""Where an interactive client reads lines and shows messages: a terminal, or pipes and files."""

from __future__ import annotations

import asyncio
import codecs
import collections
import concurrent.futures
import contextlib
import os
import shutil
import sys
import threading
import typing as t
import unicodedata
from collections.abc import Iterator

if t.TYPE_CHECKING:
    from prompt_toolkit import PromptSession

__all__ = ["Console", "PromptConsole", "TerminalConsole", "escape", "open_console"]

PROMPT = "> "

READ_SIZE = 65536

# What may go to a terminal as it is although it isn't printable: the joiners of emoji and scripts.
HARMLESS = frozenset("\t\u200c\u200d")


def escape(text: str) -> str:
    """Give text from a peer so that it can't steer a terminal.

    Line breaks stay, and what follows one is indented, so that it can't be taken for a line of
    this program.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n  ".join(
        line
        if line.isprintable()
        else "".join(c if c.isprintable() or c in HARMLESS else repr(c)[1:-1] for c in line)
        for line in lines
    )


def displayed(message: str | bytes) -> str:
    """Give a message as text."""
    return message if isinstance(message, str) else f"(binary) {message.hex()}"


def rows_of(text: str, columns: int) -> int:
    """Give how many rows of a terminal text takes."""

    def width(line: str) -> int:
        line = line.expandtabs()
        return len(line) + sum(unicodedata.east_asian_width(c) in "WF" for c in line)

    return sum(max(1, -(-width(line) // columns)) for line in text.split("\n"))


class Console:
    """Standard input and output that are not both a terminal.

    Messages go to standard output, one per line and exactly as they came, and nothing else does;
    remarks go to standard error.

    Attributes:
        interrupted: whether the end of the input was Ctrl-C.
    """

    interrupted = False

    def __init__(self) -> None:
        self.lines: collections.deque[str] = collections.deque()
        self.chunks: asyncio.Queue[list[str]] | None = None

    async def read_line(self) -> str | None:
        """Wait for a line of input, None at the end of it."""
        if self.chunks is None:
            # Two, so that one is read while another is sent.
            self.chunks = asyncio.Queue(2)
            # Reading cannot be interrupted, and must not keep the process from its end, so
            # neither the event loop's own threads nor the locks of sys.stdin will do.
            threading.Thread(
                target=put_lines,
                args=(sys.stdin.fileno(), asyncio.get_running_loop(), self.chunks),
                daemon=True,
            ).start()
        while not self.lines:
            chunk = await self.chunks.get()
            if not chunk:
                return None
            self.lines.extend(chunk)
        return self.lines.popleft()

    def show_message(self, message: str | bytes) -> None:
        """Show a message that was received."""
        print(displayed(message), flush=True)

    def remark(self, text: str) -> None:
        """Show something that isn't a message."""
        print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave everything as it was before."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[t.Self]:
        """Close the console at the end."""
        try:
            yield self
        finally:
            self.close()


def put_lines(fd: int, loop: asyncio.AbstractEventLoop, chunks: asyncio.Queue[list[str]]) -> None:
    """Put the lines of a file into a queue, as many at a time as come, and none at its end."""

    def put(lines: list[str]) -> None:
        # The task is made by the loop: one that stops first would leave a coroutine that nobody
        # awaits.
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def finish(task: asyncio.Task[None]) -> None:
            if task.cancelled():
                done.cancel()
            else:
                done.set_result(None)

        def begin() -> None:
            loop.create_task(chunks.put(lines)).add_done_callback(finish)

        loop.call_soon_threadsafe(begin)
        done.result()

    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest: list[str] = []
    # The loop cancels this, or is closed, when nobody is interested any more.
    with contextlib.suppress(concurrent.futures.CancelledError, RuntimeError, OSError):
        while data := os.read(fd, READ_SIZE):
            first, *others = decoder.decode(data).split("\n")
            rest.append(first)
            if others:
                lines = ["".join(rest), *others[:-1]]
                rest = [others[-1]]
                put([line.removesuffix("\r") for line in lines])
        if line := "".join([*rest, decoder.decode(b"", True)]):
            put([line.removesuffix("\r")])
        put([])


class TerminalConsole(Console):
    """A terminal. What is shown appears above the line that is being typed."""

    is_prompting = False

    async def read_line(self) -> str | None:
        print(PROMPT, end="", flush=True)
        self.is_prompting = True
        line = await super().read_line()
        self.is_prompting = False
        if line is None:
            print()
        return line

    def show_message(self, message: str | bytes) -> None:
        self.show(f"< {escape(displayed(message))}")

    def remark(self, text: str) -> None:
        self.show(escape(text))

    def show(self, text: str) -> None:
        """Print a text above the line that is being typed."""
        if self.is_prompting:
            text = self.above_prompt(text)
        else:
            text += "\n"
        print(text, end="", flush=True)

    @staticmethod
    def above_prompt(text: str) -> str:
        """Give what makes a terminal show text above the line in which the cursor is."""
        size = shutil.get_terminal_size()
        rows = rows_of(text, size.columns)
        if rows >= size.lines:
            # Begins on the line with the prompt, and makes a new one.
            return f"\r\x1b[K{text}\n{PROMPT}"
        # Make room below by scrolling if need be, insert rows at the line with the prompt, which
        # moves down, fill them, and follow it. A terminal remembers a place on the screen.
        lines = text.replace("\n", "\r\n")
        return f"\x1b7{chr(10) * rows}\x1b[{rows}A\x1b[{rows}L\r{lines}\x1b8\x1b[{rows}B"

    def close(self) -> None:
        if self.is_prompting:
            print("\r\x1b[K", end="", flush=True)
            self.is_prompting = False


class PromptConsole(TerminalConsole):
    """A terminal with the line editor of prompt_toolkit: history, cursor keys, search."""

    def __init__(self) -> None:
        super().__init__()
        from prompt_toolkit import PromptSession
        from prompt_toolkit.patch_stdout import patch_stdout

        self.session: PromptSession[str] = PromptSession(PROMPT)
        self.patched = contextlib.ExitStack()
        self.patched.enter_context(patch_stdout(raw=True))

    async def read_line(self) -> str | None:
        try:
            return await self.session.prompt_async()
        except EOFError:
            return None
        except KeyboardInterrupt:
            self.interrupted = True
            return None

    def close(self) -> None:
        self.patched.close()


def open_console() -> Console:
    """Give the console that fits standard input and output."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return Console()
    try:
        return PromptConsole()
    except ImportError:
        return TerminalConsole()

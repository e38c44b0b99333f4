"""Where an interactive client reads lines and shows messages: a terminal, or pipes and files."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import os
import shutil
import sys
import threading
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from .histories import open_history

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

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

    Messages go to standard output, one per line, and nothing else does: exactly as they came,
    unless it is a terminal. Remarks go to standard error.

    Attributes:
        interactive: whether somebody types the input, who is told of mistakes and can mend them.
        interrupted: whether the end of the input was Ctrl-C.
    """

    interactive = False
    interrupted = False

    def __init__(self) -> None:
        self.lines: collections.deque[bytes] = collections.deque()
        self.count = 0
        self.chunks: asyncio.Queue[list[bytes]] | None = None
        self.is_shown = sys.stdout.isatty()

    async def read_line(self) -> str | None:
        """Wait for a line of input, None at the end of it.

        Raises:
            ValueError: if it isn't text.
        """
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
        self.count += 1
        try:
            return self.lines.popleft().decode()
        except UnicodeDecodeError as exc:
            raise ValueError(
                f"line {self.count} of the input isn't UTF-8: byte 0x{exc.object[exc.start]:02x}"
                f" at {exc.start}; other bytes can be sent in hexadecimal with --binary"
            ) from None

    def show_message(self, message: str | bytes) -> None:
        """Show a message that was received."""
        text = displayed(message)
        print(escape(text) if self.is_shown else text, flush=True)

    def remark(self, text: str) -> None:
        """Show something that isn't a message."""
        print(escape(text), file=sys.stderr, flush=True)

    def progress(self, text: str) -> None:
        """Show what is being done, if somebody looks on."""
        if sys.stderr.isatty():
            self.remark(text)

    def close(self) -> None:
        """Leave everything as it was before."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[Self]:
        """Close the console at the end."""
        try:
            yield self
        finally:
            self.close()


def put_lines(fd: int, loop: asyncio.AbstractEventLoop, chunks: asyncio.Queue[list[bytes]]) -> None:
    """Put the lines of a file into a queue, as many at a time as come, and none at its end."""

    def put(lines: list[bytes]) -> None:
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

    rest: list[bytes] = []
    # The loop cancels this, or is closed, when nobody is interested any more.
    with contextlib.suppress(concurrent.futures.CancelledError, RuntimeError, OSError):
        while data := os.read(fd, READ_SIZE):
            first, *others = data.split(b"\n")
            rest.append(first)
            if others:
                lines = [b"".join(rest), *others[:-1]]
                rest = [others[-1]]
                put([line.removesuffix(b"\r") for line in lines])
        if line := b"".join(rest):
            put([line.removesuffix(b"\r")])
        put([])


def discard_input() -> None:
    """Throw away what was typed and nobody has read, so that whoever reads next won't."""
    if sys.platform == "win32":
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios

        with contextlib.suppress(termios.error):
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


class TerminalConsole(Console):
    """A terminal. What is shown appears above the line that is being typed."""

    interactive = True
    is_prompting = False
    # Whether it was the user who ended the input; what is typed then is for the next program.
    is_ended = False

    async def read_line(self) -> str | None:
        print(PROMPT, end="", flush=True)
        self.is_prompting = True
        try:
            line = await super().read_line()
        except ValueError:
            self.is_prompting = False
            raise
        self.is_prompting = False
        if line is None:
            self.is_ended = True
            print()
        return line

    def show_message(self, message: str | bytes) -> None:
        self.show(f"< {escape(displayed(message))}")

    def remark(self, text: str) -> None:
        self.show(escape(text))

    def progress(self, text: str) -> None:
        self.remark(text)

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
        if not self.is_ended:
            discard_input()


class PromptConsole(TerminalConsole):
    """A terminal with the line editor of prompt_toolkit: history, cursor keys, search.

    Args:
        lasting: whether the history is there again the next time.
    """

    def __init__(self, lasting: bool) -> None:
        super().__init__()
        from prompt_toolkit import PromptSession
        from prompt_toolkit.patch_stdout import patch_stdout

        self.session: PromptSession[str] = PromptSession(
            PROMPT,
            history=open_history(lasting),
            key_bindings=self.make_bindings(),
        )
        # What was pasted: lines, and what came behind the last of them.
        self.pasted: collections.deque[str] = collections.deque()
        self.rest = ""
        self.patched = contextlib.ExitStack()
        self.patched.enter_context(patch_stdout(raw=True))

    def make_bindings(self) -> KeyBindings:
        """Have each pasted line be one message, as it is without a line editor."""
        from prompt_toolkit.document import Document
        from prompt_toolkit.enums import DEFAULT_BUFFER
        from prompt_toolkit.filters import has_focus
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.keys import Keys

        bindings = KeyBindings()

        @bindings.add(Keys.BracketedPaste, filter=has_focus(DEFAULT_BUFFER))
        def paste(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            document = buffer.document
            # Terminals send the line breaks of what is pasted as they do that key.
            text = event.data.replace("\r\n", "\n").replace("\r", "\n")
            first, *others = text.split("\n")
            if not others:
                buffer.insert_text(text)
                return
            *lines, rest = others
            self.pasted.extend(lines)
            self.rest = rest + document.text_after_cursor
            buffer.document = Document(document.text_before_cursor + first)
            buffer.validate_and_handle()

        return bindings

    async def read_line(self) -> str | None:
        if self.pasted:
            line = self.pasted.popleft()
            self.session.history.append_string(line)
            print(f"{PROMPT}{escape(line)}", flush=True)
            return line
        rest, self.rest = self.rest, ""
        try:
            return await self.session.prompt_async(default=rest)
        except EOFError:
            self.is_ended = True
        except KeyboardInterrupt:
            self.is_ended = self.interrupted = True
        return None

    def close(self) -> None:
        self.patched.close()
        super().close()


def open_console(reads: bool = True, lasting: bool = True) -> Console:
    """Give the console that fits standard input and output.

    Args:
        reads: whether there is something to read.
        lasting: whether what is typed is there again the next time.
    """
    if not (reads and sys.stdin.isatty() and sys.stdout.isatty()):
        return Console()
    try:
        return PromptConsole(lasting)
    except ImportError:
        return TerminalConsole()

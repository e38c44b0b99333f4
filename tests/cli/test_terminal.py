"""`tidegate connect` on a terminal."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket

import pytest

from tidegate.cli.consoles import TerminalConsole, escape, rows_of
from tidegate.cli.histories import MAX_SIZE, open_history

from .conversing import on_a_terminal, serving

pytestmark = pytest.mark.asyncio_only


class Screen:
    """What a terminal shows, as far as the command uses it."""

    def __init__(self, columns=40, rows=10):
        self.columns, self.rows = columns, rows
        self.lines = [""] * rows
        self.row = self.column = 0
        self.saved = (0, 0)

    def feed(self, text):
        for token in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|\x1b.|.", text, re.DOTALL):
            self.obey(token)

    def obey(self, token):
        count = int(re.sub(r"\D", "", token) or 1)
        if token == "\r":
            self.column = 0
        elif token == "\n":
            if self.row == self.rows - 1:
                self.lines = [*self.lines[1:], ""]
            else:
                self.row += 1
        elif token == "\x1b7":
            self.saved = self.row, self.column
        elif token == "\x1b8":
            self.row, self.column = self.saved
        elif token == "\x1b[K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif token.endswith("A"):
            self.row = max(0, self.row - count)
        elif token.endswith("B"):
            self.row = min(self.rows - 1, self.row + count)
        elif token.endswith("L"):
            for _ in range(count):
                self.lines.insert(self.row, "")
            del self.lines[self.rows :]
        elif token.startswith("\x1b"):
            raise AssertionError(f"unknown: {token!r}")
        else:
            if self.column == self.columns:
                self.obey("\r")
                self.obey("\n")
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + token + line[self.column + 1 :]
            self.column += 1

    @property
    def shown(self):
        return [line.rstrip() for line in self.lines if line.strip()]


def screen_with(lines_above, typed, monkeypatch):
    screen = Screen()
    monkeypatch.setattr(
        "shutil.get_terminal_size", lambda *_, **__: os.terminal_size((screen.columns, screen.rows))
    )
    screen.feed("".join(f"{line}\r\n" for line in lines_above) + f"> {typed}")
    return screen


@pytest.mark.parametrize("above", range(10))
@pytest.mark.parametrize("text", ["short", "two\nlines", "x" * 100, "\n\n\nfar", "y" * 40])
def test_text_appears_above_the_line_that_is_typed(above, text, monkeypatch):
    before = [f"line {i}" for i in range(above)]
    screen = screen_with(before, "half a sent", monkeypatch)
    # A terminal turns the line feeds that programs write into both.
    screen.feed(TerminalConsole.above_prompt(text).replace("\n", "\r\n").replace("\r\r", "\r"))
    shown = []
    for line in text.split("\n"):
        shown += [line[i : i + 40] for i in range(0, len(line), 40)]
    expected = [*before, *shown, "> half a sent"]
    assert screen.shown == expected[-len(screen.shown) :]
    assert len(screen.shown) >= min(len(shown) + 1, 9)
    screen.feed("ence")
    assert screen.shown[-1] == "> half a sentence"


def test_text_longer_than_the_screen(monkeypatch):
    screen = screen_with([], "half", monkeypatch)
    text = "\n".join(f"line {i}" for i in range(30))
    screen.feed(TerminalConsole.above_prompt(text).replace("\n", "\r\n"))
    assert screen.shown == [*(f"line {i}" for i in range(21, 30)), ">"]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", 1),
        ("x" * 10, 1),
        ("x" * 11, 2),
        ("世" * 5, 1),
        ("世" * 6, 2),
        ("a\nb\n", 3),
        ("\tx", 1),
    ],
)
def test_rows_of(text, rows):
    assert rows_of(text, 10) == rows


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße 世界 👩\u200d🚀", "Grüße 世界 👩\u200d🚀"),
        ("\x1b[2J\x07\x9b", r"\x1b[2J\x07\x9b"),
        ("\u202eesrever", r"\u202eesrever"),
        ("two\nlines\r\nthree\tcolumns\r", "two\n  lines\n  three\tcolumns\\r"),
    ],
)
def test_escape(text, shown):
    assert escape(text) == shown


@pytest.mark.parametrize("editor", [True, False])
async def test_on_a_terminal(editor):
    async with serving() as uri, on_a_terminal(uri, editor=editor) as (process, terminal):
        await terminal.shows(f"Connected to {uri}.")
        await terminal.shows(">")
        terminal.type("hello\r")
        await terminal.shows("< echo: hello")
        terminal.type("escape\r")
        await terminal.shows(r"< \x1b[31mred")
        await terminal.shows(r"  Connection closed: \x07")
        # Ctrl-D is the end of the input. While the line editor makes way for a message, the
        # terminal takes that for itself, and a person would press it again.
        await terminal.type_until("\x04", "Connection closed: 1000 (OK).")
        assert await process.wait() == 0


@pytest.mark.parametrize("editor", [True, False])
async def test_server_closes_while_something_is_typed(editor):
    async with serving() as uri, on_a_terminal(uri, editor=editor) as (process, terminal):
        await terminal.shows(">")
        terminal.type("close 4000\r")
        await terminal.shows("Connection closed: 4000 (private use) as you wish.")
        assert await process.wait() == 1


async def test_ctrl_c_in_the_line_editor():
    async with serving() as uri, on_a_terminal(uri, editor=True) as (process, terminal):
        await terminal.shows(">")
        terminal.type("\x03")
        await terminal.shows("Connection closed: 1000 (OK).")
        assert await process.wait() == 130


@pytest.mark.parametrize("editor", [True, False])
async def test_connecting_is_shown(editor):
    """It may take a while."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        async with on_a_terminal(address, "--timeout", "0", editor=editor) as (process, terminal):
            await terminal.shows("Connecting to ws://127.0.0.1:")
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            assert "Traceback" not in terminal.output


@pytest.mark.parametrize("editor", [True, False])
async def test_half_typed_text_does_not_fall_into_the_shell(editor):
    closing = asyncio.Event()

    async def close(websocket):
        await closing.wait()
        await websocket.close(1001)

    async with (
        serving(close) as uri,
        on_a_terminal(uri, editor=editor, shell=True) as (_process, terminal),
    ):
        await terminal.shows(">")
        terminal.type("rm -rf tides")
        await terminal.shows("tides")
        closing.set()
        await terminal.shows("status 0")
        terminal.type("\n")
        await terminal.shows("left: []")


@pytest.mark.parametrize("editor", [True, False])
async def test_what_is_typed_after_the_end_is_for_the_shell(editor):
    async with (
        serving() as uri,
        on_a_terminal(uri, editor=editor, shell=True) as (_process, terminal),
    ):
        await terminal.shows(">")
        # Once, as another would be for the shell.
        terminal.type("\x04")
        await terminal.shows("status 0")
        terminal.type("next\n")
        await terminal.shows("left: [next]")


async def test_pasted_lines_are_one_message_each():
    """With the line editor, to which terminals say what is pasted, as without."""
    async with serving() as uri, on_a_terminal(uri, editor=True) as (_process, terminal):
        await terminal.shows(">")
        terminal.type("before \x1b[200~one\rtwo\r\nthr\x1b[201~ee\r")
        for line in ("before one", "two", "three"):
            await terminal.shows(f"< echo: {line}")
        assert "echo: thr\r" not in terminal.output
    async with serving() as uri, on_a_terminal(uri, editor=False) as (_process, terminal):
        await terminal.shows(">")
        terminal.type("before one\rtwo\rthr")
        await terminal.shows("< echo: two")
        terminal.type("ee\r")
        await terminal.shows("< echo: three")


async def test_pasting_into_the_middle_of_a_line():
    async with serving() as uri, on_a_terminal(uri, editor=True) as (_process, terminal):
        await terminal.shows(">")
        terminal.type("left right\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[200~1\n2 \x1b[201~\r")
        await terminal.shows("< echo: left 1")
        await terminal.shows("< echo: 2 right")


async def test_history_lasts(tmp_path):
    """It has pasted lines, too, and can be left out."""
    for typed, shown in (
        ("\x1b[200~first\nsecond\n\x1b[201~", "< echo: second"),
        ("\x1b[A\x1b[A\r", "< echo: first"),
    ):
        async with (
            serving() as uri,
            on_a_terminal(uri, editor=True, state=tmp_path) as (_process, terminal),
        ):
            await terminal.shows(">")
            terminal.type(typed)
            await terminal.shows(shown)
    history = tmp_path / "tidegate" / "history"
    assert history.read_text().count("+first\n") == 2
    assert history.stat().st_mode & 0o077 == 0
    async with (
        serving() as uri,
        on_a_terminal("--no-history", uri, editor=True, state=tmp_path) as (_process, terminal),
    ):
        await terminal.shows(">")
        terminal.type("secret\r")
        await terminal.shows("< echo: secret")
    assert "secret" not in history.read_text()


def test_history_is_bounded(tmp_path, monkeypatch):
    pytest.importorskip("prompt_toolkit")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for i in range(3):
        history = open_history(True)
        history.store_string(f"{i} " + "x" * MAX_SIZE)
        history.store_string(f"short {i}")
    assert (tmp_path / "tidegate" / "history").stat().st_size < 2 * MAX_SIZE
    strings = list(open_history(True).load_history_strings())
    assert strings[0] == "short 2"
    assert not any(string.startswith("0 ") for string in strings)


@pytest.mark.parametrize("state", ["", "relative", "{}/file/below"])
def test_history_without_a_place(state, tmp_path, monkeypatch):
    """What is typed is there until the end, at least."""
    pytest.importorskip("prompt_toolkit")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", state.format(tmp_path))
    # No home either.
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    history = open_history(True)
    history.append_string("tide")
    assert history.get_strings() == ["tide"]
    assert not (tmp_path / "relative").exists()


async def test_mistakes_can_be_mended_on_a_terminal():
    async with (
        serving() as uri,
        on_a_terminal(uri, "--binary", editor=False) as (_process, terminal),
    ):
        await terminal.shows(">")
        terminal.type("tide\r")
        await terminal.shows("Not sent: 'tide' isn't hexadecimal.")
        terminal.type("01 02\r")
        await terminal.shows("< (binary) 0201")
    async with serving() as uri, on_a_terminal(uri, editor=False) as (_process, terminal):
        await terminal.shows(">")
        os.write(terminal.fd, b"fl\xf6t\r")
        await terminal.shows("Not sent: line 1 of the input isn't UTF-8")
        terminal.type("tide\r")
        await terminal.shows("< echo: tide")


async def test_a_script_on_a_terminal():
    """Nothing is asked for, and nothing steers the terminal."""
    async with (
        serving() as uri,
        on_a_terminal(uri, "--send", "escape", "--count", "1", editor=True) as (process, terminal),
    ):
        await terminal.shows("Connection closed: 1000 (OK).")
        assert await process.wait() == 0
        assert r"\x1b[31mred" in terminal.output
        assert "\x1b[31m" not in terminal.output
        assert "> " not in terminal.output

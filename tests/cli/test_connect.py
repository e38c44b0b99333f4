"""`tidegate connect`: the conversation, through pipes and on a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import ssl
import sys

import pytest

from tidegate.asyncio.server import serve
from tidegate.cli.consoles import TerminalConsole, escape, rows_of
from tidegate.testing import HTTPProxyServer

pytestmark = pytest.mark.asyncio_only


async def handler(websocket):
    async for message in websocket:
        match message.split(" ", 1):
            case ["close", code]:
                await websocket.close(int(code), "as you wish")
            case ["abort"]:
                websocket.transport.abort()
            case ["binary"]:
                await websocket.send(b"\x00\x01gate")
            case ["ping"]:
                await (await websocket.ping(b"are you there?"))
                await websocket.send("ponged")
            case ["headers"]:
                await websocket.send(
                    "\n".join(f"{k}: {v}" for k, v in websocket.request.headers.raw_items())
                )
            case ["escape"]:
                await websocket.send("\x1b[31mred\nConnection closed: \x07")
            case _:
                await websocket.send(f"echo: {message}")


@contextlib.asynccontextmanager
async def serving(**options):
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'wss' if 'ssl' in options else 'ws'}://127.0.0.1:{port}/"


async def start(*arguments, **options):
    pipe = asyncio.subprocess.PIPE
    options = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **options}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidegate", *arguments, **options
    )


async def converse(*arguments, lines=()):
    """Give lines to the command; return its exit status, what it printed and its remarks."""
    process = await start(*arguments)
    text = "".join(f"{line}\n" for line in lines)
    out, err = await process.communicate(text.encode())
    return process.returncode, out.decode(), err.decode()


async def test_messages():
    async with serving() as uri:
        status, out, err = await converse(uri, lines=["hello", "Grüße 🌊", "", "binary"])
    assert status == 0
    assert out == "echo: hello\necho: Grüße 🌊\necho: \n(binary) 0001" + b"gate".hex() + "\n"
    assert err == f"Connected to {uri}.\nConnection closed: 1000 (OK).\n"


async def test_input_without_line_break_at_its_end():
    async with serving() as uri:
        process = await start("connect", uri)
        out, _ = await process.communicate("one\r\ntwo 🌊".encode())
    assert out.decode() == "echo: one\necho: two 🌊\n"


async def test_more_input_than_fits_into_memory_at_once():
    lines = [f"line {i} " + "x" * 1000 for i in range(3000)]
    async with serving() as uri:
        status, out, _ = await converse(uri, lines=lines)
    assert status == 0
    assert out.splitlines() == [f"echo: {line}" for line in lines]


async def test_output_is_what_came_if_it_is_no_terminal():
    async with serving() as uri:
        _, out, _ = await converse(uri, lines=["escape"])
    assert out == "\x1b[31mred\nConnection closed: \x07\n"


@pytest.mark.parametrize(
    ("line", "status", "remark"),
    [
        ("close 1000", 0, "Connection closed: 1000 (OK) as you wish."),
        ("close 1001", 0, "Connection closed: 1001 (going away) as you wish."),
        ("close 4000", 1, "Connection closed: 4000 (private use) as you wish."),
        ("abort", 1, "Connection lost: no close frame received or sent"),
    ],
)
async def test_server_closes(line, status, remark):
    async with serving() as uri:
        process = await start(uri)
        process.stdin.write(f"{line}\n".encode())
        # The input stays open.
        err = await process.stderr.read()
        assert await process.wait() == status
        process.stdin.close()
    assert err.decode().splitlines()[-1].startswith(remark)


async def test_server_closes_with_much_input_pending():
    async with serving() as uri:
        status, _, err = await converse(uri, lines=["close 1000", *["x" * 1000] * 1000])
    assert status == 0
    assert err == f"Connected to {uri}.\nConnection closed: 1000 (OK) as you wish.\n"


async def test_characters_that_the_output_cannot_take(monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    async with serving() as uri:
        _, out, _ = await converse(uri, lines=["Grüße 🌊"])
    assert out == "echo: Gr\\xfc\\xdfe \\U0001f30a\n"


async def test_waits_for_what_comes_after_the_end_of_the_input():
    async def late(websocket):
        assert await websocket.recv() == "hello"
        # The end of the input would close the connection by now.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await websocket.recv()
        await websocket.send("at last")
        await websocket.close(1001)

    async with serve(late, "127.0.0.1", 0) as server:
        uri = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        status, out, err = await converse(uri, "--wait", "20", lines=["hello"])
    assert (status, out) == (0, "at last\n")
    assert "1001" in err


async def test_slash_commands():
    lines = [
        "/ping",
        "/ping gate",
        "/pong",
        "/sluice",
        "/close x",
        "/close 1006",
        "/close 4001 enough",
    ]
    async with serving() as uri:
        process = await start(uri, "--slash")
        process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        out, err = await process.stdout.read(), (await process.stderr.read()).decode()
        assert await process.wait() == 1
        process.stdin.close()
    assert out == b""
    assert "There is no /sluice" in err
    assert "/close failed: x isn't a close code." in err
    assert err.count("/close failed") == 2
    assert err.count("The answer to the ping took ") == 2
    assert err.splitlines()[-1] == "Connection closed: 4001 (private use) enough."


async def test_slashes_are_text_unless_asked_for():
    async with serving() as uri:
        _, out, _ = await converse(uri, lines=["/close"])
    assert out == "echo: /close\n"


async def test_arguments_of_the_handshake():
    async with serving(subprotocols=["flood", "ebb"]) as uri:
        status, out, _ = await converse(
            "connect",
            uri,
            *("-H", "X-Gate: 7", "-H", "X-Sluice:8", "-o", "https://example.com"),
            *("-s", "ebb", "-s", "flood", "--no-compression"),
            lines=["headers"],
        )
    assert status == 0
    lines = out.splitlines()
    assert "X-Gate: 7" in lines
    assert "X-Sluice: 8" in lines
    assert "Origin: https://example.com" in lines
    assert "Sec-WebSocket-Protocol: ebb, flood" in lines
    assert not any(line.startswith("Sec-WebSocket-Extensions") for line in lines)


async def test_verbose():
    async with serving() as uri:
        uri = uri.replace("//", "//me:secret@")
        process = await start("-v", uri)
        process.stdin.write(b"ping\n")
        assert await process.stdout.readline() == b"ponged\n"
        err = (await process.communicate(b""))[1].decode()
    assert "> GET / HTTP/1.1\n" in err
    assert "> Authorization: ***\n" in err
    assert "< HTTP/1.1 101 Switching Protocols\n" in err
    assert "ping: b'are you there?'\n" in err
    assert "secret" not in err


@pytest.mark.parametrize("arguments", [["--proxy", "{}"], ["--proxy", "none"]])
async def test_proxy(arguments):
    async with serving() as uri, HTTPProxyServer() as proxy:
        arguments = [argument.format(proxy.url) for argument in arguments]
        status, out, _ = await converse(uri, *arguments, lines=["hello"])
        assert (status, out) == (0, "echo: hello\n")
        assert len(proxy.requests) == (arguments[1] != "none")


async def test_certificates(certificates, tmp_path):
    server_context, _ = certificates
    async with serving(ssl=server_context) as uri:
        status, out, err = await converse(uri, lines=["hello"])
        assert (status, out) == (1, "")
        assert err.startswith(f"Failed to connect to {uri}: ")
        assert "certificate" in err
        authority = tmp_path / "ca.pem"
        trusted = certificates[1].get_ca_certs(binary_form=True)
        authority.write_text("".join(map(ssl.DER_cert_to_PEM_cert, trusted)))
        for option in (["--insecure"], ["--ca", str(authority)]):
            status, out, _ = await converse(*option, uri, lines=["hello"])
            assert (status, out) == (0, "echo: hello\n")


async def test_what_to_try(certificates):
    """In the words of the command."""
    async with serving(ssl=certificates[0]) as uri, serving() as plain:
        for place, hint in (
            (uri, "if the CA of the server .* give the path of its certificate with --ca"),
            (uri.replace("wss:", "ws:"), f"try {uri.rstrip('/')}"),
            (plain.replace("ws:", "wss:"), f"try {plain.rstrip('/')}"),
            ("ws://127.0.0.1:9/", "nothing listens there: check host and port"),
            ("ws://nosuch.invalid/", "check the name of the server"),
        ):
            status, _, err = await converse(place)
            assert status == 1
            last = err.splitlines()[-1]
            assert last.startswith("Hint: ")
            assert re.search(hint, last)


async def test_what_to_try_with_a_proxy(certificates):
    async with HTTPProxyServer(ssl=certificates[0]) as proxy:
        _, _, err = await converse("ws://ws.test/", "--proxy", proxy.url)
        assert "give the path of its certificate with --proxy-ca" in err
        assert "Hint: " not in err


@pytest.mark.parametrize("option", ["--ca", "--cert"])
async def test_files_that_are_no_certificates(option, tmp_path):
    for name, words in [("missing.pem", "No such file"), ("empty.pem", "")]:
        path = tmp_path / name
        if not words:
            path.touch()
        status, _, err = await converse("wss://localhost/", option, str(path))
        assert status == 1
        assert words in err
        assert str(path) in err


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("ws://127.0.0.1:9/", "Connect call failed"),
        ("http://localhost/", "scheme"),
        ("ws://me:secret@localhost:99999/", "port"),
    ],
)
async def test_cannot_connect(uri, words):
    status, out, err = await converse(uri)
    assert (status, out) == (1, "")
    assert err.startswith("Failed to connect to ")
    assert words in err.lower() or words in err
    assert "secret" not in err
    assert "Traceback" not in err


async def test_server_refuses():
    def refuse(connection, request):
        return connection.respond(403, "The gate is closed.\n")

    async with serving(process_request=refuse) as uri:
        status, _, err = await converse(uri)
    assert status == 1
    assert "HTTP 403 (The gate is closed.)" in err


async def test_ctrl_c_closes_the_connection():
    closed = asyncio.get_running_loop().create_future()

    async def wait(websocket):
        await websocket.wait_closed()
        closed.set_result((websocket.close_code, websocket.close_reason))

    async with serve(wait, "127.0.0.1", 0) as server:
        process = await start(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        assert (await process.stderr.readline()).startswith(b"Connected")
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        assert await closed == (1000, "")
        assert await process.stderr.read() == b"Connection closed: 1000 (OK).\n"


# On a terminal


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


class Terminal:
    """The other end of a terminal in which the command runs."""

    def __init__(self, fd):
        self.fd = fd
        self.output = ""
        self.changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(fd, self.read)

    def read(self):
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self.fd)
        self.output += data.decode(errors="replace")
        self.changed.set()

    async def shows(self, text):
        try:
            async with asyncio.timeout(10):
                while text not in self.output:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} not in {self.output!r}") from None

    def type(self, text):
        os.write(self.fd, text.encode())

    async def type_until(self, text, shown):
        async with asyncio.timeout(30):
            while shown not in self.output:
                self.type(text)
                await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def on_a_terminal(uri, editor):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    code = "import sys; sys.argv[0] = 'tidegate'; from tidegate.cli import main; main()"
    if not editor:
        code = f"import sys; sys.modules['prompt_toolkit'] = None; {code}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, uri),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    terminal = Terminal(ours)
    try:
        yield process, terminal
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


@pytest.mark.parametrize("editor", [True, False])
async def test_on_a_terminal(editor):
    if editor:
        pytest.importorskip("prompt_toolkit")
    async with serving() as uri, on_a_terminal(uri, editor) as (process, terminal):
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
    if editor:
        pytest.importorskip("prompt_toolkit")
    async with serving() as uri, on_a_terminal(uri, editor) as (process, terminal):
        await terminal.shows(">")
        terminal.type("close 4000\r")
        await terminal.shows("Connection closed: 4000 (private use) as you wish.")
        assert await process.wait() == 1


async def test_ctrl_c_in_the_line_editor():
    pytest.importorskip("prompt_toolkit")
    async with serving() as uri, on_a_terminal(uri, True) as (process, terminal):
        await terminal.shows(">")
        terminal.type("\x03")
        await terminal.shows("Connection closed: 1000 (OK).")
        assert await process.wait() == 130

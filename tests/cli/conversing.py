"""The command `tidegate connect` as a process, and servers for it to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile

import pytest

from tidegate.asyncio.server import serve


async def handler(websocket):
    async for message in websocket:
        if isinstance(message, bytes):
            await websocket.send(message[::-1])
            continue
        match message.split(" ", 1):
            case ["nothing"]:
                pass
            case ["say", words]:
                for word in words.split():
                    await websocket.send(word)
            case ["big", size]:
                await websocket.send("x" * int(size))
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
async def serving(handler=handler, **options):
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


# What a shell does after the command: it tells the status, and what is left of the input for it.
SHELL = '"$@"; echo "status $?"; read -r line; echo "left: [$line]"'


@contextlib.asynccontextmanager
async def on_a_terminal(*arguments, editor, shell=False, state=None):
    """Run the command in a pseudo terminal; give the process and its terminal.

    Args:
        arguments: of the command.
        editor: whether there is the line editor.
        shell: whether a shell has the terminal after the command.
        state: the folder for the history, by default a new one.
    """
    pty = pytest.importorskip("pty")
    if editor:
        pytest.importorskip("prompt_toolkit")
    ours, theirs = pty.openpty()
    code = "import sys; sys.argv[0] = 'tidegate'; from tidegate.cli import main; main()"
    if not editor:
        code = f"import sys; sys.modules['prompt_toolkit'] = None; {code}"
    with contextlib.ExitStack() as stack:
        if state is None:
            state = stack.enter_context(tempfile.TemporaryDirectory())
        environment = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "XDG_STATE_HOME": str(state)}
        process = await asyncio.create_subprocess_exec(
            *(["sh", "-c", SHELL, "sh"] if shell else []),
            *(sys.executable, "-c", code, *arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        os.close(theirs)
        terminal = Terminal(ours)
        try:
            yield process, terminal
        finally:
            with contextlib.suppress(ProcessLookupError):
                # The shell's child, too.
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            asyncio.get_running_loop().remove_reader(ours)
            os.close(ours)

"""Programs that import `websockets`, on tidegate; each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tidegate
from tidegate.integrations.websockets import STARTUP, install

VERSION = tidegate.__version__


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def run_code(code: str, **environment: str) -> str:
    """Run a program that is to succeed; give its output."""
    done = run("-c", textwrap.dedent(code), **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tidegate_run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``tidegate run``."""
    return run("-m", "tidegate", "run", *arguments, **environment)


@pytest.fixture
def program(tmp_path: Path):
    """Write a program; give its path."""

    def write(code: str, name: str = "program.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return str(path)

    return write


# install()


def test_the_modules_are_the_same_objects() -> None:
    run_code(
        """
        from tidegate.integrations.websockets import install
        install()
        install()  # once is enough, twice does no harm
        import websockets
        import websockets.asyncio.client as client
        from websockets import exceptions
        from websockets.extensions import permessage_deflate
        from websockets.legacy.server import serve
        import tidegate, tidegate.asyncio.client, tidegate.exceptions, tidegate.legacy.server
        assert websockets is tidegate
        assert client is tidegate.asyncio.client
        assert exceptions is tidegate.exceptions
        assert permessage_deflate is tidegate.extensions.permessage_deflate
        assert serve is tidegate.legacy.server.serve
        # They know themselves by their own name, so that reloading and pickling work.
        assert tidegate.asyncio.client.__spec__.name == "tidegate.asyncio.client"
        assert tidegate.asyncio.client.__name__ == "tidegate.asyncio.client"
        client.backoff = "patched"
        assert tidegate.asyncio.client.backoff == "patched"
        """
    )


@pytest.mark.parametrize(("api", "version"), [(17, "17.4"), (13, "13.1")])
def test_the_version(api: int, version: str) -> None:
    code = f"""
        from tidegate.integrations.websockets import install
        install({api})
        import importlib.metadata, websockets, websockets.version
        from websockets.http11 import USER_AGENT
        print(websockets.__version__, websockets.version.version, websockets.version.tag)
        print(importlib.metadata.version("websockets"))
        print(USER_AGENT)
        """
    words = run_code(code).split()
    assert words[:4] == [version] * 4
    # Those who are talked to are told the truth.
    assert words[-1] == f"tidegate/{VERSION}"


def test_installed_packages_are_still_found() -> None:
    run_code(
        """
        from importlib import metadata
        before = {d.name for d in metadata.distributions()}
        from tidegate.integrations.websockets import install
        install()
        assert {d.name for d in metadata.distributions()} == before
        assert metadata.version("pytest")
        try:
            metadata.version("no-such-package")
        except metadata.PackageNotFoundError:
            print("fine")
        """
    )


def test_the_older_meaning_of_names() -> None:
    code = """
        import warnings
        warnings.simplefilter("error")
        from tidegate.integrations.websockets import install
        install({api})
        import websockets
        from websockets.client import connect
        from websockets import WebSocketServerProtocol, InvalidStatusCode
        for name in "connect", "serve", "unix_connect", "unix_serve", "broadcast":
            print(getattr(websockets, name).__module__)
        """
    modules = run_code(code.replace("{api}", "13")).split()
    client, server = "tidegate.legacy.client", "tidegate.legacy.server"
    assert modules == [client, server, client, server, "tidegate.legacy.protocol"]
    done = run("-c", textwrap.dedent(code.replace("{api}", "17")))
    assert "tidegate.client.connect is deprecated: use tidegate.connect" in done.stderr


def test_both_meanings_at_once() -> None:
    done = run(
        "-c",
        "from tidegate.integrations.websockets import install; install(13); install(17)",
    )
    assert "tidegate stands in for websockets 13 already" in done.stderr


def test_an_api_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="api must be one of 17, 13, not 12"):
        install(12)


def test_websockets_that_was_imported_before() -> None:
    done = run(
        "-c",
        "import sys, types; sys.modules['websockets'] = types.ModuleType('websockets');"
        "from tidegate.integrations.websockets import install; install()",
    )
    assert "websockets was imported already" in done.stderr
    assert "tidegate run" in done.stderr


def test_loggers_are_where_programs_look_for_them() -> None:
    # The one program imports tidegate before, the other after.
    for before in "", "import tidegate.asyncio.server, tidegate.legacy.server":
        run_code(
            before
            + textwrap.dedent(
                """
                from tidegate.integrations.websockets import install
                install()
                import asyncio
                import websockets
                from websockets.legacy.server import serve
                from websockets.protocol import Protocol, Side

                async def main():
                    assert websockets.serve(print, port=0).logger.name == "websockets.server"
                    assert websockets.connect("ws://x").logger.name == "websockets.client"
                    assert serve(lambda ws: None, port=0).ws_server.logger.name == (
                        "websockets.server"
                    )
                    assert Protocol(Side.CLIENT).logger.name == "websockets.client"

                asyncio.run(main())
                """
            )
        )


def test_environment_variables_have_effect() -> None:
    code = """
        from tidegate.integrations.websockets import install
        install()
        from websockets.http11 import MAX_LINE_LENGTH, USER_AGENT
        print(MAX_LINE_LENGTH, USER_AGENT)
        """
    variables = {"WEBSOCKETS_MAX_LINE_LENGTH": "100", "WEBSOCKETS_USER_AGENT": "mine"}
    assert run_code(code, **variables) == "100 mine\n"
    assert run_code(code, **variables, TIDEGATE_MAX_LINE_LENGTH="200") == "200 mine\n"


def test_modules_that_there_are_not() -> None:
    code = """
        from tidegate.integrations.websockets import install
        install()
        import importlib.util
        import websockets
        assert importlib.util.find_spec("websockets.frames") is not None
        assert importlib.util.find_spec("websockets.nothing") is None
        for module in "websockets.nothing", "websockets.frames.nothing":
            try:
                __import__(module)
            except ModuleNotFoundError as exc:
                print(exc.name)
        """
    assert run_code(code).split() == ["websockets.nothing", "websockets.frames.nothing"]


def test_importing_costs_nothing_before_it_is_needed() -> None:
    code = """
        import sys
        from tidegate.integrations.websockets import install
        install()
        print(sorted({"asyncio", "ssl", "tidegate.protocol"} & set(sys.modules)))
        """
    assert run_code(code) == "[]\n"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("serve(lambda ws, path: None)", "websocket.request.path"),
        ("serve(lambda ws: None, process_request=lambda path, headers: None)", "process_request"),
        ("serve(lambda ws: None, create_protocol=object)", "create_protocol=, an argument"),
        ("connect('ws://x', extra_headers={})", "use additional_headers="),
        ("connect('ws://x', create_connection=websockets.WebSocketClientProtocol)", "a subclass"),
    ],
)
@pytest.mark.parametrize("install", ["", "install()"])
def test_a_type_error_names_the_older_way(program: str, says: str, install: str) -> None:
    code = f"""
        from tidegate.integrations.websockets import install
        {install}
        import tidegate as websockets
        from tidegate.asyncio.client import connect
        from tidegate.asyncio.server import serve
        {program}
        """
    done = run("-c", textwrap.dedent(code))
    error = done.stderr.splitlines()[-1]
    assert error.startswith("TypeError: ")
    assert says in error
    # A program that was written for tidegate can't be run so.
    assert ("tidegate run --api 13" in error) == bool(install)


def test_warnings_of_attributes_are_where_websockets_has_them(program) -> None:
    path = program(
        """
        import warnings
        from websockets.exceptions import ConnectionClosed
        from websockets.frames import Close
        exc = ConnectionClosed(Close(1000, ""), None)
        print(exc.code, repr(exc.reason))
        """
    )
    # In view of nobody but those who want to see it, ...
    for api in "13", "17":
        done = tidegate_run("--api", api, path)
        assert (done.stdout, done.stderr) == ("1000 ''\n", "")
    # ... which is of the program otherwise.
    done = run("-c", Path(path).read_text().replace("websockets", "tidegate"))
    assert done.stderr.count("DeprecationWarning: ConnectionClosed.") == 2
    done = run("-W", "error", "-m", "tidegate", "run", path)
    assert "DeprecationWarning: ConnectionClosed.code is deprecated" in done.stderr


# tidegate run


ECHO = """
    import asyncio
    import json
    import sys
    import websockets

    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)

    async def main():
        async with websockets.serve(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}") as websocket:
                await websocket.send("tide")
                return await websocket.recv()

    if __name__ == "__main__":
        message = asyncio.run(main())
        print(json.dumps([sys.argv, __name__, __file__, message, websockets.__name__]))
    """


def test_a_script(program) -> None:
    path = program(ECHO)
    done = tidegate_run(path, "--api", "x", "-m", "y")
    assert done.returncode == 0, done.stderr
    argv, name, file, message, module = json.loads(done.stdout)
    assert argv == [path, "--api", "x", "-m", "y"]
    assert (name, file, message, module) == ("__main__", path, "tide", "tidegate")
    assert done.stderr == ""


@pytest.mark.parametrize("api", ["17", "13"])
def test_a_module(program, tmp_path: Path, api: str) -> None:
    path = program(ECHO, "package/module.py")
    program("", "package/__init__.py")
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", "run", "--api", api, "-m", "package.module", "--x"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    argv, name, file, message, _ = json.loads(done.stdout)
    assert (argv, name, file, message) == ([path, "--x"], "__main__", path, "tide")


def test_modules_beside_a_script(program) -> None:
    program("VALUE = 42", "beside.py")
    path = program("import sys, beside; print(beside.VALUE); print(sys.path[0])")
    assert tidegate_run(path).stdout.split() == ["42", os.path.dirname(path)]


def test_a_folder_with_a_main_module(program, tmp_path: Path) -> None:
    program("import websockets; print(websockets.__name__)", "app/__main__.py")
    assert tidegate_run(str(tmp_path / "app")).stdout == "tidegate\n"


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit", 0, ""),
        ("import sys; sys.exit('sorry')", 1, "sorry"),
        ("raise ValueError('no luck')", 1, "ValueError: no luck"),
        ("syntax error", 1, "SyntaxError"),
    ],
)
def test_how_a_program_ends(program, code: str, status: int, error: str) -> None:
    done = tidegate_run(program(code))
    assert done.returncode == status
    assert error in done.stderr


def test_what_is_left_running_goes_on(program) -> None:
    path = program(
        """
        import sys, threading
        VALUE = "still there"

        def late():
            main.join()
            import __main__
            print(__main__.VALUE, VALUE)

        main = threading.main_thread()
        threading.Thread(target=late).start()
        """
    )
    assert tidegate_run(path).stdout == "still there still there\n"


CHILDREN = """
    import concurrent.futures, multiprocessing, subprocess, sys

    def describe(_=None):
        import websockets
        return f"{websockets.__name__} {websockets.__version__} {websockets.connect.__module__}"

    if __name__ == "__main__":
        code = "import program; print(program.describe())"
        grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
        for arguments in code, grandchild:
            subprocess.run([sys.executable, "-c", arguments], check=True)
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
            print(executor.submit(describe).result())
    """


@pytest.mark.parametrize(
    ("api", "answer"),
    [
        ("17", "tidegate 17.4 tidegate.asyncio.client"),
        ("13", "tidegate 13.1 tidegate.legacy.client"),
    ],
)
def test_child_processes(program, tmp_path: Path, api: str, answer: str) -> None:
    path = program(CHILDREN)
    done = tidegate_run("--api", api, path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [answer] * 3


def test_children_of_a_program_that_installs_it_itself() -> None:
    code = """
        from tidegate.integrations.websockets import install
        install()
        import subprocess, sys
        subprocess.run([sys.executable, "-c", "import websockets; print(websockets.__name__)"])
        """
    assert run_code(code) == "tidegate\n"


def test_another_sitecustomize_has_its_turn(program, tmp_path: Path) -> None:
    program("import sys; sys.was_customized = True", "sitecustomize.py")
    code = "import sys, websockets; print(websockets.__name__, sys.was_customized, sys.path)"
    done = run(
        "-c",
        code,
        PYTHONPATH=os.pathsep.join([str(STARTUP), str(tmp_path)]),
        TIDEGATE_AS_WEBSOCKETS="17",
    )
    assert done.stdout.startswith("tidegate True ")
    # It leaves no trace that the program's modules could be confused with.
    assert str(STARTUP) not in done.stdout


def test_an_error_in_another_sitecustomize_is_seen(program, tmp_path: Path) -> None:
    program("import no_such_module", "sitecustomize.py")
    path = os.pathsep.join([str(STARTUP), str(tmp_path)])
    done = run("-c", "print('on')", PYTHONPATH=path, TIDEGATE_AS_WEBSOCKETS="17")
    assert "no_such_module" in done.stderr


def test_a_python_without_tidegate() -> None:
    done = run("-S", "-c", "import sitecustomize; print('fine')", PYTHONPATH=str(STARTUP))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fine\n"


def test_the_report(program) -> None:
    path = program(
        """
        import contextlib
        import websockets
        with contextlib.suppress(ImportError):
            import websockets.nothing
        for _ in range(3):
            with contextlib.suppress(ImportError):
                from websockets.asyncio.client import no_function
        hasattr(websockets, "no_name")
        hasattr(websockets.framing, "no_frame")
        hasattr(websockets.http11.Request("/", websockets.Headers()), "path")
        from tidegate.integrations.attributes import ATTRIBUTES
        ATTRIBUTES["Close"] += " newer"
        hasattr(websockets.Close(1000, ""), "newer")
        # The program's own, and tidegate's.
        hasattr(websockets.Close(1000, ""), "__array__")
        hasattr(websockets.Close(1000, ""), "user")
        import tidegate.proxy
        hasattr(tidegate.proxy, "no_such_thing")
        """
    )
    done = tidegate_run("--report", path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == f"tidegate run: {path}: names of websockets that tidegate doesn't have:"
    assert [line.split() for line in lines[1:]] == [
        ["Close.newer", "once,", "first", "at", f"{path}:14"],
        ["websockets.asyncio.client.no_function", "3", "times,", "first", "at", f"{path}:8"],
        ["websockets.framing.no_frame", "once,", "first", "at", f"{path}:10"],
        ["websockets.no_name", "once,", "first", "at", f"{path}:9"],
        ["websockets.nothing", "once,", "first", "at", f"{path}:5"],
    ]


def test_a_report_without_findings(program) -> None:
    done = tidegate_run("--report", program(ECHO))
    assert done.returncode == 0
    assert done.stderr.endswith(": tidegate has every name of websockets that was looked for\n")


def test_the_report_of_a_child(program) -> None:
    path = program(
        """
        import subprocess, sys
        for code in "import websockets", "import websockets; hasattr(websockets, 'no_name')":
            subprocess.run([sys.executable, "-c", code])
        """
    )
    done = tidegate_run("--report", path)
    assert "no_name" in done.stderr
    # A child that misses nothing says nothing.
    assert done.stderr.count("tidegate run:") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which program?"),
        (["-m"], "which program?"),
        (["no-such-file.py"], "there is no file no-such-file.py"),
        (["--api", "12", "x.py"], "invalid choice"),
        (["-m", "nosuch"], "No module named nosuch"),
        (["-m", "nosuch.below"], "No module named 'nosuch'"),
        (["-m", "json"], "No module named json.__main__"),
        (["/"], "can't find '__main__' module"),
    ],
)
def test_arguments_that_make_no_sense(arguments: list[str], message: str) -> None:
    """One line says what, and nothing has run."""
    done = tidegate_run(*arguments)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if not line.startswith(("usage:", " "))]
    assert line.startswith("tidegate run: ")
    assert message in line


def test_imports_that_fail_in_the_program_are_shown_whole(program) -> None:
    """They aren't taken for a program that isn't there."""
    for code in ("import nosuch", "import runpy; runpy.run_module('nosuch')"):
        done = tidegate_run(program(code))
        assert done.returncode == 1
        assert "Traceback" in done.stderr
        assert code in done.stderr


# Threads


def test_programs_for_threads(program) -> None:
    path = program("""
        import threading
        import websockets
        from websockets.exceptions import ConnectionClosedOK
        from websockets.sync.client import ClientConnection, connect, unix_connect
        from websockets.sync.connection import Connection
        from websockets.sync.router import route, unix_route
        from websockets.sync.server import Server, ServerConnection, basic_auth, broadcast, serve

        def echo(websocket):
            assert isinstance(websocket, ServerConnection)
            for message in websocket:
                websocket.send(message)

        auth = basic_auth("", ("me", "secret"))
        with serve(echo, "127.0.0.1", 0, process_request=auth) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            uri = f"ws://me:secret@127.0.0.1:{server.socket.getsockname()[1]}/"
            with connect(uri) as websocket:
                assert isinstance(websocket, Connection)
                websocket.send("Hello!")
                print(websocket.recv(timeout=5))
                assert websocket.ping().wait(5)
            try:
                websocket.recv()
            except ConnectionClosedOK as exc:
                print(exc)
        thread.join()
        print(threading.active_count())
    """)
    done = tidegate_run(path)
    assert done.stderr == ""
    assert done.stdout == "Hello!\nsent 1000 (OK); then received 1000 (OK)\n1\n"


# websockets.trio


def test_programs_on_trio(program) -> None:
    """They get the face for trio, and the names of theirs that there are."""
    pytest.importorskip("trio")
    path = program(
        """
        import functools
        import trio
        from websockets.exceptions import ConnectionClosedOK
        from websockets.trio.client import ClientConnection, connect, unix_connect
        from websockets.trio.connection import Connection
        from websockets.trio.router import Router, route
        from websockets.trio.server import (
            Server, ServerConnection, basic_auth, broadcast, serve
        )

        async def echo(websocket):
            assert isinstance(websocket, ServerConnection)
            async for message in websocket:
                await websocket.send(message)

        async def main():
            async with trio.open_nursery() as nursery:
                server = await nursery.start(functools.partial(serve, echo, 0, host="127.0.0.1"))
                assert isinstance(server, Server)
                async with server:
                    host, port = server.listeners[0].socket.getsockname()
                    async with connect(f"ws://{host}:{port}/") as websocket:
                        assert isinstance(websocket, ClientConnection)
                        await websocket.send("hello")
                        print(await websocket.recv())
                        await broadcast(server.connections, "to all")
                        print(await websocket.recv())
                        pong = await websocket.ping(ack_on_close=True)
                        await pong.wait()
                        await websocket.aclose()
                        try:
                            await websocket.recv()
                        except ConnectionClosedOK as exc:
                            print(exc.rcvd.code)

        trio.run(main)
        """
    )
    done = tidegate_run("--report", path)
    assert done.stdout == "hello\nto all\n1000\n", done.stderr
    assert "every name of websockets" in done.stderr

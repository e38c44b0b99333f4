"""The examples for threads run, and do what they say."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.sync.server import serve
from tidegate.testing import HTTPProxyServer
from tidegate.testing.installed import free_port

from .connections import address, running, until

FOLDER = Path(__file__).resolve().parents[2] / "examples"


def load(name):
    """Give what an example defines."""
    return runpy.run_path(str(FOLDER / f"{name}.py"))


def echo(connection):
    for message in connection:
        connection.send(message)


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_sync_server_and_sync_client(capsys):
    """The server ends by a signal."""
    port = free_port()
    program = f"import runpy; runpy.run_path({str(FOLDER / 'sync_server.py')!r})['main']({port})"
    with subprocess.Popen([sys.executable, "-W", "error", "-c", program]) as process:
        main = load("sync_client")["main"]

        def answers():
            try:
                main(f"ws://localhost:{port}/")
            except ConnectionRefusedError:
                return False
            return True

        until(answers)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert capsys.readouterr().out == "Hello, world!\n"


def test_sync_reconnecting_client(capsys):
    def news(connection):
        assert connection.recv() == "Any news?"
        connection.send("None yet.")

    server = serve(news, "127.0.0.1", 0)
    uri = address(server)
    module = load("sync_reconnecting_client")

    names = module["main"].__globals__
    show = names["show"]

    def show_and_stop(event):
        show(event)
        if event.state == "disconnected":
            server.shutdown()

    names["show"] = show_and_stop
    names["reconnect"] = quickly(names["reconnect"])
    with running(server), pytest.raises(OSError, match="refused"):
        module["main"](uri)
    printed = capsys.readouterr().out
    assert "connected, attempt 1" in printed
    assert "None yet.\n" in printed
    assert "failed, attempt 5" in printed


def quickly(reconnect):
    """Reconnect without delays."""

    def delays():
        while True:
            yield 0.0

    return lambda uri, **kwargs: reconnect(uri, reconnect_delays=delays, **kwargs)


def test_sync_through_a_proxy(capsys):
    main = load("sync_through_a_proxy")["main"]
    with running(serve(echo, "127.0.0.1", 0)) as server, HTTPProxyServer().in_thread() as proxy:
        main(address(server), proxy.url, proxy_loopback=True)
    main("ws://127.0.0.1:1/", "http://127.0.0.1:1", proxy_loopback=True)
    printed = capsys.readouterr().out
    assert printed.startswith("Hello out there!\nby way of ")
    assert "proxy: http://127.0.0.1:1" in printed

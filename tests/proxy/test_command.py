"""The command ``tidegate route``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import threading

import pytest

from tidegate.asyncio.server import serve
from tidegate.proxy import choice
from tidegate.proxy.command import add_arguments, read_environment, run
from tidegate.testing import Faults

pytest_plugins = ["tidegate.testing.fixtures"]

VARIABLES = ["ws", "wss", "socks", "https", "http", "all", "no"]


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    monkeypatch.setattr(choice, "resting", choice.Resting())
    for name in VARIABLES:
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.fixture
def route(capsys):
    """Run the command; give its exit status and what it wrote."""

    def command(*arguments):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        status = run(parser.parse_args(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


@pytest.fixture
def websocket_server():
    """A WebSocket server in a thread of its own; gives its port."""
    ports = []
    started = threading.Event()

    async def main():
        nonlocal stop, loop
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        async def handler(websocket):
            await websocket.wait_closed()

        async with serve(handler, "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            started.set()
            await stop.wait()

    stop = loop = None
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    started.wait()
    yield ports[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()


class TestRoute:
    def test_from_the_environment(self, route, monkeypatch):
        monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret@127.0.0.1:3128")
        status, out, err = route("wss://ws.test/chat")
        assert (status, err) == (0, "")
        assert "s3cret" not in out
        assert out.splitlines()[0] == "route: http://me:***@127.0.0.1:3128 -> wss://ws.test:443"
        assert "  + HTTPS_PROXY  http://me:***@127.0.0.1:3128: the first that is set" in out
        assert out.splitlines()[-2:] == [
            "addresses of 127.0.0.1: 127.0.0.1",
            "addresses of ws.test: looked up by http://me:***@127.0.0.1:3128",
        ]

    def test_without_a_proxy(self, route):
        status, out, _ = route("ws://127.0.0.1:1/")
        assert status == 0
        assert out.startswith("route: ws://127.0.0.1:1\nproxy: direct")
        assert out.endswith("addresses of 127.0.0.1: 127.0.0.1\n")

    def test_given_proxies(self, route):
        status, out, _ = route(
            "ws://[::1]/", "--proxy", "http+unix:///p.sock -> socks5://127.0.0.1", "--proxy", "None"
        )
        assert status == 0
        assert "otherwise: direct" in out
        assert "addresses of 127.0.0.1: looked up by http+unix:///p.sock" in out
        assert "addresses of ::1: ::1" in out

    def test_no_proxy(self, route, monkeypatch):
        monkeypatch.setenv("all_proxy", "http://p.test")
        assert "proxy: direct (from the argument proxy)" in route("ws://x/", "--proxy", "none")[1]

    def test_loopback(self, route, monkeypatch):
        monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
        assert "proxy: direct (from loopback)" in route("ws://localhost/")[1]
        assert "proxy: http://127.0.0.1:1" in route("ws://localhost/", "--loopback")[1]

    def test_name_that_is_unknown(self, route):
        status, out, _ = route("ws://ws.invalid/")
        assert status == 0
        assert "addresses of ws.invalid: cannot be looked up" in out

    def test_json(self, route, monkeypatch):
        monkeypatch.setenv("all_proxy", "http://me:s3cret@127.0.0.1:3128")
        status, out, _ = route("wss://ws.test/", "--json")
        report = json.loads(out)
        assert status == 0
        assert report["proxy"] == "http://me:***@127.0.0.1:3128"
        assert report["source"] == "the environment variable all_proxy"
        assert report["candidates"][0] == {
            "name": "no_proxy", "verdict": "passed", "reason": "isn't set", "value": None,
        }  # fmt: skip
        assert report["addresses"]["127.0.0.1"] == "127.0.0.1"
        assert "probes" not in report

    @pytest.mark.parametrize("uri", ["localhost:1", "http://localhost:1", "ws://localhost:1"])
    def test_addresses_and_those_of_web_pages(self, route, uri):
        status, out, _ = route(uri)
        assert status == 0
        assert "ws://localhost:1" in out

    @pytest.mark.parametrize(
        "arguments",
        [
            ("ftp://ws.test/",),
            ("ws://ws.test/", "--proxy", "ftp://p.test"),
            ("ws://ws.test/", "--env", "/no/such/file"),
        ],
    )
    def test_malformed(self, route, arguments):
        status, out, err = route(*arguments)
        assert (status, out) == (2, "")
        assert err.startswith("tidegate route: ")


class TestEnvironmentFile:
    def test_lines(self, route, tmp_path, monkeypatch):
        monkeypatch.setenv("ws_proxy", "http://not.this")
        file = tmp_path / "env"
        file.write_text(
            "# comment\nexport HTTP_PROXY='http://p.test:1'\n\nno_proxy = x\nA=\"b\"\n"
            "all_proxy=http://q.test:2 \n"
        )
        assert read_environment(file) == {
            "HTTP_PROXY": "http://p.test:1", "A": "b", "all_proxy": "http://q.test:2",
        }  # fmt: skip
        assert "proxy: http://p.test:1" in route("ws://127.0.0.2.test/", "--env", str(file))[1]

    def test_of_a_process(self, tmp_path):
        file = tmp_path / "environ"
        file.write_bytes(b"A=b=c\0all_proxy=http://p.test\0odd\0")
        assert read_environment(file) == {"A": "b=c", "all_proxy": "http://p.test"}
        if os.path.exists("/proc/self/environ"):
            assert "PATH" in read_environment(type(file)("/proc/self/environ"))


class TestProbe:
    def test_through_proxies(self, route, websocket_server, http_proxy, socks_proxy):
        status, out, _ = route(
            f"ws://127.0.0.1:{websocket_server}/",
            "--proxy",
            f"{http_proxy.url} -> {socks_proxy.url}",
            "--probe",
        )
        assert status == 0
        steps = [line.split(" ms  ") for line in out.split("probe: ")[1].splitlines()[1:]]
        assert [name.split("  ")[0].strip() for _, name in steps] == [
            "resolve", "connect", "CONNECT", "CONNECT", "handshake",
            "in all: the WebSocket connection is open",
        ]  # fmt: skip
        assert all(float(time) >= 0 for time, _ in steps)

    def test_without_a_proxy(self, route, websocket_server):
        status, out, _ = route(f"ws://127.0.0.1:{websocket_server}/", "--probe")
        assert status == 0
        assert "connect\n" in out and "handshake\n" in out and "is open" in out

    def test_failure(self, route, http_proxy):
        http_proxy.faults = Faults(refuse=403)
        status, out, _ = route("ws://ws.test/", "--proxy", http_proxy.url, "--probe")
        assert status == 1
        assert "failed: proxy rejected connection: HTTP 403" in out
        assert "hint: the proxy's rules forbid ws.test:80" in out

    def test_direct_failure(self, route):
        status, out, _ = route("ws://127.0.0.1:1/", "--probe")
        assert status == 1
        assert "failed: connecting to 127.0.0.1:1 failed: Connection refused" in out
        assert "hint: nothing listens there" in out

    def test_direct_failure_of_tls(self, route, websocket_server):
        status, out, _ = route(f"wss://127.0.0.1:{websocket_server}/", "--probe")
        assert status == 1
        assert f"or try ws://127.0.0.1:{websocket_server}\n" in out
        assert "tunnel" not in out

    def test_direct_refusal(self, route, http_proxy):
        status, out, _ = route(f"ws://127.0.0.1:{http_proxy.port}/", "--probe")
        assert status == 1
        assert "hint: this is a web server that has no WebSocket at /" in out

    def test_certificates_that_are_not_there(self, route):
        status, out, _ = route("wss://127.0.0.1:1/", "--probe", "--ca", "/no/such/ca.pem")
        assert status == 1
        assert "No such file or directory, given with --ca: '/no/such/ca.pem'" in out
        arguments = ("--proxy", "https://127.0.0.1:1", "--probe", "--proxy-ca", "/no/such/ca.pem")
        status, out, _ = route("ws://ws.test/", *arguments)
        assert status == 1
        assert "No such file or directory, given with --proxy-ca: '/no/such/ca.pem'" in out

    def test_time_limit(self, route, http_proxy):
        http_proxy.faults = Faults(silent=True)
        arguments = ("--proxy", http_proxy.url, "--probe", "--timeout", "0.1")
        status, out, _ = route("ws://ws.test/", *arguments)
        assert status == 1
        assert "failed: " in out

    def test_the_next_proxy(self, route, websocket_server, socks_proxy):
        status, out, _ = route(
            f"ws://127.0.0.1:{websocket_server}/",
            "--proxy", "http://127.0.0.1:1", "--proxy", socks_proxy.url, "--probe", "--json",
        )  # fmt: skip
        assert status == 0
        first, second = json.loads(out)["probes"]
        assert first["error"].startswith("connecting to the proxy failed: Connection refused")
        assert first["hint"].startswith("nothing listens there")
        assert second["error"] is None
        assert [step["name"] for step in second["steps"]] == [
            "resolve", "connect", "CONNECT", "handshake",
        ]  # fmt: skip
        assert second["steps"][2]["proxy"] == socks_proxy.url

    def test_certificates(self, route, websocket_server, https_proxy, https_proxy_ca):
        arguments = (f"ws://127.0.0.1:{websocket_server}/", "--proxy", https_proxy.url, "--probe")
        status, out, _ = route(*arguments)
        assert status == 1
        assert "give the path of its certificate with --proxy-ca" in out
        assert route(*arguments, "--proxy-ca", str(https_proxy_ca))[0] == 0

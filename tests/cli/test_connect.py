"""`tidegate connect`: the conversation, through pipes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import ssl

import pytest

from tidegate.asyncio.server import serve
from tidegate.testing import HTTPProxyServer

from .conversing import converse, serving, start

pytestmark = pytest.mark.asyncio_only


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
        assert status == 2
        assert words in err
        assert str(path) in err


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("ftp://localhost/", "scheme"),
        ("ws:/localhost/", "hostname isn't provided"),
        ("ws://me:secret@localhost:99999/", "port"),
        ("me:12x/secret@localhost", "percent-escape"),
        ("ws://localhost/#gate", "fragment"),
    ],
)
async def test_malformed_uris_exit_with_2(uri, words):
    status, out, err = await converse(uri)
    assert (status, out) == (2, "")
    assert err.startswith("Failed to connect to ")
    assert words in err.lower() or words in err
    assert "secret" not in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--proxy", "http://me:secret@localhost:x"], "isn't a valid proxy"),
        (["--proxy", "https://localhost", "--proxy-ca", "/nosuch.pem"], "/nosuch.pem"),
        (["-H", "Sec-WebSocket-Key: mine"], "Sec-WebSocket-Key"),
        (["-s", "not a token"], "subprotocol"),
        (["--binary", "--send", "tide"], "'tide' isn't hexadecimal"),
    ],
)
async def test_other_arguments_that_make_no_sense(arguments, words):
    async with serving() as uri:
        status, out, err = await converse(uri, *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert "secret" not in err
    assert err.count("\n") == 1


async def test_no_connection_exits_with_1():
    status, out, err = await converse("ws://127.0.0.1:9/")
    assert (status, out) == (1, "")
    assert "Connect call failed" in err


async def test_addresses_and_those_of_web_pages_are_understood():
    async with serving() as uri:
        place = uri.removeprefix("ws://")
        for address in (place, place.rstrip("/"), f"http://{place}", f"HTTP://{place}"):
            status, out, err = await converse(address, lines=["hello"])
            assert (status, out) == (0, "echo: hello\n")
            assert err.startswith("Connected to ws://127.0.0.1:")


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


async def test_input_that_is_not_text_is_not_changed():
    async with serving() as uri:
        process = await start(uri)
        out, err = await process.communicate(b"tide\nfl\xf6t\nebb\n")
    assert process.returncode == 2
    assert b"ebb" not in out
    assert b"line 2 of the input isn't UTF-8: byte 0xf6 at 2; " in err
    assert "\N{REPLACEMENT CHARACTER}".encode() not in out


async def test_binary_input():
    async with serving() as uri:
        status, out, _ = await converse(uri, "--binary", lines=["0001ff", "0xab:cd", "", "01 02"])
        assert status == 0
        assert out.splitlines() == [
            *("(binary) ff0100", "(binary) cdab", "(binary) ", "(binary) 0201")
        ]
        status, out, err = await converse(uri, "-b", lines=["00", "tide", "01"])
    assert (status, out) == (2, "(binary) 00\n")
    assert "Not sent: 'tide' isn't hexadecimal.\n" in err


async def test_large_messages():
    async with serving() as uri:
        for options, size in (
            (["--max-size", "2000000"], 2**20 + 1),
            (["--max-size", "0"], 2**22),
        ):
            status, out, _ = await converse(uri, *options, "--send", f"big {size}", "--count", "1")
            assert (status, len(out)) == (0, size + 1)
        for options, size in (([], 2**20 + 1), (["--max-size", "10"], 11)):
            process = await start(uri, *options)
            process.stdin.write(f"big {size}\n".encode())
            err = (await process.stderr.read()).decode()
            assert await process.wait() == 1
            assert "1009 (message too big)" in err
            assert "a message was larger than --max-size allows" in err
            process.stdin.close()

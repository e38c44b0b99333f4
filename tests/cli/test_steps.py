"""`tidegate connect` in scripts: `--send`, `--expect`, `--count`, and the exit status."""

from __future__ import annotations

import asyncio
import signal
import socket

import pytest

from tidegate.cli import main

from .conversing import converse, serving, start

pytestmark = pytest.mark.asyncio_only


async def test_one_message_and_its_answer():
    async with serving() as uri:
        status, out, err = await converse(uri, "--send", "hello", "--count", "1")
    assert (status, out) == (0, "echo: hello\n")
    assert err == f"Connected to {uri}.\nConnection closed: 1000 (OK).\n"


async def test_steps_are_taken_in_their_order():
    async with serving() as uri:
        status, out, _ = await converse(
            uri,
            *("--send", "say low rising high", "--expect", "^high$"),
            *("--send", "one", "--send", "say two three", "--count", "3"),
        )
    assert status == 0
    assert out.split("\n") == ["low", "rising", "high", "echo: one", "two", "three", ""]


async def test_the_input_is_not_read_if_messages_are_given():
    async with serving() as uri:
        status, out, _ = await converse(uri, "--send", "a", "--count", "1", lines=["b", "b"])
    assert (status, out) == (0, "echo: a\n")


async def test_sending_alone():
    received = asyncio.get_running_loop().create_future()

    async def collect(websocket):
        received.set_result([message async for message in websocket])

    async with serving(collect) as uri:
        status, out, _ = await converse(uri, "--send", "a", "--send", "Grüße", "--send", "")
        assert (status, out) == (0, "")
        assert await received == ["a", "Grüße", ""]


async def test_lines_of_a_file_and_what_must_come():
    """The end of the file doesn't end the wait."""

    async def late(websocket):
        assert await websocket.recv() == "hello"
        assert await websocket.recv() == "again"
        # The end of the input would close the connection by now.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await websocket.recv()
        await websocket.send("at last")
        await websocket.wait_closed()

    async with serving(late) as uri:
        status, out, _ = await converse(uri, "--expect", "last", lines=["hello", "again"])
    assert (status, out) == (0, "at last\n")


async def test_binary_messages():
    async with serving() as uri:
        status, out, _ = await converse(
            uri, "--send", "00ff", "--expect", "^ff", "--binary", "--send", "01", "--count", "1"
        )
    assert (status, out) == (0, "(binary) ff00\n(binary) 01\n")


async def test_time_is_up():
    """For what is waited for, too, not only for connecting."""
    async with serving() as uri:
        status, out, err = await converse(
            uri, "--send", "hello", "--expect", "ebb", "--timeout", "0.5"
        )
    assert (status, out) == (3, "echo: hello\n")
    assert err.endswith("What didn't come within 0.5 seconds: a message that matches 'ebb'.\n")


async def test_connection_ends_before_all_has_come():
    async with serving() as uri:
        for line in ("close 1000", "close 1011", "abort"):
            status, _, err = await converse(uri, "--send", line, "--count", "2")
            assert status == 3
            assert err.endswith("What didn't come: 2 more messages.\n")


async def test_how_it_ends_after_all_has_come():
    """It is what came that counts, if something is waited for, and else how the server closes."""

    async def end_badly(websocket):
        await websocket.send("tide")
        await websocket.recv()
        await websocket.close(1011)

    async with serving(end_badly) as uri:
        status, _, _ = await converse(uri, "--count", "1", lines=["x"])
        assert status == 0
        status, _, _ = await converse(uri, "--send", "x", "--wait", "20")
        assert status == 1


async def test_connecting_takes_too_long():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        status, _, err = await converse(address, "--count", "1", "--timeout", "0.2")
    assert status == 1
    assert "timed out" in err


async def test_waiting_after_the_last_step():
    async with serving() as uri:
        status, out, _ = await converse(
            uri, "--send", "say a b close", "--count", "1", "--send", "close 1000", "--wait", "20"
        )
    assert (status, out) == (0, "a\nb\nclose\n")


async def test_ctrl_c_while_waiting():
    async with serving() as uri:
        process = await start(uri, "--send", "hello", "--expect", "never")
        assert await process.stdout.readline() == b"echo: hello\n"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--expect", "("], "no regular expression"),
        (["--count", "0"], "--count"),
        (["--count", "many"], "--count"),
        (["--send", "fl\udcf6t"], "isn't UTF-8"),
        (["--max-size", "-1"], "--max-size"),
        (["--timeout", "-1"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
    ],
)
def test_arguments_that_make_no_sense(arguments, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["localhost:1", *arguments])
    assert words in capsys.readouterr().err.splitlines()[-1]

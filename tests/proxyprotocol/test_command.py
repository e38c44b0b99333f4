"""``tidegate proxyprotocol`` and ``python -m tidegate.proxyprotocol``."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import json
import re
import signal
import socket
import subprocess
import sys

import pytest

from tidegate import cli
from tidegate.proxyprotocol import Header, build
from tidegate.proxyprotocol.command import main
from tidegate.proxyprotocol.describe import describe
from tidegate.proxyprotocol.server import echo
from tidegate.proxyprotocol.server import main as relay

from .captures import CAPTURES, DATA

HEADER = Header(
    source=("203.0.113.7", 56324),
    destination=("2001:db8::1", 443),
    tlvs=[(1, b"h2"), (0xEA, b"\1vpce-1"), (0xF1, b"a\nb"), (0xE1, bytes(100)), (0x99, b"x")],
)


# decode


def decode(capsys, *arguments):
    status = main(["decode", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_decode_files(capture, capsys, tmp_path):
    status, out, _ = decode(capsys, str(DATA / f"{capture.name}.hex"))
    assert status == 0
    assert f"consumed     {len(capture.header)} bytes; 0 follow" in out
    path = tmp_path / "raw"
    path.write_bytes(capture.header + capture.payload)
    status, raw, _ = decode(capsys, str(path))
    assert status == 0
    assert f"{len(capture.header)} bytes; {len(capture.payload)} follow" in raw
    assert raw.splitlines()[:-1] == out.splitlines()[:-1]


def test_decode_text(capsys):
    status, out, _ = decode(capsys, build(HEADER, crc32c=True).hex(":"))
    assert status == 0
    lines = out.splitlines()
    assert lines[:5] == [
        "version      2",
        "command      PROXY",
        "family       AF_INET6 STREAM",
        "source       203.0.113.7:56324",
        "destination  [2001:db8::1]:443",
    ]
    assert "TLV 0x01     ALPN: h2" in lines
    assert "aws_vpce_id vpce-1" in lines
    assert "TLV 0xf1     experiment: 3 bytes 610a62" in lines
    assert "TLV 0x99     unknown: x" in lines
    assert any(re.fullmatch("TLV 0x03     CRC32C: [0-9a-f]{8}, as it should be", x) for x in lines)


def test_decode_ssl(capsys):
    status, out, _ = decode(capsys, str(DATA / "haproxy_v2_ssl_all_clientcert.hex"))
    assert status == 0
    assert "    0x22     CN: Client Ünïcode CN" in out
    assert "    verified True" in out


def test_decode_json(capsys):
    status, out, _ = decode(capsys, "--json", str(DATA / "nginx_v2_ssl_clientcert.hex"))
    assert status == 0
    header = json.loads(out)
    assert header["source"] == ["127.0.0.1", 54482]
    assert header["tlvs"][0] == {
        "type": 2,
        "name": "AUTHORITY",
        "value": b"ws.test".hex(),
        "text": "ws.test",
    }
    assert header["tlvs"][2]["verified"] is True
    assert header["tlvs"][2]["tlvs"][1]["text"] == "Client Ünïcode CN"
    assert header["consumed"] == 149


def test_decode_standard_input(capsys, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"PROXY UNKNOWN\r\nrest"))
    monkeypatch.setattr(sys, "stdin", stdin)
    status, out, _ = decode(capsys, "-")
    assert status == 0
    assert out.splitlines() == [
        "version      1",
        "command      PROXY",
        "consumed     15 bytes; 4 follow",
    ]


@pytest.mark.parametrize(
    ("text", "rest"),
    [("", 0), ("\r\n", 0), ("\n", 0), (r"\r\n", 0), (r"\r\nhello", 5), ("\r\nhello", 5)],
)
def test_decode_text_of_version_1(text, rest, capsys):
    """The end of the line gets lost in terminals and logs, or is written out there."""
    status, out, _ = decode(capsys, f"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443{text}")
    assert status == 0
    assert out.splitlines() == [
        "version      1",
        "command      PROXY",
        "family       AF_INET STREAM",
        "source       203.0.113.7:56324",
        "destination  10.0.0.1:443",
        f"consumed     43 bytes; {rest} follow",
    ]


def test_decode_bytes_as_they_are(capsys, tmp_path):
    """In a file nothing is added, as it may be a capture."""
    path = tmp_path / "header"
    path.write_bytes(b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\n")
    status, _, err = decode(capsys, str(path))
    assert status == 1
    assert err.endswith("its line ends with LF only, where CR LF has to be\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        ("PROXY TCP4 1.2.3.4 5.6.7.8 1", 1, "5.6.7.8 1"),
        (b"PROXY TCP4 1.2.3.4".hex(), 1, "at least 14 are missing"),
        (b"GET / HTTP/1.1\r\n".hex(), 1, "no PROXY protocol header"),
        ("no such file", 2, "neither hexadecimal nor a file"),
        ("x" * 10_000, 2, "neither hexadecimal nor a file"),
    ],
)
def test_decode_errors(data, status, message, capsys):
    result, out, err = decode(capsys, data)
    assert (result, out) == (status, "")
    assert message in err
    assert len(err) < 300


def test_nothing_that_steers_a_terminal():
    header = Header(source="/run/\x1b[2J", destination="\0abstract", tlvs=[(2, b"\x1b[31m")])
    assert all(line.isprintable() for line in describe(header))


# relay and echo, as programs


@contextlib.contextmanager
def program(*arguments):
    """A program that tells where it listens, and what it printed, after it has been ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate.proxyprotocol", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stderr:
            found = re.search(r"(?:Listening on|Relaying from) \('127.0.0.1', (\d+)", line)
            if found:
                break
        else:
            raise AssertionError("it doesn't listen")
        yield int(found[1]), process
    finally:
        process.kill()
        process.communicate()


def talk(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
        return answer, sock.getsockname()


@pytest.mark.parametrize(("end", "status"), [(signal.SIGTERM, -15), (signal.SIGINT, 0)])
def test_relay_to_echo(end, status):
    with (
        program("echo", "127.0.0.1:0", "--json") as (echo_port, echo_process),
        program("relay", "127.0.0.1:0", f"127.0.0.1:{echo_port}") as (port, relay_process),
    ):
        answer, client = talk(port, b"hello")
        assert answer == b"hello"
        header = json.loads(echo_process.stdout.readline())
        assert header["source"] == list(client)
        assert header["destination"] == ["127.0.0.1", port]
        # With a connection that is open.
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
            for process in relay_process, echo_process:
                process.send_signal(end)
                assert process.wait(10) == status


def test_echo_tells_why_not():
    with program("echo", "127.0.0.1:0?pp=v2") as (port, process):
        with contextlib.suppress(ConnectionResetError):
            assert talk(port, b"PROXY UNKNOWN\r\nhello")[0] == b""
        assert talk(port, build(HEADER) + b"hello")[0] == b"hello"
        assert process.stdout.readline() == "version      2\n"
        process.terminate()
        assert "no PROXY protocol header of version 2" in process.stderr.read()


def test_commands_of_their_own():
    assert relay.main(["only-one"]) == 1
    with pytest.raises(SystemExit, match="2"):
        echo.main(["localhost:99999"])
    with pytest.raises(SystemExit, match="2"):
        relay.main(["--buf-len", "0"])
    with pytest.raises(SystemExit, match="2"):
        relay.main(["--idle-timeout", "soon"])
    assert echo.main(["localhost:1?pp=v3"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["echo", "nosuch.invalid"], "cannot listen on nosuch.invalid: "),
        (["echo", "203.0.113.7:1"], "cannot listen on 203.0.113.7:1: "),
        (["echo", "ssl://:1?cert=/nosuch.pem"], "cert=/nosuch.pem: No such file"),
        (["echo", ":1?pp=v3"], "no version 'v3'"),
        (["echo", "--trusted", "gate"], "'gate' is not an IP address"),
        (
            ["relay", "203.0.113.7:1", "localhost:2"],
            "relay from 203.0.113.7:1 to localhost:2: ",
        ),
        (["relay", ":0", "localhost"], "localhost has no port"),
    ],
)
def test_servers_that_cannot_be_say_one_line(arguments, words, capsys):
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{arguments[0]}: ")
    assert words in err
    assert err.count("\n") == 1


def test_options_of_proxy_protocol(capsys):
    for module, options in (
        (relay, ["--service SOURCE:PORT DEST:PORT", "--buf-len BYTES", "-q", "--quiet", "--dnsbl"]),
        (echo, ["[HOST:PORT]", "(:10007)"]),
    ):
        with pytest.raises(SystemExit, match="0"):
            module.main(["--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert all(option in text for option in options)


def test_echo_as_proxy_protocol_has_it():
    parser = argparse.ArgumentParser()
    echo.add_arguments(parser)
    address = parser.parse_args([]).address
    assert (address.host, address.port, address.ssl) == ("", 10007, None)
    assert echo.policy_for(echo.Address(":1?pp=noop"), "anyone").decide(("127.0.0.1", 1)) == "plain"
    assert echo.policy_for(echo.Address(":1?pp=v1"), "anyone").versions == (1,)
    assert echo.policy_for(echo.Address(":1"), ["10.0.0.1"]).versions == (1, 2)
    assert inspect.iscoroutinefunction(echo.run)
    assert inspect.iscoroutinefunction(echo.run_conn)


def test_subcommand(capsys):
    cli.main(["proxyprotocol", "decode", b"PROXY UNKNOWN\r\n".hex()])
    assert capsys.readouterr().out.startswith("version      1\n")
    with pytest.raises(SystemExit, match="1"):
        cli.main(["proxyprotocol", "decode", "00"])

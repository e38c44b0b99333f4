"""The command line as such: commands, versions, exit statuses."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys

import pytest

import tidegate
from tidegate.cli import COMMANDS, Command, commands, main
from tidegate.cli.commands import with_command
from tidegate.cli.versions import describe, uncompiled_modules


def exit_status(argv):
    """Run the command; give its exit status."""
    try:
        main(argv)
    except SystemExit as exc:
        return exc.code
    return 0


def tidegate_process(*arguments, env=None, **options):
    return subprocess.run(
        [sys.executable, "-m", "tidegate", *arguments],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_has_help(command, capsys):
    assert exit_status([command.name, "--help"]) == 0
    assert f"usage: tidegate {command.name}" in capsys.readouterr().out


def test_help_names_all_commands(capsys):
    assert exit_status(["--help"]) == 0
    # Where lines are broken depends on the width of the terminal, and on the version of Python.
    out = " ".join(capsys.readouterr().out.split())
    for command in COMMANDS:
        assert command.name in out
        assert command.help in out


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["connect"], ["demo", "--proxy", "nonsense"]])
def test_nonsense(argv, capsys):
    assert exit_status(argv) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["ws://localhost/"], ["connect", "ws://localhost/"]),
        (["--insecure", "wss://localhost/"], ["connect", "--insecure", "wss://localhost/"]),
        (["--ca", "my.pem", "wss://localhost/"], ["connect", "--ca", "my.pem", "wss://localhost/"]),
        (["connect", "ws://localhost/"], ["connect", "ws://localhost/"]),
        (["localhost:8765"], ["connect", "localhost:8765"]),
        (["localhost"], ["connect", "localhost"]),
        (["gate.example.com"], ["connect", "gate.example.com"]),
        (["[::1]:8765/tides?x"], ["connect", "[::1]:8765/tides?x"]),
        (["me:secret@gate:1"], ["connect", "me:secret@gate:1"]),
        (["ws:/gate"], ["connect", "ws:/gate"]),
        (["http://gate"], ["connect", "http://gate"]),
        (["-v", "gate:80"], ["connect", "-v", "gate:80"]),
        (["gate"], ["gate"]),
        (["demo"], ["demo"]),
        (["--version"], ["--version"]),
        ([], []),
    ],
)
def test_uri_in_the_place_of_a_command(arguments, expected):
    assert with_command(arguments) == expected


@pytest.mark.parametrize(
    ("outcome", "status"), [(0, 0), (1, 1), (3, 3), (KeyboardInterrupt(), 130)]
)
def test_status_is_that_of_the_command(monkeypatch, outcome, status):
    class Module:
        @staticmethod
        def add_arguments(parser):
            parser.add_argument("number", type=int)

        @staticmethod
        def run(args):
            assert isinstance(args, argparse.Namespace)
            assert args.number == 42
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

    class Mounted(Command):
        def load(self):
            return Module

    monkeypatch.setattr(commands, "COMMANDS", (Mounted("try", "", "try it"), *COMMANDS))
    assert exit_status(["try", "42"]) == status


def test_version(capsys):
    assert exit_status(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"tidegate {tidegate.__version__}"
    said = {line[:12].strip(): line[12:] for line in lines[1:]}
    assert said["Python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert said["transports"] in ("the poller", "the event loop's own")
    assert "zlib" in said["compression"]
    assert "asyncio" in said["event loops"]
    word = "uncompiled" if uncompiled_modules() else "compiled"
    assert said["core"].startswith(word)


def test_version_says_why_it_runs_uncompiled():
    result = tidegate_process("--version", env={"TIDEGATE_NO_EXTENSIONS": "1"})
    assert result.returncode == 0
    [line] = [line for line in result.stdout.splitlines() if "uncompiled" in line]
    assert "TIDEGATE_NO_EXTENSIONS" in line


def test_version_says_that_there_was_no_compiler(monkeypatch):
    monkeypatch.delenv("TIDEGATE_NO_EXTENSIONS", raising=False)
    every = ["tidegate.wire.reader", "tidegate.wire.writer"]
    monkeypatch.setattr("tidegate.cli.versions.compiled_modules", lambda: every)
    monkeypatch.setattr("tidegate.cli.versions.uncompiled_modules", lambda: every)
    assert "no working C compiler" in describe()
    monkeypatch.setattr("tidegate.cli.versions.uncompiled_modules", lambda: every[1:])
    assert "partly uncompiled: tidegate.wire.writer" in describe()


def test_version_says_what_the_environment_chose():
    environment = {"TIDEGATE_TRANSPORTS": "loop", "TIDEGATE_ZLIB": "stdlib"}
    result = tidegate_process("--version", env=environment)
    assert "TIDEGATE_TRANSPORTS" in result.stdout
    assert "TIDEGATE_ZLIB" in result.stdout


def test_output_that_nobody_reads():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        process = subprocess.run(
            [sys.executable, "-m", "tidegate", "demo", "--proxy", "built-in"],
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert process.returncode == 1
    assert process.stderr == b""


def test_installed_command():
    [script] = [
        script
        for script in importlib.metadata.distribution("tidegate").entry_points
        if script.group == "console_scripts"
    ]
    assert script.name == "tidegate"
    assert script.load() is main

"""Types and signatures as programs and tools find them at run time."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import tidegate
import tidegate.exceptions
from tidegate.core.life import Life
from tidegate.extensions.deflate import MessageDeflater, MessageInflater
from tidegate.proxyprotocol.header import Header
from tidegate.wire.reader import FrameReader
from tidegate.wire.writer import FrameWriter

ROOT = Path(__file__).resolve().parents[2]

COMPILED = [FrameReader, FrameWriter, Header, Life, MessageDeflater, MessageInflater]


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy isn't installed")
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="the stubs of asyncio have more there")
def test_sources_say_what_is_there():
    # Uncompiled, since compiled modules lack what only C can see.
    command = [sys.executable, "-W", "ignore", "-m", "mypy.stubtest", "tidegate", "--concise"]
    command += ["--mypy-config-file", ROOT / "pyproject.toml"]
    command += ["--allowlist", Path(__file__).with_name("stubtest.txt")]
    command.append("--ignore-unused-allowlist")
    result = subprocess.run(
        [*map(str, command)],
        env={**os.environ, "TIDEGATE_NO_EXTENSIONS": "1", "MYPYPATH": str(ROOT / "src")},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("cls", COMPILED, ids=lambda cls: cls.__name__)
def test_signatures_of_compiled_classes(cls):
    code = (
        "import inspect; "
        f"from {cls.__module__} import {cls.__name__} as cls; print(inspect.signature(cls))"
    )
    uncompiled = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TIDEGATE_NO_EXTENSIONS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert str(inspect.signature(cls)) == uncompiled.stdout.strip()


def test_signatures_of_subclasses():
    class Same(FrameWriter):
        pass

    class Other(FrameWriter):
        def __init__(self, mask):
            super().__init__(mask, 1)

    assert list(inspect.signature(Same).parameters) == ["mask", "state"]
    assert list(inspect.signature(Other).parameters) == ["mask"]


def test_signatures_of_exceptions():
    for name in tidegate.exceptions.__all__:
        assert inspect.signature(getattr(tidegate.exceptions, name))


def test_signatures_of_methods():
    signature = inspect.signature(tidegate.ClientConnection.recv)
    assert list(signature.parameters) == ["self", "decode"]
    assert signature.return_annotation == "Coroutine[Any, Any, Data]"


def test_what_is_raised_and_given_is_at_the_top():
    for module in (tidegate.exceptions, tidegate.datastructures, tidegate.frames):
        assert set(module.__all__) <= set(tidegate.__all__)
    names = {"Connection", "ConnectionEvent", "DataLike", "Limits", "Listener", "ProxyPolicy"}
    assert names <= set(tidegate.__all__)

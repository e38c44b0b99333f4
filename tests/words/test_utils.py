"""Small helpers, lazy imports, and the cost of ``import tidegate``."""

from __future__ import annotations

import ast
import base64
import importlib
import os
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tidegate
from tidegate import version
from tidegate.imports import lazy_import
from tidegate.utils import accept_key, apply_mask, generate_key, get_socket_name


def test_accept_key() -> None:
    # RFC 6455 section 1.3
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_generate_key() -> None:
    keys = {generate_key() for _ in range(20)}
    assert len(keys) == 20
    assert all(len(base64.b64decode(key, validate=True)) == 16 for key in keys)


@given(st.binary(max_size=40), st.binary(min_size=4, max_size=4))
def test_apply_mask(data: bytes, mask: bytes) -> None:
    expected = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
    for make in (bytes, bytearray, memoryview):
        assert apply_mask(make(data), mask) == expected
    assert apply_mask(expected, bytearray(mask)) == data


@pytest.mark.parametrize("mask", [b"", b"abc", b"abcde"])
def test_apply_mask_needs_four_bytes(mask: bytes) -> None:
    with pytest.raises(ValueError, match="mask must contain 4 bytes"):
        apply_mask(b"data", mask)


def test_get_socket_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert get_socket_name(sock) == f"127.0.0.1:{sock.getsockname()[1]}"
    if socket.has_ipv6:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
            assert get_socket_name(sock) == f"[::1]:{sock.getsockname()[1]}"
    if hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as sock:
            assert get_socket_name(sock) == ""
            monkeypatch.chdir(tmp_path)
            sock.bind("socket")
            assert get_socket_name(sock) == "socket"
        if sys.platform == "linux":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(f"\0tidegate-{os.getpid()}")
                assert get_socket_name(sock) == f"@tidegate-{os.getpid()}"


def make_module(name: str, package: str) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__package__ = package
    return module


def test_lazy_import() -> None:
    package = make_module("tidegate", "tidegate")
    lazy_import(vars(package), {"Opcode": ".frames", "Missing": ".frames"})
    assert "Opcode" not in vars(package)
    assert {"Opcode", "Missing", "__name__"} <= set(dir(package))
    from tidegate.frames import Opcode

    assert package.Opcode is Opcode
    assert vars(package)["Opcode"] is Opcode
    with pytest.raises(AttributeError, match="Missing"):
        _ = package.Missing
    with pytest.raises(AttributeError, match="module 'tidegate' has no attribute 'nope'"):
        _ = package.nope


def test_lazy_import_in_a_module() -> None:
    module = make_module("tidegate.somewhere", "tidegate")
    lazy_import(
        vars(module),
        deprecated_aliases={
            "Opcode": ".frames",
            "Kind": (".frames:Opcode", "use tidegate.frames.Opcode"),
        },
    )
    with pytest.warns(DeprecationWarning, match=r"^tidegate\.somewhere\.Opcode is deprecated$"):
        assert module.Opcode.TEXT == 1
    message = r"^tidegate\.somewhere\.Kind is deprecated: use tidegate\.frames\.Opcode$"
    with pytest.warns(DeprecationWarning, match=message) as caught:
        assert module.Kind is module.Opcode
    # The line that uses the name is the one to change.
    assert caught[0].filename == __file__
    # Once per name; pytest makes an error of any other warning.
    assert module.Kind is module.Opcode


@pytest.mark.parametrize(
    ("namespace", "aliases", "deprecated"),
    [
        ({"a": 1}, {"a": ".b"}, {}),
        ({"a": 1}, {}, {"a": ".b"}),
        ({}, {"a": ".b"}, {"a": ".b"}),
        ({"__getattr__": None}, {}, {}),
    ],
)
def test_lazy_import_conflicts(
    namespace: dict[str, object], aliases: dict[str, str], deprecated: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="there already"):
        lazy_import({"__name__": "x", "__package__": "x", **namespace}, aliases, deprecated)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys; import tidegate;"
        "heavy = {'asyncio', 'ssl', 'socket', 'logging', 'http', 'typing', 're', 'dataclasses'};"
        "print(sorted(heavy & set(sys.modules)), [m for m in sys.modules if m[:9] == 'tidegate.'])"
    )
    environ = {k: v for k, v in os.environ.items() if k != "TIDEGATE_NO_EXTENSIONS"}
    # Without site, which loads what it likes.
    command = [sys.executable, "-S", "-c", code]
    source = str(Path(tidegate.__file__).parents[1])
    done = subprocess.run(
        command, env=environ | {"PYTHONPATH": source}, capture_output=True, text=True, check=True
    )
    # The last is what shows sources of compiled code in tracebacks.
    expected = "['tidegate.imports', 'tidegate.version', 'tidegate._compiled']"
    assert done.stdout.strip() in (f"[] {expected}", "[] ['tidegate.imports', 'tidegate.version']")


def test_names_of_the_package() -> None:
    tree = ast.parse(Path(tidegate.__file__).read_text())
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    for_type_checkers = {
        alias.name: f".{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    submodules_for_type_checkers = [
        alias.name
        for node in block.body
        if isinstance(node, ast.ImportFrom) and not node.module
        for alias in node.names
    ]
    (call,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    )
    aliases = ast.literal_eval(call.args[1])
    assert aliases == for_type_checkers
    (submodules,) = (
        ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg == "submodules"
    )
    # The package of the older API warns.
    assert sorted([*submodules, "legacy"]) == submodules_for_type_checkers
    assert sorted([*aliases, "__version__"]) == sorted(tidegate.__all__)
    for name, source in aliases.items():
        module = importlib.import_module(source, "tidegate")
        assert getattr(tidegate, name) is getattr(module, name), name
        assert name in dir(tidegate)


def test_version() -> None:
    assert tidegate.__version__ == version.version == version.tag
    assert version.released is ("dev" not in version.version)

"""What is built from the project, and whether it works where it ends up."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import tidegate

ROOT = Path(__file__).resolve().parents[2]

IGNORED = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.egg-info")


def check_run(*command, env=None, cwd=None):
    """Run a program that must succeed; give its output."""
    result = subprocess.run(
        [*map(str, command)],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


ECHO = """\
import asyncio, sys
import {0}
from {0} import connect, serve

async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)

async def main():
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{{port}}/") as websocket:
            for message in ("hello", b"x" * 100_000):
                await websocket.send(message)
                assert await websocket.recv() == message

asyncio.run(main())
print("modules:", *sorted(name for name in sys.modules if name.partition(".")[0] == "tidegate"))
print("from:", {0}.__file__)
"""


def test_works_under_another_name(tmp_path):
    shutil.copytree(ROOT / "src" / "tidegate", tmp_path / "floodgate", ignore=IGNORED)
    out = check_run(sys.executable, "-W", "error", "-c", ECHO.format("floodgate"), cwd=tmp_path)
    assert out.splitlines() == ["modules:", f"from: {tmp_path}/floodgate/__init__.py"]


def test_works_under_another_name_beside_extensions(tmp_path):
    # They are of no use there, because they know themselves by their first name.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "tidegate", tmp_path / "floodgate", ignore=ignored)
    out = check_run(sys.executable, "-W", "error", "-c", ECHO.format("floodgate"), cwd=tmp_path)
    assert out.splitlines()[0] == "modules:"
    environment = {"TIDEGATE_NO_EXTENSIONS": ""}
    out = check_run(sys.executable, "-m", "floodgate", "--version", env=environment, cwd=tmp_path)
    assert "a copy of the package, named floodgate" in out


def test_imports_inside_the_package_are_relative():
    for path in sorted((ROOT / "src" / "tidegate").rglob("*.py")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            assert not line.startswith(("import tidegate", "from tidegate")), f"{path}:{number}"


# Building. The tools are in the environment that `make test` makes.


def lacks(distribution, minimum):
    try:
        return int(version(distribution).partition(".")[0]) < minimum
    except PackageNotFoundError:
        return True


needs_tools = pytest.mark.skipif(
    lacks("setuptools", 77) or lacks("Cython", 3), reason="setuptools and Cython aren't installed"
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project, in which things can be built."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=IGNORED)
    return folder


def sources(suffix):
    return {
        str(path.relative_to(ROOT / "src"))
        for path in (ROOT / "src" / "tidegate").rglob(f"*{suffix}")
    }


@needs_tools
def test_wheel(project, tmp_path):
    # What a machine without C compiler gets, because compiling everything takes a minute.
    check_run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", tmp_path, project),
        env={"TIDEGATE_NO_EXTENSIONS": "1"},
    )
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.name == f"tidegate-{tidegate.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    assert "tidegate/py.typed" in names
    assert sources(".py") | sources(".pxd") <= names
    info = f"tidegate-{tidegate.__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    top_folders = {name.partition("/")[0] for name in names}
    assert top_folders == {"tidegate", info}
    environment = {"PYTHONPATH": str(tmp_path / "installed")}
    out = check_run(sys.executable, "-c", ECHO.format("tidegate"), env=environment, cwd=tmp_path)
    assert f"from: {tmp_path}/installed" in out


@needs_tools
def test_source_distribution(project, tmp_path):
    check_run(
        *(sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", tmp_path),
        env={"TIDEGATE_NO_EXTENSIONS": "1"},
        cwd=project,
    )
    [archive] = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE"} <= names
    for suffix in (".py", ".pxd", "py.typed"):
        assert {f"src/{name}" for name in sources(suffix)} <= names
    assert not any(name.endswith((".c", ".so")) for name in names)


@needs_tools
@pytest.mark.parametrize("required", [False, True])
def test_no_compiler(project, tmp_path, required):
    # One module is enough to see what happens.
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(project / name, tmp_path)
    shutil.copytree(project / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.pyx"))
    package = tmp_path / "src" / "tidegate"
    for types in package.rglob("*.pxd"):
        if types.relative_to(package).parts not in [
            ("wire", "kernels.pxd"),
            ("wire", "writer.pxd"),
        ]:
            types.unlink()
    environment = {"CC": "/bin/false", "TIDEGATE_NO_EXTENSIONS": ""}
    environment["TIDEGATE_REQUIRE_EXTENSIONS"] = "1" if required else ""
    command = (sys.executable, "setup.py", "build_ext", "--inplace")
    if required:
        with pytest.raises(AssertionError, match="/bin/false"):
            check_run(*command, env=environment, cwd=tmp_path)
        return
    assert "tidegate.wire.writer" in check_run(*command, env=environment, cwd=tmp_path)
    assert not list(package.rglob("*" + importlib.machinery.EXTENSION_SUFFIXES[0]))
    environment["PYTHONPATH"] = str(tmp_path / "src")
    check_run(sys.executable, "-c", ECHO.format("tidegate"), env=environment, cwd=tmp_path)
    out = check_run(sys.executable, "-m", "tidegate", "--version", env=environment, cwd=tmp_path)
    assert "no working C compiler" in out

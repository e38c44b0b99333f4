"""What is built from the project, and whether it works where it ends up."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import subprocess
import sys
import sysconfig
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
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=IGNORED)
    return folder


CC = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]


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


def files_of_project():
    """What belongs to the project: all that isn't made from it."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        listed = check_run(
            "git", "-C", ROOT, "ls-files", "--cached", "--others", "-z", "--exclude-standard"
        )
        names = {name for name in listed.split("\0") if name and (ROOT / name).exists()}
    else:
        # A source distribution says itself what it holds.
        listed = (ROOT / "src" / "tidegate.egg-info" / "SOURCES.txt").read_text("utf-8")
        names = set(listed.splitlines())
    return {name for name in names if "egg-info" not in name} - {"setup.cfg", "PKG-INFO"}


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory):
    """A source distribution of all of the project, and the names of what is in it."""
    whole = tmp_path_factory.mktemp("whole")
    for name in files_of_project():
        (whole / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, whole / name)
    folder = tmp_path_factory.mktemp("dist")
    check_run(
        *(sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", folder),
        env={"TIDEGATE_NO_EXTENSIONS": "1"},
        cwd=whole,
    )
    [archive] = folder.glob("*.tar.gz")
    return archive


@needs_tools
def test_source_distribution_is_complete(source_distribution):
    with tarfile.open(source_distribution) as content:
        names = {file.name.partition("/")[2] for file in content if file.isfile()}
    made = {name for name in names if "egg-info" in name} | {"setup.cfg", "PKG-INFO"}
    assert names - made == files_of_project()


@needs_tools
def test_tests_run_from_the_source_distribution(source_distribution, tmp_path):
    with tarfile.open(source_distribution) as content:
        content.extractall(tmp_path, filter="data")
    [folder] = tmp_path.iterdir()
    # Those that look at files of every kind; that none is missing is tested above.
    some = ("tests/test_docs.py", "tests/project/test_layers.py")
    check_run(
        *(sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *some),
        env={"PYTHONPATH": str(folder / "src"), "TIDEGATE_NO_EXTENSIONS": "1"},
        cwd=folder,
    )


@pytest.fixture
def small(project, tmp_path):
    """A copy of the project that compiles one module, which is enough to see what happens."""
    shutil.copytree(project, tmp_path / "small", ignore=shutil.ignore_patterns("*.pyx", "build"))
    package = tmp_path / "small" / "src" / "tidegate"
    for types in package.rglob("*.pxd"):
        if types.relative_to(package).parts not in [
            ("wire", "kernels.pxd"),
            ("wire", "writer.pxd"),
        ]:
            types.unlink()
    return tmp_path / "small"


@needs_tools
@pytest.mark.skipif(shutil.which(CC) is None, reason="there is no C compiler")
def test_compiled_wheel(small, tmp_path):
    # What only the tests need stays out, and so do symbols, which are most of a module's size.
    exposed = small / "src" / "tidegate" / "_exposed.pyx"
    exposed.write_text("from .wire cimport kernels")
    out = check_run(
        *(sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", tmp_path, small),
        env={"TIDEGATE_NO_EXTENSIONS": "", "TIDEGATE_REQUIRE_EXTENSIONS": "1"},
    )
    assert "1 of 1  tidegate.wire.writer" in out
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [compiled] = (name for name in names if name.endswith((".so", ".pyd")))
        content = archive.read(compiled)
    assert compiled.startswith("tidegate/wire/writer.")
    assert not [name for name in names if "_exposed" in name]
    assert b".debug_info" not in content
    assert b".symtab" not in content


@needs_tools
@pytest.mark.parametrize("required", [False, True])
def test_no_compiler(small, tmp_path, required):
    package = small / "src" / "tidegate"
    environment = {"CC": "/bin/false", "TIDEGATE_NO_EXTENSIONS": ""}
    environment["TIDEGATE_REQUIRE_EXTENSIONS"] = "1" if required else ""
    command = (sys.executable, "setup.py", "build_ext", "--inplace")
    if required:
        with pytest.raises(AssertionError, match="/bin/false"):
            check_run(*command, env=environment, cwd=small)
        return
    assert "tidegate.wire.writer" in check_run(*command, env=environment, cwd=small)
    assert not list(package.rglob("*" + importlib.machinery.EXTENSION_SUFFIXES[0]))
    environment["PYTHONPATH"] = str(small / "src")
    check_run(sys.executable, "-c", ECHO.format("tidegate"), env=environment, cwd=tmp_path)
    out = check_run(sys.executable, "-m", "tidegate", "--version", env=environment, cwd=tmp_path)
    assert "no working C compiler" in out

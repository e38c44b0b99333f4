"""Programs that type checkers must accept, but for the lines marked with ``# wrong``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted(Path(__file__).with_name("programs").glob("*.py"))
OURS = re.compile(r"\bwebsockets(?=\.)")


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder with the programs, those for websockets with both imports."""
    folder = tmp_path_factory.mktemp("programs")
    for path in PROGRAMS:
        source = path.read_text("utf-8")
        if OURS.search(source):
            (folder / f"untouched_{path.name}").write_text(source, "utf-8")
            source = OURS.sub("tidegate", source)
        (folder / path.name).write_text(source, "utf-8")
    return folder


def marked(folder):
    """Give the lines that a type checker must find, as ``file:number``."""
    return {
        f"{path.name}:{number}"
        for path in folder.glob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if "# wrong" in line
    }


def check(found, folder):
    """Check that all marked lines were found, and no others; ``found`` says what is wrong."""
    wrong = marked(folder)
    assert found.keys() - wrong == set(), [found[line] for line in found.keys() - wrong]
    assert wrong - found.keys() == set()


def run(*command, folder):
    return subprocess.run(
        [*map(str, command)],
        env={**os.environ, "MYPYPATH": str(ROOT / "src"), "NO_COLOR": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy isn't installed")
def test_mypy(programs):
    result = run(sys.executable, "-m", "mypy", "--strict", "--no-pretty", ".", folder=programs)
    # Those of the programs: the package has none, which is for `make lint` to say.
    errors = re.findall(r"^([^/\s]+\.py:\d+): error: (.*)", result.stdout, re.MULTILINE)
    assert errors, result.stdout + result.stderr
    check(dict(errors), programs)


# It is pyright with all that it needs; pyright itself would download that when it is run.
@pytest.mark.skipif(find_spec("basedpyright") is None, reason="basedpyright isn't installed")
def test_pyright(programs):
    configuration = {
        "include": ["."],
        "extraPaths": [str(ROOT / "src")],
        "typeCheckingMode": "strict",
    }
    (programs / "pyrightconfig.json").write_text(json.dumps(configuration))
    result = run(
        *(sys.executable, "-m", "basedpyright", "--outputjson"),
        *("--pythonpath", sys.executable, "--project", programs),
        folder=programs,
    )
    found = {}
    for entry in json.loads(result.stdout)["generalDiagnostics"]:
        if entry["severity"] == "error":
            line = entry["range"]["start"]["line"] + 1
            found[f"{Path(entry['file']).name}:{line}"] = entry["message"]
    check(found, programs)

"""The documentation: its programs are those of the examples, its links lead somewhere."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

from tidegate.cli import COMMANDS
from tidegate.testing.installed import free_port

ROOT = Path(__file__).resolve().parent.parent

PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]

# What a complete run of the benchmark writes.
MEASURED = [ROOT / "benchmarks" / "RESULTS.md"]

# Those whose programs are pieces of the examples; in others they may be shorter than a program.
FROM_EXAMPLES = ["README.md", "getting-started.md", "limits-and-security.md"]


def page_id(path):
    return str(path.relative_to(ROOT))


def blocks(page, language):
    """Give the text of the fenced blocks in a language, parts of programs included."""
    found = re.findall(
        rf"^( *)```{language}(?: part)?\n(.*?)^\1```$", page.read_text("utf-8"), re.M | re.S
    )
    return [textwrap.dedent(text) for _, text in found]


def whole_programs(page):
    """Give the blocks of Python that aren't marked as a part, and the output below each."""
    found = re.findall(
        r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", page.read_text("utf-8"), re.M | re.S
    )
    return [pytest.param(*block, id=page_id(page)) for block in found]


def is_in_an_example(block):
    lines = block.splitlines()
    for example in sorted((ROOT / "examples").glob("*.py")):
        theirs = example.read_text("utf-8").splitlines()
        for start in range(len(theirs) - len(lines) + 1):
            piece = "\n".join(theirs[start : start + len(lines)])
            if textwrap.dedent(piece).splitlines() == lines:
                return True
    return False


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", ROOT / "docs" / "performance.md"], ids=page_id
)
def test_figures_are_those_of_the_benchmark(page):
    [results] = MEASURED
    section = results.read_text("utf-8").partition("## In short\n")[2].partition("\n## ")[0]
    assert section.count("\n|") > 5
    assert section.strip() in page.read_text("utf-8")


@pytest.mark.parametrize("name", FROM_EXAMPLES)
def test_programs_are_examples(name):
    [page] = [page for page in PAGES if page.name == name]
    programs = blocks(page, "python")
    assert programs
    for program in programs:
        assert is_in_an_example(program), f"in no example:\n{program}"


@pytest.mark.parametrize(
    ("program", "output"), [block for page in PAGES for block in whole_programs(page)]
)
def test_programs_run(program, output):
    if is_in_an_example(program):
        return
    if "reuse_port" in program and sys.platform != "linux":
        pytest.skip("only Linux deals out the connections to a port that is shared")
    # Two programs may run at the same time.
    program = program.replace("8765", str(free_port()))
    advice = "take it from an example, or mark it: ```python part"
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.fail(f"doesn't end by itself; {advice}\n{program}")
    assert (done.returncode, done.stderr) == (0, ""), f"doesn't run; {advice}\n{program}"
    assert done.stdout == output, program


def test_programs_of_readme_are_whole():
    """They are examples from the first import on, and these have tests that run them."""
    examples = [path.read_text("utf-8") for path in sorted((ROOT / "examples").glob("*.py"))]
    for program in blocks(ROOT / "README.md", "python"):
        assert program.startswith("import asyncio\n")
        assert any(text.endswith(program) for text in examples), f"isn't whole:\n{program}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_are_valid(page):
    for program in blocks(page, "python"):
        # Pieces of coroutines are common.
        tree = compile(
            program, str(page), "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tidegate"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("tidegate"):
                        importlib.import_module(alias.name)


def resolve(path):
    """Give what a dotted path stands for."""
    parts = path.split(".")
    value = importlib.import_module(parts[0])
    for count, part in enumerate(parts[1:], 2):
        try:
            value = getattr(value, part)
        except AttributeError:
            value = importlib.import_module(".".join(parts[:count]))
    return value


@pytest.mark.parametrize("name", ["moving-from-websockets.md", "differences.md", "faq.md"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_names_exist(name):
    """What they say is called so in tidegate is."""
    text = (ROOT / "docs" / name).read_text("utf-8")
    for path in re.findall(r"`(tidegate(?:\.\w+)+)", text):
        resolve(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_names_work():
    """What stands on the left of the tables for older versions works in tidegate, too."""
    text = (ROOT / "docs" / "moving-from-websockets.md").read_text("utf-8")
    text = text.partition("## From 10 to 13")[2]
    found = set()
    for line in text.splitlines():
        if line.startswith("|"):
            left = line.split("|")[1]
            found.update(re.findall(r"`websockets((?:\.\w+)+)`", left))
    assert len(found) > 10
    for path in found:
        resolve("tidegate" + path)


def anchors(page):
    """Give what can be linked to in a page, as GitHub names it."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


URLS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]


def local(link):
    """Give what a link to the project's site or source leads to, as a path from the root."""
    if link.startswith(URLS["Documentation"]):
        page = link.removeprefix(URLS["Documentation"]) or "index.html"
        return "docs/" + re.sub(r"\.html(?=#|$)", ".md", page)
    return link.removeprefix(URLS["Source"])


def test_readme_lives_elsewhere():
    """A package index shows it, where paths lead nowhere."""
    for link in re.findall(r"\]\(([^)\s]+)", (ROOT / "README.md").read_text("utf-8")):
        assert link.startswith("https://"), link


def test_addresses_of_the_project():
    assert (ROOT / local(URLS["Changelog"])).exists()
    for url in URLS.values():
        assert url.startswith("https://")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links(page):
    text = re.sub(r"^( *)```.*?^\1```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\s*\)", text):
        folder = page.parent
        if link.startswith((URLS["Documentation"], URLS["Source"])):
            folder, link = ROOT, local(link)
        elif re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else page
        assert target.exists() or target in MEASURED, link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in sorted((ROOT / "docs").rglob("*.*")):
        if page.suffix not in (".md", ".rst"):
            continue
        name = page.relative_to(ROOT / "docs").as_posix()
        # The decisions are for those who work on tidegate.
        if name != "index.md" and not name.startswith("decisions/"):
            assert f"]({name})" in index, f"{name} isn't in docs/index.md"


def test_commands_exist():
    known = {command.name for command in COMMANDS}
    for page in PAGES:
        for word in re.findall(
            r"^    (?:\$ )?tidegate ([a-z]+)\b(?!:)", page.read_text("utf-8"), re.M
        ):
            assert word in known, f"{page.name}: tidegate {word}"


def test_every_command_is_documented():
    text = (ROOT / "docs" / "command.md").read_text("utf-8")
    for command in COMMANDS:
        assert f"## tidegate {command.name}" in text


def test_every_environment_variable_is_documented():
    used = set()
    for path in (ROOT / "src").rglob("*.py"):
        used |= set(re.findall(r"\bTIDEGATE_[A-Z_]*[A-Z]\b", path.read_text("utf-8")))
    # By this one, `tidegate run` tells the programs that a program starts.
    used.remove("TIDEGATE_AS_WEBSOCKETS")
    text = (ROOT / "docs" / "environment.md").read_text("utf-8")
    assert set(re.findall(r"`(TIDEGATE_[A-Z_]+)`", text)) == used

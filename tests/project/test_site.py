"""The documentation as a site: it is built without a warning, and all that is public is in it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("sphinx", reason="Sphinx isn't installed")
pytest.importorskip("myst_parser", reason="MyST isn't installed")
pytest.importorskip("furo", reason="furo isn't installed")

FACES = ["asyncio", "sync", "trio"]
PARTS = ["client", "server", "router", "connection"]

# Whose public names have a place in the reference.
MODULES = [
    *("tidegate", "tidegate.exceptions", "tidegate.extensions"),
    *("tidegate.extensions.permessage_deflate", "tidegate.headers", "tidegate.http11"),
    *("tidegate.legacy", "tidegate.protocol", "tidegate.proxy", "tidegate.proxyprotocol"),
    "tidegate.pubsub",
    *(f"tidegate.{face}.{part}" for face in FACES for part in PARTS),
    *("tidegate.testing", "tidegate.typing", "tidegate.uri"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"),
            *("--doctree-dir", folder / "doctrees", ROOT / "docs", folder / "html"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def documented(site):
    """The names that the reference has, those of each face apart, by their last part."""
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    found = {face: set() for face in FACES}
    for kind, names in inventory.items():
        if kind.startswith("py:") and kind != "py:module":
            for name in names:
                # What has no face of its own is for all of them.
                parts = name.split(".")
                for face in {*parts[1:2]} & {"sync", "trio"} or FACES:
                    found[face].add(parts[-1])
    return found


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_public_names_are_in_the_reference(documented, name):
    module = importlib.import_module(name)
    face = next((face for face in FACES if f".{face}." in name), "asyncio")
    missing = {
        public
        for public in set(module.__all__) - documented[face] - {"__version__"}
        # Numbers and texts are told by their names.
        if not isinstance(getattr(module, public), (int, str))
    }
    assert not missing, f"docs/reference has no place for {sorted(missing)} of {name}"


def test_search(site):
    index = (site / "searchindex.js").read_text("utf-8")
    for word in ("keepal", "balanc", "subprotocol"):
        assert word in index
    assert (site / "search.html").exists()


def test_navigation_has_every_page(site):
    text = (site / "index.html").read_text("utf-8")
    sidebar = text.partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    for page in sorted((ROOT / "docs").rglob("*.*")):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        if page.suffix in (".md", ".rst") and name != "index.html":
            assert f'href="{name}"' in sidebar, f"{page.name} has no row in a table of index.md"

"""How Sphinx makes the site: `make docs`.

The pages can be read without it, as files: what only a site needs is made here.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

# Only uncompiled do classes and functions have all of their signatures.
os.environ["TIDEGATE_NO_EXTENSIONS"] = "1"

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from pygments.lexers.special import TextLexer  # noqa: E402
from sphinx import addnodes  # noqa: E402
from sphinx.transforms.post_transforms import SphinxPostTransform  # noqa: E402

import tidegate  # noqa: E402

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
SOURCE = PROJECT["urls"]["Source"]

project = PROJECT["name"]
author = PROJECT["authors"][0]["name"]
copyright = author
release = version = tidegate.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["decisions"]
# Single backticks in docstrings are names, which become links where they are known.
default_role = "py:obj"

myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"tidegate {release}"
html_copy_source = False
html_show_sphinx = False
# Names of the parts of code, in both modes with enough contrast to be read.
pygments_style = "default"
pygments_dark_style = "github-dark"


def read_page(app, docname, text):
    """Turn what GitHub understands into what Sphinx does, in the text of a page."""
    page = text[0]
    if docname == "index":
        # The tables are the navigation: a page that is in one of them is in the other.
        parts = re.split(r"^## (.*)\n", page, flags=re.M)
        for start in range(1, len(parts), 2):
            pages = re.findall(r"^\| \[[^]]*\]\((\S+)\.(?:md|rst)\)", parts[start + 1], re.M)
            tree = "\n".join(["```{toctree}", ":hidden:", f":caption: {parts[start]}", "", *pages])
            parts[start] = f"## {parts[start]}\n"
            parts[start + 1] += f"\n{tree}\n```\n"
        page = "".join(parts)
    # What isn't a page is at the project's place.
    text[0] = re.sub(r"\]\(\.\./([^)\s]*)\)", rf"]({SOURCE}\1)", page)


# Where a name that stands alone in a docstring or a signature is looked for, in this order.
PLACES = [
    *("tidegate", "tidegate.asyncio.connection.Connection", "tidegate.exceptions"),
    *("tidegate.asyncio.connection", "tidegate.protocol"),
    *("tidegate.asyncio.client", "tidegate.asyncio.server", "tidegate.asyncio.listener"),
    *("tidegate.proxy", "tidegate.proxyprotocol", "tidegate.typing", "tidegate.testing"),
    *("tidegate.http11", "tidegate.legacy"),
]
FACE = ["client", "server", "router", "connection", "connection.Connection"]


class FullNames(SphinxPostTransform):
    """Gives names that stand alone in full, before Sphinx looks for them everywhere."""

    default_priority = 5

    def run(self):
        objects = self.env.get_domain("py").objects
        for node in self.document.findall(addnodes.pending_xref):
            if node.get("refdomain") != "py" or node["reftype"] == "mod":
                continue
            for name in full_names(node):
                if name in objects:
                    node["reftarget"], node["refspecific"] = name, False
                    node["py:module"] = node["py:class"] = None
                    break


def full_names(node):
    """Give what the target of a reference may be called, the likeliest first."""
    target = node["reftarget"]
    module, cls = node.get("py:module") or "", node.get("py:class") or ""
    face = ".".join(module.split(".")[:2])
    places = [f"{module}.{cls}", module, *PLACES]
    # The faces for threads and trio have names of their own that are called the same.
    if face in ("tidegate.sync", "tidegate.trio"):
        places[2:2] = [f"{face}.{part}" for part in FACE]
    # Where something is defined needn't be where it is documented.
    for name in (target, target.rpartition(".")[2] if target.startswith("tidegate.") else ""):
        yield name
        yield from (f"{place}.{name}" for place in places if name)


def setup(app):
    app.add_post_transform(FullNames)
    # Nobody has written one for its configuration.
    app.add_lexer("haproxy", TextLexer)
    app.connect("source-read", read_page)

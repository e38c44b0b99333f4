"""Builds the compiled rooms of the house; everything else is in pyproject.toml.

Every module listed here is plain Python with C types in a ``.pxd`` file beside it. The extensions
are optional: where there is no C compiler, the same files run uncompiled. With
TIDEGATE_REQUIRE_EXTENSIONS=1 in the environment, an extension that can't be compiled is an error.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

PACKAGE = Path("src") / "tidegate"


def find_extensions():
    """Give an extension for each ``.py`` that has a ``.pxd`` beside it, and for each ``.pyx``."""
    if os.environ.get("TIDEGATE_NO_EXTENSIONS"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    sources = sorted(PACKAGE.rglob("*.pyx"))
    for pxd in sorted(PACKAGE.rglob("*.pxd")):
        source = pxd.with_suffix(".py")
        # kernels.pxd holds inline C functions that the others include; kernels.py is their twin.
        if source.exists() and "cython: inline only" not in pxd.read_text():
            sources.append(source)
    extensions = [
        Extension(
            ".".join(path.with_suffix("").relative_to("src").parts),
            [str(path)],
            extra_compile_args=[] if os.name == "nt" else ["-O3", "-fno-strict-aliasing"],
        )
        for path in sources
    ]
    extensions = cythonize(
        extensions,
        include_path=["src"],
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "binding": True,
            "annotation_typing": False,
            "embedsignature": True,
            "embedsignature.format": "python",
        },
        annotate=bool(os.environ.get("TIDEGATE_ANNOTATE")),
    )
    for extension in extensions:
        extension.optional = not os.environ.get("TIDEGATE_REQUIRE_EXTENSIONS")
    return extensions


setup(ext_modules=find_extensions())

"""Builds the compiled rooms of the house; everything else is in pyproject.toml.

Every module listed here is plain Python with C types in a ``.pxd`` file beside it. The extensions
are optional: where there is no C compiler, the same files run uncompiled. With
TIDEGATE_REQUIRE_EXTENSIONS=1 in the environment, an extension that can't be compiled is an error;
with TIDEGATE_NO_EXTENSIONS=1 there are none, and a wheel is for every platform.
"""

import contextlib
import importlib.util
import os
import sys
import threading
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = Path("src") / "tidegate"
EXPOSED = "tidegate._exposed"

# They come after those of the Python that builds, and so hold. Without what a debugger needs, and
# names of what isn't shared, a module is a quarter as large. TIDEGATE_SYMBOLS=1 leaves both in, for
# profilers.
# TIDEGATE_SANITIZE=1 has every access to memory checked, for `make sanitize`.
if os.name == "nt":
    COMPILE, LINK = [], []
elif os.environ.get("TIDEGATE_SANITIZE"):
    LINK = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    COMPILE = ["-O1", "-g1", "-fno-omit-frame-pointer", "-fno-strict-aliasing", *LINK]
else:
    COMPILE, LINK = ["-O2", "-fno-strict-aliasing"], []
    if not os.environ.get("TIDEGATE_SYMBOLS"):
        COMPILE.append("-g0")
        LINK.append("-Wl,-x" if sys.platform == "darwin" else "-Wl,-s")

# For what does little per message, opens connections, or is for tests, -O1 has to do: it takes half
# the time, and compiling is most of what a first `make demo` waits for.
SELDOM = (
    "tidegate._exposed",
    "tidegate.integrations.",
    "tidegate.proxyprotocol.",
    "tidegate.pubsub.seats",
    "tidegate.sync.",
    "tidegate.trio.",
)


class Build(build_ext):
    """Compiles as many modules at once as there are processors, and tells of each."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count() or 1
        if not (self.inplace or getattr(self, "editable_mode", False)):
            # What only the tests need, which run in place.
            self.extensions = [ext for ext in self.extensions or [] if ext.name != EXPOSED]
        self.done, self.lock = 0, threading.Lock()

    def build_extension(self, ext):
        super().build_extension(ext)
        with self.lock:
            self.done += 1
            print(f"{self.done:3} of {len(self.extensions)}  {ext.name}", flush=True)


def find_extensions():
    """Give an extension for each ``.py`` that has a ``.pxd`` beside it, and for each ``.pyx``."""
    if os.environ.get("TIDEGATE_NO_EXTENSIONS"):
        return []
    if importlib.util.find_spec("Cython") is None:
        return []
    sources = sorted(PACKAGE.rglob("*.pyx"))
    for pxd in sorted(PACKAGE.rglob("*.pxd")):
        source = pxd.with_suffix(".py")
        # kernels.pxd holds inline C functions that the others include; kernels.py is their twin.
        if source.exists() and "cython: inline only" not in pxd.read_text():
            sources.append(source)
    # The largest first, so that in the end no processor is left alone with one of them.
    sources.sort(key=lambda path: path.stat().st_size, reverse=True)
    extensions = [
        Extension(
            ".".join(path.with_suffix("").relative_to("src").parts),
            [str(path.relative_to("src"))],
            extra_compile_args=[*COMPILE],
            extra_link_args=[*LINK],
        )
        for path in sources
    ]
    # Tracebacks name the files as they are found from there: that is where they are installed, too.
    with contextlib.chdir("src"):
        extensions = cythonized(extensions)
    for extension in extensions:
        extension.sources = [
            os.path.normpath(os.path.join("src", path)) for path in extension.sources
        ]
        extension.depends = [
            os.path.normpath(os.path.join("src", path)) for path in extension.depends
        ]
        extension.optional = not os.environ.get("TIDEGATE_REQUIRE_EXTENSIONS")
        if os.name != "nt" and extension.name.startswith(SELDOM):
            extension.extra_compile_args.append("-O1")
    return extensions


def cythonized(extensions):
    """Have Cython translate to C what has changed."""
    from Cython.Build import cythonize

    return cythonize(
        extensions,
        include_path=["."],
        build_dir=os.path.join("..", "build", "cython"),
        nthreads=os.cpu_count() or 1,
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


# Where processes aren't forked, those that cythonize() starts import this file.
if __name__ == "__main__":
    setup(ext_modules=find_extensions(), cmdclass={"build_ext": Build})

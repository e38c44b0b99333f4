"""What this installation is made of: what `tidegate --version` prints."""

from __future__ import annotations

import asyncio
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import platform
import zlib
from pathlib import Path

from ..asyncio import transports
from ..extensions.deflate import FAST_ZLIB
from ..version import version

__all__ = ["describe", "uncompiled_modules"]

PACKAGE = __package__.rpartition(".")[0]

# The line in a file of C types that says that it belongs to no module of its own (see setup.py).
INLINE_ONLY = "cython: inline only"


def compiled_modules() -> list[str]:
    """Name the modules that are made to be compiled."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations is not None
    [folder] = map(Path, spec.submodule_search_locations)
    return [
        ".".join([PACKAGE, *types.relative_to(folder).with_suffix("").parts])
        for types in sorted(folder.rglob("*.pxd"))
        if types.with_suffix(".py").exists() and INLINE_ONLY not in types.read_text("utf-8")
    ]


def uncompiled_modules() -> list[str]:
    """Name those of the modules made to be compiled that run uncompiled here."""
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    specs = {name: importlib.util.find_spec(name) for name in compiled_modules()}
    return [
        name
        for name, spec in specs.items()
        if spec is None or spec.origin is None or not spec.origin.endswith(suffixes)
    ]


def core() -> str:
    """Say whether the core is compiled, and if not, why and what to do."""
    uncompiled = uncompiled_modules()
    if not uncompiled:
        return "compiled"
    if platform.python_implementation() != "CPython":
        return f"uncompiled: {platform.python_implementation()} compiles it as it runs"
    if os.environ.get("TIDEGATE_NO_EXTENSIONS"):
        why = "TIDEGATE_NO_EXTENSIONS is set in the environment"
    elif PACKAGE != "tidegate":
        why = f"this is a copy of the package, named {PACKAGE}"
    elif len(uncompiled) < len(compiled_modules()):
        return (
            f"partly uncompiled: {', '.join(uncompiled)} could not be compiled when tidegate was "
            "installed. Everything works, but slower."
        )
    else:
        return (
            "uncompiled: there was no working C compiler when tidegate was installed. Everything "
            "works, but several times slower; install one, and then tidegate again."
        )
    return f"uncompiled: {why}. Everything works, but slower."


def installed(distribution: str) -> str | None:
    """Give the version of a distribution, None where it isn't installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def transport_kinds() -> str:
    """Say which transports carry connections."""
    loop = asyncio.new_event_loop()
    try:
        kind = "the poller" if transports.polls(loop) else "the event loop's own"
    finally:
        loop.close()
    wanted = os.environ.get("TIDEGATE_TRANSPORTS")
    return kind + (f", because TIDEGATE_TRANSPORTS={wanted} is set" if wanted else "")


def compression() -> str:
    """Say which implementations of zlib compress and decompress."""
    standard = f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
    if FAST_ZLIB is not zlib:
        return f"zlib-ng {installed('zlib-ng')}, and {standard} for short messages"
    if os.environ.get("TIDEGATE_ZLIB") == "stdlib":
        return f"{standard}, because TIDEGATE_ZLIB=stdlib is set"
    return f"{standard} (zlib-ng is faster, and not installed)"


def event_loops() -> str:
    """Say whether there is a faster event loop than asyncio's."""
    release = installed("uvloop")
    return (
        "asyncio's (uvloop is not installed)" if release is None else f"asyncio's, uvloop {release}"
    )


def describe() -> str:
    """Say in a few lines what this installation is made of."""
    lines = {
        f"tidegate {version}": "",
        "Python": f"{platform.python_version()} ({platform.python_implementation()}, "
        f"{platform.system()} {platform.machine()})",
        "core": core(),
        "transports": transport_kinds(),
        "compression": compression(),
        "event loops": event_loops(),
    }
    return "\n".join(f"{name:12}{text}".rstrip() for name, text in lines.items())

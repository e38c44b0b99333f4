"""Programs that were written for `websockets`, on tidegate without a change.

After `install`, ``import websockets`` and ``import websockets.…`` give the modules of tidegate:
the same module objects, so that what is patched in one is patched in the other. Child processes
that are started with ``sys.executable`` do the same.

``tidegate run`` does it from outside of the program.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import identity, imports

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import CodeType, ModuleType

    from .report import Report

__all__ = ["install"]

TIDEGATE = __package__.partition(".")[0]
WEBSOCKETS = "websockets"

# The generations of its API -> the version that programs are told. The older one is that in which
# connect and serve at the top of the package are the older ones.
VERSIONS = {17: "17.4", 13: "13.1"}

# Names at the top of the package whose meaning changed -> where the older one is.
OLDER_MEANINGS = {
    "connect": "legacy.client",
    "unix_connect": "legacy.client",
    "serve": "legacy.server",
    "unix_serve": "legacy.server",
    "broadcast": "legacy.server",
    # Those without a transport, which are called ClientProtocol and ServerProtocol now.
    "ClientConnection": "client",
    "ServerConnection": "server",
}

# Environment variables of its documentation that tidegate has with another beginning.
VARIABLES = (
    "BACKOFF_FACTOR",
    "BACKOFF_INITIAL_DELAY",
    "BACKOFF_MAX_DELAY",
    "BACKOFF_MIN_DELAY",
    "MAX_BODY_SIZE",
    "MAX_LINE_LENGTH",
    "MAX_LOG_SIZE",
    "MAX_NUM_HEADERS",
    "MAX_REDIRECTS",
    "SERVER",
    "USER_AGENT",
)

# Tells child processes what to install; see startup/sitecustomize.py.
CHILDREN = "TIDEGATE_AS_WEBSOCKETS"
STARTUP = Path(__file__).with_name("startup")

installed: Finder | None = None


class Loader:
    """Gives a module of tidegate another name.

    Args:
        name: the name that it has.

    """

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> None:
        """Have an empty module made, which is only there until `exec_module` is done."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module itself in the place of the one that was made."""
        found = sys.modules[module.__name__] = importlib.import_module(self.name)
        if installed is not None and installed.report is not None:
            installed.report.watch(found)

    def get_code(self, fullname: str) -> CodeType | None:
        """Give the code of the module, for ``python -m``."""
        spec = importlib.util.find_spec(self.name)
        loader: Any = None if spec is None else spec.loader
        code: CodeType | None = None if loader is None else loader.get_code(self.name)
        return code


class Finder:
    """Finds the modules of `websockets` in tidegate.

    Args:
        api: the generation of its API, 17 or 13.

    Attributes:
        report: takes note of names that tidegate doesn't have, None if nobody wants to know.

    """

    def __init__(self, api: int) -> None:
        self.api = api
        self.report: Report | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module; None if it is somebody else's, or tidegate doesn't have it."""
        package, dot, rest = fullname.partition(".")
        if package != WEBSOCKETS or not dot:
            return None
        name = f"{TIDEGATE}.{rest}"
        spec = importlib.util.find_spec(name)
        if spec is None:
            if self.report is not None:
                self.report.record(fullname)
            return None
        return ModuleSpec(
            fullname,
            Loader(name),  # type: ignore[arg-type]
            origin=spec.origin,
            is_package=spec.submodule_search_locations is not None,
        )

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        """Give what `importlib.metadata` says of `websockets`: that this version is there."""
        if context is not None and context.name == WEBSOCKETS:
            yield Distribution(VERSIONS[self.api])

    def invalidate_caches(self) -> None:
        """Do nothing: there are none."""


class Distribution(importlib.metadata.Distribution):
    """`websockets` as a distribution that is installed.

    Args:
        version: its version.

    """

    def __init__(self, version: str) -> None:
        self._version = version

    def read_text(self, filename: str) -> str | None:
        """Give the contents of a file of its metadata; None if there is no such file."""
        if filename == "METADATA":
            return f"Metadata-Version: 2.1\nName: {WEBSOCKETS}\nVersion: {self._version}\n"
        return None

    def locate_file(self, path: Any) -> Any:
        """Give the place of a file of it."""
        return Path(__file__).parents[2] / path


def install(api: int = 17, *, report: bool = False) -> None:
    """Have programs that import `websockets` get tidegate.

    Call it before anything imports `websockets`. It can't be undone.

    ``websockets.__version__`` is 17.4 then (13.1 with ``api=13``), hence `tidegate.__version__`,
    which is the same, as well; the loggers are called ``websockets.client`` and
    ``websockets.server``; environment variables that begin with ``WEBSOCKETS_`` have effect.

    Args:
        api: 17 gives the names at the top of the package their present meaning; 13 gives
            ``connect``, ``serve`` and the like that of version 13 and before, and doesn't warn of
            deprecated names.
        report: write to the standard error at exit which names the program used that tidegate
            doesn't have.

    Raises:
        RuntimeError: if `websockets` was imported already, or it is installed in another way.
        ValueError: if there is no such ``api``.

    """
    global installed
    if api not in VERSIONS:
        raise ValueError(f"api must be one of {', '.join(map(str, VERSIONS))}, not {api}")
    if installed is not None:
        if installed.api != api:
            raise RuntimeError(f"tidegate stands in for websockets {installed.api} already")
        return
    if WEBSOCKETS in sys.modules:
        raise RuntimeError(
            "websockets was imported already: install tidegate in its place before, "
            "or run the program with `tidegate run`"
        )
    for name in VARIABLES:
        value = os.environ.get(f"WEBSOCKETS_{name}")
        if value is not None:
            os.environ.setdefault(f"TIDEGATE_{name}", value)
    identity.stands_in_for = api
    rename_loggers()
    say_version(VERSIONS[api])

    installed = Finder(api)
    sys.meta_path.insert(0, installed)
    sys.modules[WEBSOCKETS] = sys.modules[TIDEGATE]
    if api == 13:
        use_older_meanings()
    if report:
        from .report import Report

        installed.report = Report(is_child=CHILDREN in os.environ)
    install_in_children(api, report)


def rename_loggers() -> None:
    """Have the loggers found where programs look for them."""
    identity.loggers = WEBSOCKETS
    protocol = sys.modules.get(f"{TIDEGATE}.protocol")
    if protocol is not None:
        import logging

        for side in protocol.LOGGERS:
            protocol.LOGGERS[side] = logging.getLogger(f"{WEBSOCKETS}.{side.name.lower()}")


def say_version(version: str) -> None:
    """Have the package and its module ``version`` say the version of `websockets`."""
    module: Any = importlib.import_module(f"{TIDEGATE}.version")
    module.version = module.tag = module.commit = version
    vars(sys.modules[TIDEGATE])["__version__"] = version


def use_older_meanings() -> None:
    """Give the names at the top of the package the meaning that they had until version 13."""
    imports.warn_of_deprecated = False
    package = sys.modules[TIDEGATE]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for name, module in OLDER_MEANINGS.items():
            setattr(package, name, getattr(importlib.import_module(f"{TIDEGATE}.{module}"), name))
    names = vars(package)
    # For `from websockets import *`.
    names["__all__"] = sorted({*names["__all__"], *names["_OLDER_NAMES"]})


def install_in_children(api: int, report: bool) -> None:
    """Have child processes do the same."""
    os.environ[CHILDREN] = f"{api} report" if report else str(api)
    path = os.environ.get("PYTHONPATH")
    places = [] if path is None else path.split(os.pathsep)
    if str(STARTUP) not in places:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(STARTUP), *places])

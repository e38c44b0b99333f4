"""What a program that was written for `websockets` looks for and tidegate doesn't have."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

from .attributes import ATTRIBUTES

TIDEGATE = __package__.partition(".")[0]

# Who looks for names that nobody expects to be there, to find out what an object is.
OTHERS = ("asyncio", "inspect", "uvloop")

# Packages of tidegate's own, of which websockets has none.
OWN = ("cli", "core", "integrations", "proxy", "proxyprotocol", "testing", "wire")

# Where names are that programs may look for, and the classes that they get objects of.
MODULES = (
    "auth",
    "connection",
    "extensions.base",
    "extensions.deflate",
    "extensions.permessage_deflate",
    "framing",
    "handshake",
    "headers",
    "http",
    "legacy.auth",
    "legacy.framing",
    "legacy.handshake",
    "legacy.http",
    "typing",
    "utils",
    "asyncio.client",
    "asyncio.connection",
    "asyncio.server",
    "client",
    "datastructures",
    "exceptions",
    "frames",
    "http11",
    "legacy.client",
    "legacy.exceptions",
    "legacy.protocol",
    "legacy.server",
    "protocol",
    "server",
    "uri",
)

# The same, where what they need is installed.
OPTIONAL = {"trio": ("trio.client", "trio.connection", "trio.server")}


class Report:
    """The names that were looked for in vain; told to the standard error at exit.

    Args:
        is_child: whether another process tells that nothing is missing.

    """

    def __init__(self, is_child: bool) -> None:
        self.is_child = is_child
        # Name -> how often it was looked for.
        self.counts: dict[str, int] = {}
        # Name -> file and line where it was looked for first.
        self.places: dict[str, str] = {}
        names = list(MODULES)
        for needed, modules in OPTIONAL.items():
            if importlib.util.find_spec(needed) is not None:
                names += modules
        for name in names:
            importlib.import_module(f"{TIDEGATE}.{name}")
        for name, module in list(sys.modules.items()):
            package, _, rest = name.partition(".")
            if package == TIDEGATE and rest.partition(".")[0] not in OWN:
                self.watch(module)
        atexit.register(self.tell)

    def record(self, name: str) -> None:
        """Take note of a name."""
        package, place = find_caller()
        if name.rpartition(".")[2].startswith("_") or package in OTHERS:
            return
        self.places.setdefault(name, place)
        self.counts[name] = self.counts.get(name, 0) + 1

    def watch(self, module: ModuleType) -> None:
        """Take note of what is missing from a module, and from objects of its classes."""
        if type(module) is not ModuleType:
            return
        module.__class__ = watching_module(self)
        for value in list(vars(module).values()):
            if (
                type(value) is type
                and value.__module__ == module.__name__
                and not hasattr(value, "__getattr__")
            ):
                try:
                    value.__getattr__ = missing_attribute(self)  # type: ignore[attr-defined]
                except TypeError:
                    # Compiled.
                    pass

    def tell(self) -> None:
        """Tell what was missing."""
        if self.counts or not self.is_child:
            sys.stderr.write(str(self))

    def __str__(self) -> str:
        program = f"tidegate run: {sys.argv[0] or 'python'}"
        if not self.counts:
            return f"{program}: tidegate has every name of websockets that was looked for\n"
        lines = [f"{program}: names of websockets that tidegate doesn't have:"]
        width = max(map(len, self.counts))
        for name, count in sorted(self.counts.items()):
            times = "once" if count == 1 else f"{count} times"
            lines.append(f"  {name:{width}}  {times}, first at {self.places[name]}")
        return "\n".join(lines) + "\n"


def watching_module(report: Report) -> type[ModuleType]:
    """Give a class for modules that tell a report of names which they don't have."""

    class WatchedModule(ModuleType):
        def __getattr__(self, name: str) -> Any:
            # Called when neither the module nor its own __getattr__ has the name.
            report.record(f"{self.__name__}.{name}".replace(TIDEGATE, "websockets", 1))
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name)

    return WatchedModule


def missing_attribute(report: Report) -> Any:
    """Give a ``__getattr__`` that tells a report of attributes which an object doesn't have."""

    def __getattr__(self: Any, name: str) -> Any:
        # A program gives attributes of its own to objects and subclasses, and asks for them.
        for cls in type(self).__mro__:
            if name in ATTRIBUTES.get(cls.__name__, "").split():
                report.record(f"{type(self).__name__}.{name}")
                break
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
        )

    return __getattr__


def find_caller() -> tuple[str, str]:
    """Give package, and file and line, of the innermost frame that isn't tidegate's."""
    frame = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in (TIDEGATE, "importlib"):
            return package, f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "", "?"

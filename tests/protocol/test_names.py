"""The names, arguments and defaults of the Sans-I/O modules are those of websockets."""

from __future__ import annotations

import importlib
import inspect
import re
import types

import pytest

pytest.importorskip("websockets", minversion="17.4")

MODULES = [
    "client",
    "datastructures",
    "exceptions",
    "extensions",
    "extensions.base",
    "extensions.permessage_deflate",
    "frames",
    "headers",
    "http11",
    "protocol",
    "server",
    "streams",
    "typing",
    "uri",
    "utils",
]

# What isn't there, on purpose.
MISSING = {
    # How the state machine works inside; its documentation doesn't have them.
    *(
        f"{owner}.{name}"
        for owner in ("protocol.Protocol", "client.ClientProtocol", "server.ServerProtocol")
        for name in ("discard", "parse", "recv_frame", "send_frame")
    ),
    "extensions.permessage_deflate.CTRL_OPCODES",
    "http11.websockets_version",
}

# What differs, on purpose: "%" stays as it is where a URI is quoted again.
DIFFERENT = {"uri.DELIMS"}


def text_of(value):
    """Give a value as text that doesn't depend on the library, its version or an address."""
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    text = re.sub(r"websockets|tidegate", "library", repr(value))
    return re.sub(r"0x[0-9a-f]+|library/[0-9.]+", "", text)


def parameters_of(thing):
    try:
        return list(inspect.signature(thing).parameters.values())
    except ValueError:
        # Exceptions without arguments of their own.
        return None


def same_arguments(theirs, ours):
    """Say whether everything that can be given to ``theirs`` means the same to ``ours``."""
    theirs, ours = parameters_of(theirs), parameters_of(ours)
    if theirs is None or ours is None:
        return theirs is None
    for mine, other in zip(ours, theirs, strict=False):
        if (mine.name, mine.kind) != (other.name, other.kind):
            return False
        required = inspect.Parameter.empty
        # What they require may be optional.
        if other.default is not required and text_of(mine.default) != text_of(other.default):
            return False
    more = ours[len(theirs) :]
    return len(ours) >= len(theirs) and all(
        mine.kind is inspect.Parameter.KEYWORD_ONLY and mine.default is not required
        for mine in more
    )


def kind_of(thing):
    """Give what a method is: how it is called, and what it gives."""
    return (
        isinstance(thing, property),
        isinstance(thing, staticmethod),
        isinstance(thing, classmethod),
        inspect.iscoroutinefunction(thing),
        inspect.isgeneratorfunction(thing),
        inspect.isasyncgenfunction(thing),
    )


def compare(path, theirs, ours):
    """Give what is wrong with ours, one line each."""
    if path in DIFFERENT or isinstance(theirs, types.ModuleType):
        return
    if inspect.isclass(theirs):
        names = {base.__name__ for base in theirs.__mro__}
        if not names <= {base.__name__ for base in ours.__mro__}:
            yield f"{path}: {theirs.__mro__} and {ours.__mro__}"
        if not same_arguments(theirs, ours):
            yield f"{path}: {parameters_of(theirs)} and {parameters_of(ours)}"
        for name in dir(theirs):
            where = f"{path}.{name}"
            if name.startswith("_") or where in MISSING:
                continue
            if not hasattr(ours, name):
                yield f"{where} is missing"
                continue
            their, our = (inspect.getattr_static(each, name) for each in (theirs, ours))
            if kind_of(their) != kind_of(our):
                yield f"{where}: {kind_of(their)} and {kind_of(our)}"
            elif inspect.isroutine(their) and not same_arguments(
                getattr(theirs, name), getattr(ours, name)
            ):
                yield f"{where}: {parameters_of(their)} and {parameters_of(our)}"
    elif inspect.isroutine(theirs):
        if kind_of(theirs) != kind_of(ours) or not same_arguments(theirs, ours):
            yield f"{path}: {parameters_of(theirs)} and {parameters_of(ours)}"
    elif text_of(theirs) != text_of(ours):
        yield f"{path}: {text_of(theirs)} and {text_of(ours)}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_names(name):
    theirs = importlib.import_module(f"websockets.{name}")
    ours = importlib.import_module(f"tidegate.{name}")
    public = set(getattr(theirs, "__all__", ()))
    assert public <= set(getattr(ours, "__all__", ()))
    wrong = []
    for each, thing in vars(theirs).items():
        path = f"{name}.{each}"
        imported = getattr(thing, "__module__", theirs.__name__) != theirs.__name__
        if each.startswith("_") or path in MISSING or (imported and each not in public):
            continue
        if isinstance(thing, types.ModuleType) or each == "annotations":
            continue
        # The older names are of the same classes here.
        if name in ("client", "server") and each in ("ClientConnection", "ServerConnection"):
            assert getattr(ours, each) is getattr(ours, each.replace("Connection", "Protocol"))
            continue
        if not hasattr(ours, each):
            wrong.append(f"{path} is missing")
        else:
            wrong += compare(path, thing, getattr(ours, each))
    assert wrong == []


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda a: 0, lambda b: 0),
        (lambda a: 0, lambda: 0),
        (lambda a=1: 0, lambda a=2: 0),
        (lambda a=1: 0, lambda a: 0),
        (lambda *, a: 0, lambda a: 0),
        (lambda a: 0, lambda a, b: 0),
        (lambda a: 0, lambda a, b=1: 0),
        (lambda a: 0, lambda a, *, b: 0),
    ],
)
def test_differences_are_found(theirs, ours):
    assert not same_arguments(theirs, ours)
    assert same_arguments(theirs, theirs)

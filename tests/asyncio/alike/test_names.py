"""Every public name, argument, default and base class of websockets 17.4 is here, too."""

from __future__ import annotations

import enum
import importlib
import inspect
import logging

import pytest

from .libraries import LIBRARIES, neutral, websockets

# Modules for programs that use asyncio; what a module without __all__ defines is public.
MODULES = [
    "",
    ".asyncio.client",
    ".asyncio.connection",
    ".asyncio.router",
    ".asyncio.server",
    ".client",
    ".datastructures",
    ".exceptions",
    ".extensions",
    ".extensions.base",
    ".extensions.permessage_deflate",
    ".frames",
    ".headers",
    ".http11",
    ".protocol",
    ".server",
    ".streams",
    ".typing",
    ".uri",
    ".utils",
]

# How websockets works inside, which its documentation doesn't tell.
INTERNAL = {
    "Connection": {
        "keepalive",
        "send_context",
        "send_data",
        "set_connection_exc",
        "terminate_pending_pings",
    },
    "ServerConnection": {"handshake"},
    "Protocol": {"discard", "parse", "recv_frame", "send_frame"},
}

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

SPECIAL = {
    "__aenter__",
    "__aexit__",
    "__aiter__",
    "__await__",
    "__contains__",
    "__delitem__",
    "__getitem__",
    "__init__",
    "__iter__",
    "__len__",
    "__setitem__",
}


def names_of(module):
    """Give the public names of a module."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def members_of(kind):
    """Give the public names of a class, those of internal ones excepted."""
    names = {name for name in dir(kind) if name in SPECIAL or not name.startswith("_")}
    names -= {*dir(object)} - {"__init__"}
    for base in kind.__mro__:
        names -= INTERNAL.get(base.__name__, set())
    return names


def default_of(parameter):
    """Give the default of a parameter, comparable with that of the other library."""
    if callable(parameter.default):
        return parameter.default.__name__
    if isinstance(parameter.default, str):
        return neutral(parameter.default)
    return parameter.default


def differences(theirs, ours):
    """Say what can't be given to one function that can be given to the other."""
    try:
        wanted = inspect.signature(theirs).parameters.values()
        have = inspect.signature(ours).parameters
    except (TypeError, ValueError):
        # Built-in functions, and compiled ones, don't tell.
        return
    takes = {parameter.kind for parameter in have.values()}
    for parameter in wanted:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if parameter.kind not in takes and theirs.__name__ != "__init__":
                yield f"takes no {parameter}"
            continue
        own = have.get(parameter.name)
        if own is None:
            yield f"has no argument {parameter.name}"
        elif own.kind is not parameter.kind and parameter.name != "self":
            yield f"has {own.name} as {own.kind.description}"
        elif parameter.default is parameter.empty:
            # It may be left out here.
            continue
        elif own.default is own.empty or default_of(own) != default_of(parameter):
            yield f"has {own!s}, not {parameter!s}"
    order = [own.name for own in have.values() if own.kind in POSITIONAL]
    shared = [each.name for each in wanted if each.kind in POSITIONAL and each.name in order]
    if order[: len(shared)] != shared:
        yield f"has arguments in the order {', '.join(order)}"
    known = {parameter.name for parameter in wanted}
    for own in have.values():
        required = own.default is own.empty and own.kind not in (
            own.VAR_POSITIONAL,
            own.VAR_KEYWORD,
        )
        if own.name not in known and required:
            yield f"requires {own.name}"


def differences_of_classes(theirs, ours):
    """Say what one class doesn't have that the other has."""
    bases = {base.__name__ for base in ours.__mro__}
    for base in theirs.__mro__:
        if base.__name__ not in bases:
            yield f"isn't a {base.__name__}"
    if issubclass(theirs, enum.Enum):
        for name, member in theirs.__members__.items():
            if getattr(ours, name, None) != member.value:
                yield f".{name} isn't {member.value}"
        return
    for name in members_of(theirs):
        if not hasattr(ours, name):
            yield f".{name} is missing"
            continue
        their_member, our_member = getattr(theirs, name), getattr(ours, name)
        if isinstance(inspect.getattr_static(theirs, name), property):
            if callable(our_member):
                yield f".{name} is a method"
        elif callable(their_member):
            if not callable(our_member):
                yield f".{name} is no method"
                continue
            for difference in differences(their_member, our_member):
                yield f".{name} {difference}"


# The arguments of serve() that it takes in their places have their names here.
NAMED = {"route takes no *args: 'Any'"}


@pytest.mark.parametrize("name", MODULES)
def test_names(name):
    theirs = importlib.import_module(f"websockets{name}")
    ours = importlib.import_module(f"tidegate{name}")
    wanted = names_of(theirs)
    assert wanted
    found = [f"{missing} is missing" for missing in wanted if not hasattr(ours, missing)]
    if hasattr(theirs, "__all__"):
        found += [f"{hidden} isn't in __all__" for hidden in wanted - {*ours.__all__}]
    for public in wanted & {*dir(ours)}:
        their_object, our_object = getattr(theirs, public), getattr(ours, public)
        if inspect.isclass(their_object):
            found += [
                f"{public}{each}" for each in differences_of_classes(their_object, our_object)
            ]
        if callable(their_object) and not isinstance(their_object, enum.EnumType):
            found += [f"{public} {each}" for each in differences(their_object, our_object)]
    assert not {*found} - NAMED


def test_versions():
    assert websockets.__version__ == "17.4", "compare with the version that is promised"


@pytest.mark.parametrize("side", ["client", "server"])
def test_loggers(side):
    """Each side logs where it says."""
    for lib in LIBRARIES:
        module = importlib.import_module(f"{lib.name}.protocol")
        protocol = module.Protocol(getattr(module.Side, side.upper()))
        assert protocol.logger is logging.getLogger(f"{lib.name}.{side}")


def test_differences_are_found():
    """The comparison itself can fail."""

    def theirs(a, b=1, *, c=None, **kwargs):
        pass

    def fewer(a, b=1):
        pass

    def other(a, b=2, *, c=None, **kwargs):
        pass

    def more(a, b=1, d=None, *, c=None, e=None, **kwargs):
        pass

    def required(a, b=1, *, c=None, d, **kwargs):
        pass

    def swapped(b=1, a=2, *, c=None, **kwargs):
        pass

    assert list(differences(theirs, theirs)) == []
    assert list(differences(theirs, swapped)) == ["has arguments in the order b, a"]
    assert list(differences(theirs, more)) == []
    assert len(list(differences(theirs, fewer))) == 2
    assert len(list(differences(theirs, other))) == 1
    assert len(list(differences(theirs, required))) == 1

    class Theirs:
        def method(self, argument):
            pass

        @property
        def known(self):
            pass

    class Ours:
        def method(self):
            pass

        def known(self):
            pass

    assert sorted(differences_of_classes(Theirs, Ours)) == [
        ".known is a method",
        ".method has no argument argument",
        "isn't a Theirs",
    ]

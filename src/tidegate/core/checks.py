"""What can be found wrong with a program's functions and classes before the first connection."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from ..identity import way_out

if TYPE_CHECKING:
    from collections.abc import Mapping

# Since Python 3.14, annotations are evaluated when somebody asks for them. Their names may be
# unknown at run time, because they are imported for type checkers only: their source has to do.
AS_SOURCE: dict[str, Any] = {}
if sys.version_info >= (3, 14):
    import annotationlib

    AS_SOURCE["annotation_format"] = annotationlib.Format.STRING

# Methods that subclasses of a connection override -> what they are called with.
METHODS: dict[str, tuple[str, ...]] = {
    "recv": (),
    "recv_streaming": (),
    "send": ("message",),
    "ping": (),
    "pong": (),
    "close": ("code", "reason"),
    "wait_closed": (),
    "respond": ("status", "text"),
    "connection_made": ("transport",),
    "connection_lost": ("exc",),
}


def accepts(signature: inspect.Signature, *names: str) -> bool:
    """Say whether something with this signature can be called with so many arguments."""
    try:
        signature.bind(*names)
    except TypeError:
        return False
    return True


def signature_of(function: Any) -> inspect.Signature | None:
    """Give the signature of a function, None if it can't be known."""
    try:
        return inspect.signature(function, **AS_SOURCE)
    except Exception:
        # Asking runs code of the program: properties, and annotations that are evaluated late.
        # What it raises says nothing about whether the function can be called.
        return None


def positional_names(signature: inspect.Signature) -> list[str]:
    """Give the names of the arguments that can be given by their places."""
    return [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]


def describe(function: Any) -> str:
    """Name a function, for a message."""
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else repr(function)


def check_function(argument: str, function: Any, names: tuple[str, ...], other: str = "") -> None:
    """Check that a function can be called as it will be.

    Args:
        argument: what it was given as.
        function: the function; None is fine.
        names: of the arguments it will be called with.
        other: what the first of them is called in the other API, today's or the older one, where it
            is something else.

    Raises:
        TypeError: if it can't, or was written for the other API.

    """
    if function is None:
        return
    if not callable(function):
        raise TypeError(f"{argument} must be a function of ({', '.join(names)})")
    signature = signature_of(function)
    if signature is None:
        return
    of_other = bool(other) and positional_names(signature)[:1] == [other]
    if not accepts(signature, *names) or of_other:
        advice = f"write def {argument}({', '.join(names)})"
        if of_other and other != "connection":
            advice += way_out()
        raise TypeError(
            f"{argument} is called with ({', '.join(names)}), but {describe(function)} has the "
            f"arguments {signature}: {advice}"
        )


def check_handler(handler: Any) -> None:
    """Check that a handler can be called with a connection.

    Raises:
        TypeError: if it can't.

    """
    if not callable(handler):
        raise TypeError(
            "the handler must be a coroutine function of the connection: "
            "async def handler(websocket)"
        )
    signature = signature_of(handler)
    if signature is not None and not accepts(signature, "websocket"):
        advice = "write async def handler(websocket)"
        if accepts(signature, "websocket", "path"):
            advice += f", and websocket.request.path for the path{way_out()}"
        raise TypeError(
            f"the handler is called with the connection, but {describe(handler)} has the "
            f"arguments {signature}: {advice}"
        )


def check_connection_class(cls: Any, base: type) -> None:
    """Check that a class can be used for connections.

    Args:
        cls: the class; None, and functions that stand for one, are fine.
        base: whose subclass it has to be.

    Raises:
        TypeError: if it isn't, or overrides a method that can't be called as it will be.

    """
    if cls is None or cls is base:
        return
    if not callable(cls):
        raise TypeError(f"create_connection must be a subclass of {base.__name__}")
    if isinstance(cls, type):
        if not issubclass(cls, base):
            raise TypeError(
                f"create_connection: {cls.__name__} isn't a subclass of {base.__name__}{way_out()}"
            )
        check_methods(cls, base, METHODS)


def check_methods(cls: type, base: type, methods: Mapping[str, tuple[str, ...]]) -> None:
    """Check that methods which a subclass overrides can be called as they will be.

    Raises:
        TypeError: if one can't.

    """
    for name, arguments in methods.items():
        check_method(cls, base, name, arguments)


def check_method(cls: type, base: type, name: str, arguments: tuple[str, ...]) -> None:
    """Check that a method which a subclass overrides can be called as it will be."""
    method = inspect.getattr_static(cls, name, None)
    if method is None or method is inspect.getattr_static(base, name, None):
        return
    if isinstance(method, (staticmethod, classmethod)):
        signature = signature_of(getattr(cls, name))
        bound = arguments
    elif inspect.isfunction(method):
        signature = signature_of(method)
        bound = ("self", *arguments)
    else:
        return
    if signature is not None and not accepts(signature, *bound):
        raise TypeError(
            f"{cls.__name__}.{name} is called with ({', '.join(arguments)}), but has the arguments "
            f"{signature}: write def {name}({', '.join(('self', *arguments))})"
        )

"""What can be found wrong with a program's functions and classes before the first connection."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ..asyncio.connection import Connection
from ..core.checks import accepts, check_methods, describe, positional_names, signature_of
from .deprecations import warn_once

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

# Arguments that came with the newer API -> what to do with this one.
NEWER_ARGUMENTS = {
    "additional_headers": "use extra_headers=",
    "create_connection": "use create_protocol= with a subclass of {protocol}",
    "on_event": "use tidegate.connect",
    "process_exception": "use tidegate.connect",
    "process_response": "use extra_headers=, which may be a function",
    "reconnect_delays": "use tidegate.connect",
    "reconnect_limit": "use tidegate.connect",
    "limits": "use tidegate.serve",
}

# Methods that subclasses override -> what they are called with.
METHODS: dict[str, tuple[str, ...]] = {
    "process_request": ("path", "request_headers"),
    "select_subprotocol": ("client_subprotocols", "server_subprotocols"),
    "process_subprotocol": ("headers", "available_subprotocols"),
    "process_extensions": ("headers", "available_extensions"),
    "process_origin": ("headers", "origins"),
    "check_credentials": ("username", "password"),
    "handler": (),
    "recv": (),
    "send": ("message",),
    "close": ("code", "reason"),
    "wait_closed": (),
    "connection_made": ("transport",),
    "connection_lost": ("exc",),
    "data_received": ("data",),
    "eof_received": (),
}


def refuse_newer_arguments(function: str, protocol: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments of the newer API.

    Raises:
        TypeError: if there is one; it says what to use instead.

    """
    for name in kwargs:
        if name in NEWER_ARGUMENTS:
            advice = NEWER_ARGUMENTS[name].format(protocol=protocol)
            raise TypeError(
                f"{function}() got {name}=, an argument of the newer API; with the older one, "
                f"{advice}"
            )


class Handler:
    """A connection handler, called with the connection alone.

    Args:
        function: a coroutine function of the connection, or of the connection and the path.

    Raises:
        TypeError: if it is neither.

    """

    def __init__(self, function: Callable[..., Awaitable[Any]]) -> None:
        self.function = function
        self.with_path = False
        if not callable(function):
            raise TypeError(
                "the handler must be a coroutine function of the connection: "
                "async def handler(websocket)"
            )
        signature = signature_of(function)
        if signature is None:
            return
        with_path = positional_names(signature)[1:2] == ["path"]
        if not accepts(signature, "websocket") or with_path:
            if not accepts(signature, "websocket", "path"):
                raise TypeError(
                    f"the handler is called with the connection, but {describe(function)} has the "
                    f"arguments {signature}: write async def handler(websocket)"
                )
            self.with_path = True

    def __call__(self, websocket: Any) -> Awaitable[Any]:
        """Call the handler."""
        if self.with_path:
            return self.function(websocket, websocket.path)
        return self.function(websocket)


def adapt_handler(function: Callable[..., Awaitable[Any]] | Handler) -> Handler:
    """Give a handler that takes the connection alone; see `Handler`."""
    return function if isinstance(function, Handler) else Handler(function)


def warn_of_path(handler: Handler) -> None:
    """Warn if a handler takes the path."""
    if handler.with_path:
        warn_once("the argument path of the handler", "use websocket.path", 4)


def check_factory(
    factory: Any, base: type, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Check that a factory of protocols can be called, and what can be seen of what it makes.

    Args:
        factory: a class, a partial of one, or a function.
        base: the class whose subclass it has to make.
        args: what it will be called with.
        kwargs: the same.

    Raises:
        TypeError: if it can't be called with that, is another class, or the class overrides a
            method that can't be called as it will be.

    """
    if not callable(factory):
        raise TypeError(f"create_protocol must be a subclass of {base.__name__}, or a function")
    made = factory
    while isinstance(made, functools.partial):
        made = made.func
    is_class = isinstance(made, type)
    if is_class and issubclass(made, Connection):
        raise TypeError(
            f"{made.__name__} is a connection of the newer API: give it to tidegate.connect or "
            f"tidegate.serve as create_connection=, or make it a subclass of {base.__name__}"
        )
    if is_class and not issubclass(made, base):
        raise TypeError(f"create_protocol: {made.__name__} isn't a subclass of {base.__name__}")
    signature = signature_of(factory)
    if signature is not None:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as exc:
            raise TypeError(
                f"create_protocol is called with the arguments of {base.__name__}, but "
                f"{describe(factory)} has the arguments {signature} ({exc}): take **kwargs and "
                f"hand them on to {base.__name__}"
            ) from None
    if is_class:
        check_methods(made, base, METHODS)


def take_older_arguments(function: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Take the arguments that were deprecated in the older API out of ``kwargs``, with a warning.

    Returns:
        Those that were given, ``timeout`` and ``loop`` and ``legacy_recv`` and ``klass``.

    """
    advice = {
        "klass": "use create_protocol=",
        "timeout": "use close_timeout=",
        "loop": "leave it out",
        "legacy_recv": "handle ConnectionClosed",
    }
    older = {}
    for name, instead in advice.items():
        if name in kwargs:
            value = kwargs.pop(name)
            if value is not None and value is not False:
                older[name] = value
                warn_once(f"the argument {name} of {function}()", instead, 4)
    return older

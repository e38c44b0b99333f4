"""Arguments: those about proxies, and those that are refused, with their names."""

from __future__ import annotations

import functools
import re
import sys
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from ..datastructures import Headers
from ..identity import way_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What was called so until version 13 of websockets -> what to do now.
OLDER_ARGUMENTS = {
    "connect": {
        "create_protocol": "use create_connection= with a subclass of ClientConnection",
        "extra_headers": "use additional_headers=",
        "klass": "use create_connection= with a subclass of ClientConnection",
        "legacy_recv": "receive from connection.recv()",
        "loop": "call it in a running event loop",
        "read_limit": "use max_queue=",
        "timeout": "use open_timeout= and close_timeout=",
    },
    "serve": {
        "create_protocol": "use create_connection= with a subclass of ServerConnection",
        "extra_headers": "use process_response= and change response.headers",
        "klass": "use create_connection= with a subclass of ServerConnection",
        "legacy_recv": "receive from connection.recv()",
        "loop": "call it in a running event loop",
        "read_limit": "use max_queue=",
        "timeout": "use open_timeout= and close_timeout=",
    },
}

# Those that say how long something may take, besides open_timeout.
TIMES = ("ping_interval", "ping_timeout", "close_timeout")

# What connect() takes besides the arguments of loop.create_connection(), for proxies.
PROXY_ARGUMENTS = (
    "proxy_auth",
    "proxy_headers",
    "proxy_loopback",
    "proxy_server_hostname",
    "proxy_ssl",
    "proxy_timeouts",
)


def take_renamed(kwargs: dict[str, Any], old: str, new: str, value: Any) -> Any:
    """Give an argument that may still be called as it was; then warn the caller's caller.

    Args:
        kwargs: arguments by name; the old one is taken out.
        old: the name that it had.
        new: the name that it has.
        value: what was given by that.

    """
    if old not in kwargs:
        return value
    warnings.warn(f"{old} was renamed to {new}", DeprecationWarning, stacklevel=3)
    given = kwargs.pop(old)
    return given if value is None else value


def check_path(path: Any, sock: Any) -> None:
    """Refuse a Unix socket without a path, and a path besides a socket.

    Raises:
        ValueError: if it is so.

    """
    if path is None and sock is None:
        raise ValueError("missing path argument")
    if path is not None and sock is not None:
        raise ValueError("path is incompatible with sock")


def refuse_older_arguments(function: str, kwargs: dict[str, Any]) -> None:
    """Refuse arguments of the older API.

    Raises:
        TypeError: if there is one; it says what to use instead.

    """
    for name, advice in OLDER_ARGUMENTS[function].items():
        if name in kwargs:
            raise TypeError(
                f"{function}() got {name}=, an argument of the older API of websockets (13 and "
                f"before): {advice}{way_out()}"
            )


def refuse_unknown_arguments(
    function: str,
    arguments: Iterable[str],
    options: Collection[str],
    *functions: Callable[..., Any],
) -> None:
    """Refuse arguments that there aren't.

    Args:
        function: what got them.
        arguments: the names of those that it has no parameter for.
        options: names that it takes nevertheless.
        *functions: all that it hands them on to, and itself: what they have parameters for, it
            takes as well, or would have taken under the right name.

    Raises:
        TypeError: if there is one; it names the one that was meant.

    """
    unknown = [name for name in arguments if name not in options]
    if not unknown:
        return
    import difflib
    import inspect

    known = {*options}
    for each in functions:
        known.update(
            name
            for name, parameter in inspect.signature(each).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        )
    # These are refused as well, with advice of their own.
    for name in unknown:
        if name not in known and name not in OLDER_ARGUMENTS[function]:
            meant = difflib.get_close_matches(name, known, n=1)
            advice = f"; did you mean {meant[0]}=?" if meant else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{advice}")


def check_headers(**arguments: Any) -> Headers:
    """Give headers that a program gives, which are refused before there is a connection.

    Args:
        **arguments: one, by its name.

    Raises:
        TypeError: if they aren't a mapping or pairs of text.
        InvalidHeader: if they can't be sent; it is a ValueError.

    """
    [(name, headers)] = arguments.items()
    wrong = isinstance(headers, (str, bytes))
    if not wrong:
        try:
            items = headers if hasattr(headers, "keys") else [*headers]
            wrong = any(isinstance(item, (str, bytes)) for item in items) and items is not headers
            if not wrong:
                return Headers(items)
        except TypeError:
            wrong = True
        except ValueError as exc:
            # What is wrong with a header in itself is said by an exception of ours.
            if type(exc) is not ValueError:
                raise
    raise TypeError(
        f"{name} must be a mapping or pairs of name and value, not {headers!r}: "
        f'write {name}={{"Name": "value"}}'
    )


def check_origins(origins: Any) -> None:
    """Refuse acceptable origins that can't be compared with one.

    Raises:
        TypeError: if they aren't a list of text, patterns and None.

    """
    if origins is None:
        return
    if isinstance(origins, (str, bytes)) or not isinstance(origins, Collection):
        raise TypeError(f"origins must be a list, not {origins!r}: write origins=[{origins!r}]")
    for origin in origins:
        if not (origin is None or isinstance(origin, (str, re.Pattern))):
            raise TypeError(f"origins must be text, compiled patterns or None, not {origin!r}")


def check_extensions(extensions: Any) -> None:
    """Refuse extensions that aren't a list.

    Raises:
        TypeError: if they aren't.

    """
    if extensions is not None and (
        isinstance(extensions, (str, bytes)) or not isinstance(extensions, Collection)
    ):
        raise TypeError(f"extensions must be a list of their factories, not {extensions!r}")


def check_seconds(**arguments: Any) -> None:
    """Refuse times that aren't numbers.

    Args:
        **arguments: times by the names of their arguments, in seconds; None for no limit.

    Raises:
        TypeError: if there is one that is something else.
        ValueError: if one isn't a number, as IEEE 754 has it.

    """
    for name, seconds in arguments.items():
        if seconds is None:
            continue
        if not hasattr(seconds, "__float__"):
            raise TypeError(f"{name} must be a number of seconds or None, not {seconds!r}")
        if seconds != seconds:
            raise ValueError(f"{name} must be a number of seconds or None, not {seconds!r}")


def check_tls(secure: bool, kwargs: dict[str, Any]) -> None:
    """Refuse an ``ssl`` that contradicts the URI.

    Args:
        secure: whether the URI is ``wss://``.
        kwargs: the arguments that ``ssl`` may be among.

    Raises:
        ValueError: if it does.

    """
    if not secure and kwargs.get("ssl") is not None:
        raise ValueError("ssl argument is incompatible with a ws:// URI")
    if secure and "ssl" in kwargs and kwargs["ssl"] is None:
        raise ValueError("ssl=None is incompatible with a wss:// URI")


@functools.lru_cache(16, typed=True)
def limits(limit: Any) -> tuple[Any, Any]:
    """Give ``(high, low)`` of a limit that may be given as ``high`` alone."""
    if isinstance(limit, tuple):
        high, low = limit
    else:
        high, low = limit, None
    if high is None:
        return None, None
    if low is None:
        low = high // 4
    if not 0 <= low <= high:
        raise ValueError(f"limits must be 0 <= low <= high, not low = {low}, high = {high}")
    return high, low


def check_limits(**arguments: Any) -> None:
    """Refuse limits that can't be, before there is a connection.

    Args:
        **arguments: limits by the names of their arguments: a number, None for no limit, or a tuple
            of two of them. Those of ``max_size`` are limits of their own.

    Raises:
        ValueError: if there is one; it names the argument.

    """
    for name, limit in arguments.items():
        values = limit if isinstance(limit, tuple) else (limit,)
        if len(values) > 2 or not values or (len(values) == 1 and values is limit):
            raise ValueError(f"{name} must be a number or a tuple of two, not {limit!r}")
        for value in values:
            if value is None:
                continue
            # What is counted is compared with it in C, where numbers end.
            if not isinstance(value, int) or not 0 <= value <= sys.maxsize:
                raise ValueError(
                    f"{name} must be a whole number from 0 to {sys.maxsize}, or None for no limit, "
                    f"not {value!r}"
                )
        if name != "max_size":
            try:
                limits(limit)
            except ValueError as exc:
                raise ValueError(f"{name}: {exc}") from None

"""Arguments: those about proxies, those of the older API, which are refused, and limits."""

from __future__ import annotations

import sys
from typing import Any

from ..identity import way_out

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

# What connect() takes besides the arguments of loop.create_connection(), for proxies.
PROXY_ARGUMENTS = (
    "proxy_auth",
    "proxy_headers",
    "proxy_loopback",
    "proxy_server_hostname",
    "proxy_ssl",
    "proxy_timeouts",
)


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

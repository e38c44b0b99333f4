"""TLS contexts for proxies."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any

from .routes import Route
from .url import SSLLike, a

__all__ = ["check_needed_tls", "make_context"]


def check_needed_tls(route: Route, options: Mapping[str, Any]) -> None:
    """Refuse a ``proxy_ssl`` of None for a proxy behind TLS, as ``ssl`` is for a ``wss://`` URI.

    Args:
        route: the way.
        options: the arguments that ``proxy_ssl`` may be among.

    Raises:
        ValueError: if it is there and None, and a proxy needs it.
    """
    if options.get("proxy_ssl", True) is not None:
        return
    for hop in route.hops:
        if hop.tls and hop.ssl is None:
            raise ValueError(f"proxy_ssl=None is incompatible with {a(hop.scheme)}:// proxy")


def make_context(value: SSLLike | None, argument: str = "ssl") -> ssl.SSLContext:
    """Give the context that is meant.

    Args:
        value: a context; or the path of a file or directory of the CA certificates to trust, and
            no others; or None or True for what the system trusts.
        argument: what it was given as, for errors.

    Raises:
        OSError: if there is nothing under the path, or no certificate in it; it is an
            ``ssl.SSLError`` then.
        TypeError: if it is something else.
    """
    if isinstance(value, ssl.SSLContext):
        return value
    if value is None or value is True:
        return ssl.create_default_context()
    if value is False:
        raise ValueError("TLS to a proxy cannot be switched off; use a URL without it")
    try:
        path = os.fspath(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(f"{argument} must be an SSLContext, True or a path, not {kind}") from None
    try:
        if os.path.isdir(path):
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError as exc:
        # OpenSSL doesn't say which file it was.
        what = f"there are no certificates in {path}, given as {argument}: {exc.strerror or exc}"
        error = ssl.SSLError(exc.errno, what)
        error.filename = path
        raise error from exc
    except OSError as exc:
        what = f"{exc.strerror or exc}, given as {argument}"
        raise type(exc)(exc.errno, what, path) from exc

"""TLS contexts for proxies."""

from __future__ import annotations

import os
import ssl

from .url import SSLLike

__all__ = ["make_context"]


def make_context(value: SSLLike | None) -> ssl.SSLContext:
    """Give the context that is meant.

    Arguments:
        value: a context; or the path of a file or directory of the CA certificates to trust, and
            no others; or None or True for what the system trusts.

    Raises:
        OSError: if there is nothing under the path, or no certificate in it; it is an
            ``ssl.SSLError`` then.
    """
    if isinstance(value, ssl.SSLContext):
        return value
    if value is None or value is True:
        return ssl.create_default_context()
    if value is False:
        raise ValueError("TLS to a proxy cannot be switched off; use a URL without it")
    if os.path.isdir(value):
        return ssl.create_default_context(capath=value)
    return ssl.create_default_context(cafile=value)

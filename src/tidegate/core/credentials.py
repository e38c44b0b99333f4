"""User names and passwords (RFC 7617), asked for in the opening handshake."""

from __future__ import annotations

import hmac
import http
import inspect
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..exceptions import InvalidHeader
from ..headers import build_www_authenticate_basic, parse_authorization_basic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ..http11 import Request, Response
    from ..typing import StatusLike

__all__ = ["basic_auth"]


class Visitor(Protocol):
    """Who asks to come in: a server's connection of any face."""

    username: str

    def respond(self, status: StatusLike, text: str) -> Response: ...


def is_credentials(credentials: Any) -> bool:
    """Say whether this is a user name and a password."""
    try:
        username, password = credentials
    except (TypeError, ValueError):
        return False
    return isinstance(username, str) and isinstance(password, str)


def basic_auth(
    realm: str = "",
    credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
    check_credentials: Callable[[str, str], Awaitable[bool] | bool] | None = None,
) -> Callable[[Visitor, Request], Awaitable[Response | None]]:
    """Make a ``process_request`` that asks for user name and password (RFC 7617).

    ::

        serve(handler, process_request=basic_auth("sluices", ("keeper", "secret")))

    Who it is then stands in ``connection.username``. Nobody else must be able to read the
    connection: use TLS.

    Args:
        realm: what the credentials are for, ASCII.
        credentials: a pair of user name and password, or several.
        check_credentials: called with user name and password, says whether they are right; may be
            a coroutine function.

    Raises:
        ValueError: if not exactly one of ``credentials`` and ``check_credentials`` is given.
        TypeError: if the credentials aren't pairs of text.

    """
    if (credentials is None) == (check_credentials is None):
        raise ValueError("provide either credentials or check_credentials")
    if credentials is not None:
        check_credentials = credentials_checker(credentials)
    check = check_credentials
    assert check is not None

    async def process_request(connection: Visitor, request: Request) -> Response | None:
        try:
            username, password = parse_authorization_basic(request.headers["Authorization"])
        except LookupError:
            return unauthorized(connection, "Missing credentials\n")
        except InvalidHeader:
            return unauthorized(connection, "Unsupported credentials\n")
        valid = check(username, password)
        if inspect.isawaitable(valid):
            valid = await valid
        if not valid:
            return unauthorized(connection, "Invalid credentials\n")
        connection.username = username
        return None

    def unauthorized(connection: Visitor, text: str) -> Response:
        response = connection.respond(http.HTTPStatus.UNAUTHORIZED, text)
        response.headers["WWW-Authenticate"] = build_www_authenticate_basic(realm)
        return response

    return process_request


def credentials_checker(
    credentials: tuple[str, str] | Iterable[tuple[str, str]],
) -> Callable[[str, str], bool]:
    """Make a function that says whether a user name and a password are among those given.

    Raises:
        TypeError: if the credentials aren't pairs of text.

    """
    try:
        pairs = [credentials] if is_credentials(credentials) else list(cast("Any", credentials))
    except TypeError:
        pairs = [None]
    if not all(is_credentials(pair) for pair in pairs):
        raise TypeError(f"invalid credentials argument: {credentials}")
    known = [(f"{user}".encode(), f"{password}".encode()) for user, password in pairs]

    def check_credentials(username: str, password: str) -> bool:
        # All are compared, wholly, so that the time tells nothing of either (CVE-2021-33880 was
        # this mistake elsewhere).
        given = encoded(username), encoded(password)
        right = False
        for user, secret in known:
            same_user = hmac.compare_digest(user, given[0])
            same_secret = hmac.compare_digest(secret, given[1])
            right |= same_user & same_secret
        return right

    return check_credentials


def encoded(text: str) -> bytes:
    """The bytes of a header's text, also where they were not UTF-8."""
    return text.encode("utf-8", "surrogateescape")

"""HTTP Basic authentication of the older API (RFC 7617)."""

from __future__ import annotations

import functools
import http
import inspect
from typing import TYPE_CHECKING, Any

from ..core.checks import check_function
from ..core.credentials import credentials_checker
from ..exceptions import InvalidHeader
from ..headers import build_www_authenticate_basic, parse_authorization_basic
from .server import WebSocketServerProtocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ..datastructures import Headers
    from .server import HTTPResponse

    Check = Callable[[str, str], Awaitable[bool] | bool]

__all__ = ["BasicAuthWebSocketServerProtocol", "basic_auth_protocol_factory"]


class BasicAuthWebSocketServerProtocol(WebSocketServerProtocol):
    """A server's connection that asks for a user name and a password.

    Args:
        *args: the arguments of `WebSocketServerProtocol`.
        realm: what the credentials are for, ASCII.
        check_credentials: coroutine function that `check_credentials` calls.
        **kwargs: the arguments of `WebSocketServerProtocol`.

    Attributes:
        realm: what the credentials are for.
        username: who it is, once that is known.

    """

    realm: str = ""
    username: str | None = None

    def __init__(
        self,
        *args: Any,
        realm: str | None = None,
        check_credentials: Check | None = None,
        **kwargs: Any,
    ) -> None:
        # A subclass may have it as a class attribute.
        if realm is not None:
            self.realm = realm
        self._check_credentials = check_credentials
        super().__init__(*args, **kwargs)

    async def check_credentials(self, username: str, password: str) -> bool:
        """Say whether a user name and a password are right.

        A subclass may override it.

        Args:
            username: the user name.
            password: the password.

        """
        if self._check_credentials is None:
            return False
        valid = self._check_credentials(username, password)
        return bool(await valid if inspect.isawaitable(valid) else valid)

    async def process_request(self, path: str, request_headers: Headers) -> HTTPResponse | None:
        """Answer with 401 unless the request has credentials that are right."""
        try:
            authorization = request_headers["Authorization"]
        except LookupError:
            return self._unauthorized(b"Missing credentials\n")
        try:
            username, password = parse_authorization_basic(authorization)
        except InvalidHeader:
            return self._unauthorized(b"Unsupported credentials\n")
        if not await self.check_credentials(username, password):
            return self._unauthorized(b"Invalid credentials\n")
        self.username = username
        return await super().process_request(path, request_headers)

    def _unauthorized(self, body: bytes) -> HTTPResponse:
        challenge = build_www_authenticate_basic(self.realm)
        return http.HTTPStatus.UNAUTHORIZED, [("WWW-Authenticate", challenge)], body


def basic_auth_protocol_factory(
    realm: str | None = None,
    credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
    check_credentials: Check | None = None,
    create_protocol: Callable[..., BasicAuthWebSocketServerProtocol] | None = None,
) -> Callable[..., BasicAuthWebSocketServerProtocol]:
    """Make a ``create_protocol`` for `serve` that asks for a user name and a password.

    ::

        serve(
            handler,
            create_protocol=basic_auth_protocol_factory("sluices", ("keeper", "secret")),
        )

    Args:
        realm: what the credentials are for, ASCII.
        credentials: a pair of user name and password, or several.
        check_credentials: coroutine function of user name and password that says whether they are
            right.
        create_protocol: subclass of `BasicAuthWebSocketServerProtocol` to use.

    Raises:
        TypeError: if not exactly one of ``credentials`` and ``check_credentials`` is given, or
            the credentials aren't pairs of text.

    """
    if (credentials is None) == (check_credentials is None):
        raise TypeError("provide either credentials or check_credentials")
    if credentials is not None:
        check_credentials = credentials_checker(credentials)
    check_function("check_credentials", check_credentials, ("username", "password"))
    return functools.partial(
        BasicAuthWebSocketServerProtocol if create_protocol is None else create_protocol,
        realm=realm,
        check_credentials=check_credentials,
    )

"""Tunnels through HTTP proxies with ``CONNECT`` (RFC 9110, section 9.3.6)."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence

from ..datastructures import Headers, is_valid_header_name, is_valid_header_value
from ..exceptions import InvalidProxyMessage, InvalidProxyStatus, ProxyError
from ..headers import build_authorization_basic, build_host, override
from ..http11 import USER_AGENT, Response
from ..uri import WebSocketURI
from .auth import Auth, AuthFlow, ConnectRequest
from .challenges import Challenge, parse_challenges
from .credentials import PasswordAuth, make_auth
from .hints import hint_for_garbage, hint_for_status
from .hop import Hop, Reconnect, Target, quoted
from .url import Proxy

__all__ = ["HTTPConnectHop", "prepare_connect_request"]

# What a proxy may send before the tunnel is open: status lines and headers of all responses in one
# connection, and of a body as much as is worth reading to keep the connection.
MAX_HEAD_SIZE = 65536
MAX_BODY_SIZE = 65536

# How much of a body is kept for the error message: pages begin with their style.
EXCERPT_SIZE = 8192

# How often credentials are offered: NTLM needs three requests, a stale nonce one more.
MAX_ROUNDS = 6

parse_chunk_size = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\n]*)?\r?\n").fullmatch

# Proxies leave out the reason phrase, with its space or without. What isn't between 100 and 599
# isn't a status (RFC 9110, section 15).
parse_status_line = re.compile(rb"HTTP/(1(?:\.\d+)?) +([1-5]\d\d)(?: +(.*))?", re.DOTALL).fullmatch


def prepare_connect_request(
    proxy: Proxy,
    ws_uri: WebSocketURI,
    user_agent_header: str | None = USER_AGENT,
) -> bytes:
    """Give the bytes of a ``CONNECT`` request, with the credentials of the proxy's URL.

    Args:
        proxy: whom it is for.
        ws_uri: the WebSocket server to connect to.
        user_agent_header: the value of ``User-Agent``, None to send none.
    """
    host = build_host(ws_uri.host, ws_uri.port, ws_uri.secure, always_include_port=True)
    headers = Headers()
    headers["Host"] = build_host(ws_uri.host, ws_uri.port, ws_uri.secure)
    if user_agent_header is not None:
        headers["User-Agent"] = user_agent_header
    if proxy.user_info is not None:
        headers["Proxy-Authorization"] = build_authorization_basic(*proxy.user_info)
    return f"CONNECT {host} HTTP/1.1\r\n".encode() + headers.serialize()


class HTTPConnectHop(Hop):
    """The negotiation with an HTTP proxy.

    Args:
        proxy: whom to negotiate with.
        target: where it shall connect to.
        user_agent_header: the value of ``User-Agent``, None to send none.
    """

    response: Response | None

    def __init__(
        self, proxy: Proxy, target: Target, user_agent_header: str | None = USER_AGENT
    ) -> None:
        super().__init__(proxy, target)
        self.headers = Headers()
        self.headers["Host"] = str(target)
        if user_agent_header is not None:
            self.headers["User-Agent"] = user_agent_header
        override(self.headers, proxy.headers or {})
        self.auth: Auth | None = None
        if proxy.auth is not None:
            self.auth = make_auth(proxy.auth)
        elif proxy.user_info is not None:
            self.auth = PasswordAuth(*proxy.user_info)
        self.blocking = self.auth is not None and self.auth.blocking
        self.flow: AuthFlow | None = None
        self.authorization: str | None = None
        self.rounds = 0

    def negotiate(self) -> Generator[None, None, None]:
        self.head_size = 0
        if self.auth is not None and self.flow is None:
            self.flow = self.auth.flow(ConnectRequest(str(self.target), self.proxy.host))
            self.authorization = self.ask(self.flow, None)
        while True:
            self.send_request()
            version = yield from self.read_head()
            assert self.response is not None
            # Some proxies say 401, which is for servers, where they mean 407.
            asked = self.response.status_code in (401, 407)
            self.step = "authenticate" if asked else "CONNECT"
            if 200 <= self.response.status_code < 300:
                return
            if not (asked and self.authenticate()):
                raise (yield from self.refusal())
            reusable = is_kept_alive(version, self.response.headers)
            if not (reusable and (yield from self.read_body(MAX_BODY_SIZE))):
                raise Reconnect

    def send_request(self) -> None:
        """Ask for the tunnel, with the credentials that are known by now."""
        headers = self.headers
        if self.authorization is not None:
            headers = headers.copy()
            if "Proxy-Authorization" in headers:
                del headers["Proxy-Authorization"]
            headers["Proxy-Authorization"] = self.authorization
        self.send(f"CONNECT {self.target} HTTP/1.1\r\n".encode() + headers.serialize())

    def authenticate(self) -> bool:
        """Find an answer to the proxy's challenges; say whether there is one."""
        assert self.response is not None
        if self.flow is None or self.rounds >= MAX_ROUNDS:
            return False
        self.rounds += 1
        headers = self.response.headers
        challenges = parse_challenges(headers.get_all("Proxy-Authenticate"))
        if self.response.status_code == 401:
            challenges += parse_challenges(headers.get_all("WWW-Authenticate"))
        self.authorization = self.ask(self.flow, challenges)
        return self.authorization is not None

    def ask(self, flow: AuthFlow, challenges: Sequence[Challenge] | None) -> str | None:
        """Get the next value of ``Proxy-Authorization``, None if there is no other."""
        try:
            value = next(flow) if challenges is None else flow.send(challenges)
        except StopIteration:
            return None
        except Exception as exc:
            # It may be the program's own code, or a security library.
            self.step = "authenticate"
            raise ProxyError(f"authentication failed: {exc}") from exc
        # It may hold what the proxy sent.
        if value is not None and is_valid_header_value(value) is None:
            self.step = "authenticate"
            raise ProxyError("authentication failed: credentials cannot be sent in a header")
        return value

    def refusal(self) -> Generator[None, None, ProxyError]:
        """Read what the proxy has to say about its refusal, and give the error."""
        assert self.response is not None
        self.refused = True
        yield from self.read_body(EXCERPT_SIZE)
        return InvalidProxyStatus(
            self.response,
            hint=hint_for_status(self.proxy, self.target, self.response, self.auth),
        )

    # Reading responses, from proxies as they are

    def read_head(self) -> Generator[None, None, bytes]:
        """Read status line and headers of the next final response; give its HTTP version."""
        while True:
            yield from self.expect_response()
            line = yield from self.read_line()
            match = parse_status_line(line)
            if match is None:
                raise self.garbage(line)
            headers = Headers()
            while line := (yield from self.read_line()):
                name, colon, value = line.partition(b":")
                field = name.decode("latin-1")
                # What isn't a header is of no interest here, be it folded (RFC 9112, section 5.2)
                # or nonsense.
                if colon and is_valid_header_name(field):
                    headers.set_insecure(field, value.strip(b" \t").decode("latin-1"))
            status = int(match[2])
            reason = (match[3] or b"").strip().decode("latin-1")
            self.response = Response(status, reason, headers)
            if not 100 <= status < 200 or status == 101:
                return match[1]

    def expect_response(self) -> Generator[None, None, None]:
        """Wait until what arrives looks like a response; what doesn't may never end its line."""
        while True:
            # Empty lines before a response are as harmless as before a request (RFC 9112
            # section 2.2).
            blank = len(self.input) - len(self.input.lstrip(b"\r\n"))
            self.head_size += blank
            del self.input[:blank]
            if self.head_size > MAX_HEAD_SIZE:
                raise self.too_much()
            if self.input.startswith(b"HTTP/"):
                return
            if not b"HTTP/".startswith(self.input) or (self.eof and self.input):
                raise self.garbage(bytes(self.input))
            if self.eof:
                raise EOFError
            yield

    def read_line(self) -> Generator[None, None, bytes]:
        """Read a line of a head that ends in CRLF or LF; give it without its end."""
        line = yield from self.read_until_lf(MAX_HEAD_SIZE - self.head_size)
        if line is None:
            raise self.too_much()
        self.head_size += len(line)
        return line.rstrip(b"\r\n")

    def read_until_lf(self, limit: int) -> Generator[None, None, bytes | None]:
        """Read up to and with the next LF; give None if it isn't within ``limit`` bytes."""
        searched = 0
        while not (end := self.input.find(b"\n", searched) + 1):
            searched = len(self.input)
            if searched >= limit:
                return None
            if self.eof:
                raise EOFError
            yield
        if end > limit:
            return None
        line = bytes(self.input[:end])
        del self.input[:end]
        return line

    def read_body(self, limit: int) -> Generator[None, None, bool]:
        """Read the body of the response, up to ``limit`` bytes of it; say whether it is whole.

        Its beginning is in ``response.body`` in any case.
        """
        assert self.response is not None
        headers = self.response.headers
        self.response.body = b""
        try:
            if "chunked" in ",".join(headers.get_all("Transfer-Encoding")).lower():
                return (yield from self.read_chunks(limit))
            lengths = {value.strip() for value in headers.get_all("Content-Length")}
            if len(lengths) == 1 and (length := lengths.pop()).isdecimal() and len(length) < 19:
                size = int(length)
                yield from self.read_excerpt(min(size, limit))
                return size <= limit
            yield from self.read_excerpt(limit)
        except EOFError:
            pass
        return False

    def read_chunks(self, limit: int) -> Generator[None, None, bool]:
        """Read a chunked body (RFC 9112, section 7.1)."""
        while limit > 0:
            line = yield from self.read_until_lf(min(limit, EXCERPT_SIZE))
            size = line and parse_chunk_size(line)
            if not size:
                return False
            length = int(size[1], 16)
            limit -= len(size[0])
            if not length:
                # Trailers end with an empty line, as headers do.
                while limit > 0 and (line := (yield from self.read_until_lf(limit))):
                    limit -= len(line)
                    if line.strip() == b"":
                        return True
                return False
            yield from self.read_excerpt(min(length, limit))
            limit -= length
            if limit > 0:
                yield from self.read_until_lf(2)
        return False

    def read_excerpt(self, size: int) -> Generator[None, None, None]:
        """Read ``size`` bytes of a body, and keep as much as goes into an error message."""
        assert self.response is not None
        while size > 0:
            if not self.input:
                if self.eof:
                    raise EOFError
                yield
            data = bytes(self.input[:size])
            del self.input[: len(data)]
            size -= len(data)
            room = EXCERPT_SIZE - len(self.response.body)
            self.response.body += data[: max(room, 0)]

    # Errors

    def garbage(self, data: bytes) -> ProxyError:
        """Make the exception for an answer that isn't HTTP."""
        return InvalidProxyMessage(
            f"the proxy didn't answer with an HTTP response but with {quoted(data)!r}",
            hint=hint_for_garbage(self.proxy, data),
        )

    def too_much(self) -> ProxyError:
        """Make the exception for an answer that doesn't end."""
        return InvalidProxyMessage(f"the proxy's answer has more than {MAX_HEAD_SIZE} bytes")


def is_kept_alive(version: bytes, headers: Headers) -> bool:
    """Say whether a connection stays open after a response whose body is read."""
    options = ",".join(headers.get_all("Connection") + headers.get_all("Proxy-Connection")).lower()
    if "close" in options:
        return False
    return version not in (b"1.0", b"1") or "keep-alive" in options

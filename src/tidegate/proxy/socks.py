"""Tunnels through SOCKS proxies: versions 4, 4a and 5 (RFC 1928, RFC 1929)."""

from __future__ import annotations

from collections.abc import Generator

from ..exceptions import InvalidProxyMessage, ProxyError
from .addresses import IPAddress, parse_address
from .hints import hint_for_garbage, with_password, with_scheme
from .hop import Hop, Reconnect, Target, quoted
from .url import Proxy

__all__ = ["SOCKS4Hop", "SOCKS5Hop"]

CONNECT = 1
GRANTED4 = 0x5A
NO_AUTHENTICATION, USERNAME_PASSWORD, NO_ACCEPTABLE_METHOD = 0, 2, 0xFF
IPV4, DOMAIN_NAME, IPV6 = 1, 3, 4

# "SOCKS: A protocol for TCP proxy across firewalls", the document of version 4.
REPLIES4 = {
    0x5B: "request rejected or failed",
    0x5C: "the proxy cannot ask identd on this machine who is calling",
    0x5D: "identd on this machine says that the user is another",
}

# RFC 1928, section 6; whether trying again, or another address, may help.
REPLIES5 = {
    1: ("general failure of the proxy", True),
    2: ("connection not allowed by the proxy's rules", False),
    3: ("network unreachable from the proxy", True),
    4: ("host unreachable from the proxy", True),
    5: ("connection refused by the server", True),
    6: ("time to live expired on the way to the server", True),
    7: ("command not supported by the proxy", False),
    8: ("address type not supported by the proxy", False),
}

ADDRESS_TYPE_NOT_SUPPORTED = 8

HINTS4 = {
    0x5B: "the proxy cannot reach {target}, or its rules forbid it: check host and port, or ask who"
    " runs the proxy; it may also want a user: {user}",
    0x5C: "the proxy wants to know the user from identd; ask who runs it, or use another proxy",
    0x5D: "the user in the proxy's URL has to be the one that runs this program",
}

HINTS5 = {
    1: "the proxy's log says why; it may not know the name {target}, or have no way to it",
    2: "ask who runs the proxy to allow {target}",
    3: "the proxy has no way to that network, maybe none for IPv6; {names}",
    4: "the proxy is there but cannot reach {target}: check host and port; {names}",
    5: "the proxy reached {target}, where nothing listens: check host and port, and whether it"
    " runs",
    6: "the proxy is there but cannot reach {target}",
    7: "this proxy doesn't make connections; use another one",
    8: "let the proxy resolve the name: use socks5h://, or another kind of address",
}


class SOCKSHop(Hop):
    """What all versions have in common.

    Names are given to the proxy to resolve, or resolved here and their addresses tried in turn, as
    the scheme of the proxy's URL says.
    """

    def __init__(self, proxy: Proxy, target: Target) -> None:
        super().__init__(proxy, target)
        self.attempt = 0
        # Whether it was the kind of address that was refused: another may do.
        self.wrong_kind = False
        self.address = parse_address(target.host)
        self.needs_addresses = self.address is None and not proxy.remote_names

    def negotiate(self) -> Generator[None, None, None]:
        address = self.address
        if self.needs_addresses:
            address = parse_address(self.addresses[self.attempt])
        try:
            yield from self.ask_for(address)
        except ProxyError as exc:
            another = self.attempt + 1 < len(self.addresses)
            if another and (exc.transient or self.wrong_kind):
                self.attempt += 1
                self.wrong_kind = False
                raise Reconnect from exc
            raise

    def ask_for(self, address: IPAddress | None) -> Generator[None, None, None]:
        """Negotiate a connection to ``address``, to the target's name if that is None."""
        raise NotImplementedError

    def encoded_name(self) -> bytes:
        """Give the target's name, which the proxy resolves."""
        name = self.target.host.encode()
        if not 0 < len(name) < 256 or b"\0" in name:
            raise ProxyError(f"SOCKS has no room for the host name {quoted(name)}")
        return name

    def expect(self, byte: int, allowed: tuple[int, ...], data: bytes) -> None:
        """Check the version in a reply."""
        if byte not in allowed:
            seen = data + bytes(self.input)
            raise InvalidProxyMessage(
                f"the proxy didn't answer as a SOCKS proxy does but with {quoted(seen)!r}",
                hint=hint_for_garbage(self.proxy, seen),
            )


class SOCKS4Hop(SOCKSHop):
    """The negotiation with a SOCKS4 or SOCKS4a proxy."""

    def ask_for(self, address: IPAddress | None) -> Generator[None, None, None]:
        name = b""
        if address is not None and address.version == 4:
            packed = address.packed
        elif self.proxy.remote_names:
            # An address that cannot be one says that a name follows (SOCKS 4A).
            packed, name = b"\0\0\0\x01", self.encoded_name() + b"\0"
        else:
            raise ProxyError(
                f"SOCKS4 has no room for the IPv6 address {address}",
                hint="use a socks5:// proxy, or socks4a:// so that the proxy resolves the name",
            )
        user = (self.proxy.username or "").encode(errors="surrogateescape")
        port = self.target.port.to_bytes(2, "big")
        self.send(bytes([4, CONNECT]) + port + packed + user + b"\0" + name)
        start = yield from self.read_exact(1)
        # 0 by the document, 4 by some who took that for a mistake.
        self.expect(start[0], (0, 4), start)
        reply = start + (yield from self.read_exact(7))
        code = reply[1]
        if code != GRANTED4:
            reason = REPLIES4.get(code, f"unknown reply {code:#04x}")
            hint = HINTS4.get(code)
            url = with_scheme(self.proxy, self.proxy.scheme, "user@")
            raise ProxyError(
                f"SOCKS4 proxy refused: {reason}",
                hint=hint and hint.format(target=self.target, user=url),
                transient=code == 0x5B,
            )


class SOCKS5Hop(SOCKSHop):
    """The negotiation with a SOCKS5 proxy."""

    def ask_for(self, address: IPAddress | None) -> Generator[None, None, None]:
        yield from self.authenticate()
        self.step = "CONNECT"
        if address is None:
            name = self.encoded_name()
            where = bytes([DOMAIN_NAME, len(name)]) + name
        else:
            where = bytes([IPV4 if address.version == 4 else IPV6]) + address.packed
        self.send(bytes([5, CONNECT, 0]) + where + self.target.port.to_bytes(2, "big"))
        reply = yield from self.read_exact(4)
        self.expect(reply[0], (5,), reply)
        if reply[1] != 0:
            # Some proxies send no more than that before they close the connection.
            self.refuse(reply[1])
        yield from self.read_bound_address(reply)

    def authenticate(self) -> Generator[None, None, None]:
        """Agree on a method (RFC 1928, section 3) and use it."""
        has_password = self.proxy.username is not None
        methods = [NO_AUTHENTICATION, USERNAME_PASSWORD] if has_password else [NO_AUTHENTICATION]
        self.send(bytes([5, len(methods), *methods]))
        start = yield from self.read_exact(1)
        self.expect(start[0], (5,), start)
        method = (yield from self.read_exact(1))[0]
        if method == NO_AUTHENTICATION:
            return
        self.step = "authenticate"
        if method == NO_ACCEPTABLE_METHOD:
            hint = f"give a user name and a password: {with_password(self.proxy)}"
            raise ProxyError(
                "SOCKS5 proxy wants another way to authenticate than "
                + ("a user name and a password" if has_password else "none"),
                hint=None if has_password else hint,
            )
        if method != USERNAME_PASSWORD or not has_password:
            raise InvalidProxyMessage(f"SOCKS5 proxy chose a method not offered: {method}")
        user = (self.proxy.username or "").encode(errors="surrogateescape")
        password = (self.proxy.password or "").encode(errors="surrogateescape")
        # RFC 1929, section 2
        self.send(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        reply = yield from self.read_exact(2)
        # 1 by the RFC, 5 by some.
        self.expect(reply[0], (1, 5), reply)
        if reply[1] != 0:
            raise ProxyError(
                "SOCKS5 proxy refused the user name or the password",
                hint="special characters in a proxy's URL have to be percent-escaped",
            )

    def refuse(self, code: int) -> None:
        """Say no in the proxy's stead."""
        reason, transient = REPLIES5.get(code, (f"unknown reply {code:#04x}", False))
        hint = HINTS5.get(code)
        names = "ask who runs it"
        if self.needs_addresses:
            names = "let it look up the name itself: use socks5h://"
        self.wrong_kind = code == ADDRESS_TYPE_NOT_SUPPORTED
        raise ProxyError(
            f"SOCKS5 proxy refused: {reason}",
            hint=hint and hint.format(target=self.target, names=names),
            transient=transient,
        )

    def read_bound_address(self, reply: bytes) -> Generator[None, None, None]:
        """Read past the address that the proxy connects from (RFC 1928, section 6)."""
        sizes = {IPV4: 4, IPV6: 16}
        if reply[3] == DOMAIN_NAME:
            size = (yield from self.read_exact(1))[0]
        elif reply[3] in sizes:
            size = sizes[reply[3]]
        else:
            raise InvalidProxyMessage(f"SOCKS5 proxy replied with address type {reply[3]}")
        yield from self.read_exact(size + 2)

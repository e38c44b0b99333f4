"""What a server for threads does with a socket before the connection begins: header and TLS."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl as ssl_module
import threading
import time
from typing import TYPE_CHECKING, Any

from ..printable import printable
from .layers import Layers, flatten
from .tls import SocketLike, TLSStream
from .way import time_left

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..proxyprotocol.intake import Intake
    from ..proxyprotocol.policy import Endpoints, ProxyPolicy

# How much is read at once, in bytes.
READ_SIZE = 2048


class RefusedError(OSError):
    """A connection that isn't let in, for a reason that is for the log only."""


class Door:
    """Lets connections in: takes their PROXY protocol header, and begins TLS.

    Args:
        policy: from whom headers are taken; None for no headers.
        inside_tls: whether the header is the first thing inside TLS, instead of being before it.
        context: how to do TLS, None for none.
        open_timeout: how long all that may take, in seconds; None for no limit.

    """

    def __init__(
        self,
        policy: ProxyPolicy | None,
        inside_tls: bool,
        context: ssl_module.SSLContext | None,
        open_timeout: float | None,
    ) -> None:
        self.policy = policy
        self.inside_tls = inside_tls
        self.context = context
        self.open_timeout = open_timeout
        self.waiting = 0
        self.lock = threading.Lock()

    @property
    def takes_time(self) -> bool:
        """Whether peers can make the server wait here."""
        return self.policy is not None or self.context is not None

    def let_in(self, sock: socket.socket) -> tuple[Endpoints | None, Layers | None, bytes]:
        """Take header and TLS.

        Returns:
            Who is connected to whom, if a header could say so; TLS; what was received already.

        Raises:
            OSError: if the connection isn't let in.

        """
        limit = self.open_timeout
        deadline = None if limit is None else time.monotonic() + limit
        endpoints = None
        rest = b""
        stream: SocketLike = sock
        if self.policy is not None and not self.inside_tls:
            endpoints, rest = self.take_header(sock, sock, deadline)
        if self.context is not None:
            stream = TLSStream(sock, self.context, None)
            if rest:
                # What came behind the header.
                stream.tls.received(rest)
                rest = b""
            stream.do_handshake(deadline)
        if self.policy is not None and self.inside_tls:
            endpoints, rest = self.take_header(sock, stream, deadline)
        _, layers = flatten(stream)
        return endpoints, layers, rest

    def take_header(
        self, sock: socket.socket, stream: SocketLike, deadline: float | None
    ) -> tuple[Endpoints, bytes]:
        """Take the header that a connection begins with, if its peer sends one."""
        # Imported here because most programs don't need it.
        from ..proxyprotocol.intake import Intake
        from ..proxyprotocol.policy import Endpoints

        policy = self.policy
        assert policy is not None
        peername = sock.getpeername()
        decision = policy.decide(peername)
        if decision == "reject":
            policy.counters.rejected += 1
            raise RefusedError("it is not trusted")
        header, rest = None, b""
        if decision == "plain":
            policy.counters.plain += 1
        else:
            until = deadline
            if policy.timeout is not None:
                until = time.monotonic() + policy.timeout
                until = until if deadline is None else min(until, deadline)
            with self.one_more(policy):
                try:
                    header, rest = self.read_header(Intake(policy), stream, until)
                except TimeoutError:
                    policy.counters.timed_out += 1
                    raise RefusedError(
                        "it sent no complete PROXY protocol header in time"
                    ) from None
        return Endpoints.of(header, peername, sock.getsockname()), rest

    @contextlib.contextmanager
    def one_more(self, policy: ProxyPolicy) -> Iterator[None]:
        """Count one more connection that has to send its header."""
        with self.lock:
            crowded = self.waiting >= policy.max_waiting
            if crowded:
                policy.counters.crowded += 1
            else:
                self.waiting += 1
        if crowded:
            raise RefusedError("it is one too many to wait for a PROXY protocol header")
        try:
            yield
        finally:
            with self.lock:
                self.waiting -= 1

    def read_header(self, intake: Intake, stream: SocketLike, deadline: float | None) -> Any:
        """Read a header; give it, and what came behind it."""
        from ..proxyprotocol.errors import ProxyProtocolSyntaxError

        while True:
            stream.settimeout(time_left(deadline))
            data = stream.recv(READ_SIZE)
            if not data:
                raise RefusedError(f"it {intake.ended() or 'sent nothing'}")
            try:
                found = intake.received(data)
            except ProxyProtocolSyntaxError as exc:
                raise RefusedError(f"it sent no valid PROXY protocol header: {exc}") from None
            if found is not None:
                return found


def tell(logger: logging.Logger | logging.LoggerAdapter[Any], address: Any, exc: OSError) -> None:
    """Say in the log why a connection wasn't let in."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("connection from %s not let in: %s", address, printable(str(exc), 400))

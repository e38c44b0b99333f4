"""How it goes on the way through proxies: each step with its time, each failure in words."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from ..datastructures import Headers
from ..exceptions import (
    InvalidMessage,
    InvalidProxyMessage,
    ProxyCertificateError,
    ProxyConnectionError,
    ProxyError,
    ProxyHandshakeError,
    ProxyTimeout,
    ProxyTLSError,
)
from .hints import (
    hint_for_connection,
    hint_for_handshake,
    hint_for_loopback,
    hint_for_proxy_certificate,
    hint_for_proxy_tls,
    hint_for_timeout,
)
from .hop import Hop, Target, quoted
from .routes import Route
from .steps import (
    AUTHENTICATE,
    CONNECT,
    CONNECT_TCP,
    HANDSHAKE,
    PROXY_TLS,
    RESOLVE,
    SERVER_TLS,
)
from .url import Proxy

if TYPE_CHECKING:
    from ..http11 import Response

__all__ = ["Passage", "Step", "Timeouts", "check_silence"]


@dataclasses.dataclass
class Step:
    """One step of the way.

    Attributes:
        name: ``resolve``, ``connect``, ``TLS to proxy``, ``authenticate``, ``CONNECT``,
            ``TLS to server`` or ``handshake``.
        proxy: the proxy that it was made with, None for the steps with the server.
        seconds: how long it took, None while it isn't over.
    """

    name: str
    proxy: Proxy | None
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """How long each step may take, in seconds; None leaves the limit to ``open_timeout``.

    Whatever is given here, a step gets no more than three quarters of the time that is left of
    ``open_timeout``, so that the error can say which step it was.

    Attributes:
        resolve: looking up a name.
        connect: connecting to the first proxy.
        tls: a TLS handshake, with a proxy or with the server.
        negotiate: asking a proxy to connect, authentication included.
        handshake: the opening handshake.
    """

    resolve: float | None = None
    connect: float | None = None
    tls: float | None = None
    negotiate: float | None = None
    handshake: float | None = None

    # Without an open_timeout, too, nothing waits for ever.
    LONGEST: ClassVar[float] = 60
    SHARE: ClassVar[float] = 0.75

    def limit(self, step: str, remaining: float | None) -> float:
        """Give how long a step may take when ``remaining`` seconds are left of open_timeout."""
        own = {
            RESOLVE: self.resolve,
            CONNECT_TCP: self.connect,
            PROXY_TLS: self.tls,
            SERVER_TLS: self.tls,
            CONNECT: self.negotiate,
            HANDSHAKE: self.handshake,
        }[step]
        longest = self.LONGEST if remaining is None else max(remaining, 0) * self.SHARE
        return longest if own is None else min(own, longest)


def check_silence(data: bytes) -> None:
    """Check that nothing came in where TLS is to begin, in which the client speaks first.

    Raises:
        InvalidProxyMessage: if ``data`` isn't empty.
    """
    if data:
        raise InvalidProxyMessage(
            f"{len(data)} bytes came in before TLS began: {quoted(data)!r}",
            hint="whoever sent them doesn't speak TLS on this port",
        )


NO_TIMEOUTS = Timeouts()


class Passage:
    """The way of one connection through its route: what a connection tells in its ``proxy``.

    Args:
        route: the route.
        timeouts: limits for single steps.
        open_timeout: how many seconds there are for all of them, None for no such limit.

    Attributes:
        route: the route.
        steps: the steps in their order.
        responses: the last answer of each HTTP proxy, by its place in ``route.hops``.
    """

    def __init__(
        self, route: Route, timeouts: Timeouts = NO_TIMEOUTS, open_timeout: float | None = None
    ) -> None:
        self.route = route
        self.timeouts = timeouts
        self.open_timeout = open_timeout
        self.steps: list[Step] = []
        self.responses: dict[int, Response] = {}
        self.started = time.perf_counter()

    @property
    def proxy(self) -> Proxy | None:
        """The proxy next to the server."""
        return self.route.proxy

    @property
    def headers(self) -> Headers | None:
        """The headers with which the proxy next to the server opened the tunnel, if any."""
        response = self.responses.get(len(self.route.hops) - 1)
        return None if response is None else response.headers

    @property
    def timings(self) -> dict[str, float]:
        """How long each kind of step took in seconds, summed up over all proxies."""
        timings: dict[str, float] = {}
        for step in self.steps:
            timings[step.name] = timings.get(step.name, 0) + (step.seconds or 0)
        return timings

    def limit(self, step: str) -> float:
        """Give how many seconds a step that begins now may take."""
        remaining = None
        if self.open_timeout is not None:
            remaining = self.open_timeout - (time.perf_counter() - self.started)
        return self.timeouts.limit(step, remaining)

    def __repr__(self) -> str:
        steps = ", ".join(
            f"{step.name}: {'…' if step.seconds is None else f'{step.seconds:.3f} s'}"
            for step in self.steps
        )
        return f"<Passage {self.route.proxy} ({steps})>"

    @contextlib.contextmanager
    def step(
        self, name: str, proxy: Proxy | None, target: Target, hop: Hop | None = None
    ) -> Iterator[Step]:
        """Do a step inside: time it, and turn its failures into a `ProxyError` with all details.

        ``TimeoutError`` without an error number stands for the time limit of the step.

        Args:
            name: what is done.
            proxy: whom with, None for the server.
            target: where the connection is to lead, or whose name is looked up.
            hop: the negotiation, if it is one.
        """
        step = Step(name, proxy)
        self.steps.append(step)
        started = time.perf_counter()
        try:
            try:
                yield step
            except ProxyError:
                raise
            except TimeoutError as exc:
                if exc.errno is not None:
                    raise self.connection_error(exc, step, target) from exc
                raise ProxyTimeout(
                    f"{self.words_for(step, target)} took too long",
                    hint=hint_for_timeout(
                        name, proxy, target, hop is not None and hop.heard, self.through
                    ),
                    transient=True,
                ) from None
            except (ssl.SSLError, ssl.CertificateError) as exc:
                raise self.tls_error(exc, step, target) from exc
            except OSError as exc:
                raise self.connection_error(exc, step, target) from exc
            except InvalidMessage as exc:
                raise ProxyHandshakeError(
                    f"{self.words_for(step, target)} failed: {exc}",
                    hint=hint_for_handshake(self.route, exc),
                    transient=isinstance(exc.__cause__, EOFError),
                ) from exc
        except ProxyError as exc:
            self.describe(exc, step, target, hop)
            raise
        except BaseException as exc:
            if self.route.proxy is not None:
                # Who cancels it because it takes too long wants to tell where the time went.
                what = self.words_for(step, target)
                exc.add_note(f"{what} failed; the proxy is {self.described_proxy}")
            raise
        finally:
            step.seconds = time.perf_counter() - started

    @property
    def through(self) -> bool:
        """Whether there is a proxy on the way."""
        return self.route.proxy is not None

    @property
    def described_proxy(self) -> str:
        """The proxy and where it was found."""
        source = self.route.source
        return f"{self.route.proxy}" + ("" if source is None else f", from {source}")

    def describe(self, exc: ProxyError, step: Step, target: Target, hop: Hop | None) -> None:
        """Add to an error what is known about its circumstances."""
        exc.proxy = step.proxy or self.route.proxy
        exc.source = self.route.source
        exc.step = step.name if hop is None else hop.step
        exc.target = str(target)
        exc.server = str(self.route.destination)
        exc.elapsed = time.perf_counter() - self.started
        if hop is not None:
            if exc.response is None:
                exc.response = hop.response
            if exc.step == CONNECT:
                exc.hint = hint_for_loopback(hop.proxy, target) or exc.hint

    def words_for(self, step: Step, target: Target) -> str:
        """Say what a step does."""
        through = "" if self.route.proxy is None else " through the proxy"
        return {
            RESOLVE: f"looking up {target.host}",
            CONNECT_TCP: f"connecting to {'the proxy' if step.proxy else target}",
            PROXY_TLS: "the TLS handshake with the proxy",
            CONNECT: f"asking the proxy to connect to {target}",
            AUTHENTICATE: "authenticating to the proxy",
            SERVER_TLS: f"the TLS handshake with the server{through}",
            HANDSHAKE: f"the opening handshake{through}",
        }[step.name]

    def connection_error(self, exc: OSError, step: Step, target: Target) -> ProxyError:
        """Make the exception for a connection that fails in a step."""
        if isinstance(exc, socket.gaierror):
            what = f"{target.host} cannot be resolved: {exc.strerror or exc}"
        else:
            # The event loop has texts of its own, and none at all for a connection that is lost.
            why = os.strerror(exc.errno) if exc.errno else str(exc) or "the connection was lost"
            what = f"{self.words_for(step, target)} failed: {why}"
        hint = hint_for_connection(exc, step.name, step.proxy, target, self.through)
        return ProxyConnectionError(what, hint=hint, transient=True)

    def tls_error(self, exc: OSError, step: Step, target: Target) -> ProxyError:
        """Make the exception for TLS that fails in a step."""
        what = f"{self.words_for(step, target)} failed: {exc}"
        proxy = step.proxy
        if isinstance(exc, ssl.SSLCertVerificationError):
            return ProxyCertificateError(what, hint=hint_for_proxy_certificate(exc, proxy))
        return ProxyTLSError(what, hint=hint_for_proxy_tls(exc, step.name, proxy, target))

"""Who is told when connections open and close: nobody, or `tidegate.tracing` when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..http11 import Request, Response
    from .link import Link

__all__ = ["Tracer", "tell"]


class Tracer(Protocol):
    """What is called, in the thread or task of the connection; it must not raise."""

    def requesting(self, link: Link, request: Request) -> None:
        """Take note of a client's request before it is sent; headers may be added to it."""

    def received(self, link: Link, event: Request | Response) -> None:
        """Take note of a request or a response that came."""

    def opened(self, link: Link) -> None:
        """Take note that a connection is open."""

    def refused(self, link: Link) -> None:
        """Take note that a connection was refused."""

    def closing(self, link: Link) -> None:
        """Take note that a connection is being closed."""

    def lost(self, link: Link) -> None:
        """Take note that there is no connection any more."""


# All that is told; one at most, and nearly always none.
tracers: list[Tracer] = []


def tell(what: str, *arguments: object) -> None:
    """Tell the tracer, if there is one.

    Args:
        what: the name of its method.
        *arguments: of the method.

    """
    for tracer in tracers:
        getattr(tracer, what)(*arguments)

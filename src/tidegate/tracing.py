"""Spans for the opening and the closing of connections, with OpenTelemetry.

It needs the package ``opentelemetry-api``: the extra ``otel``.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from .core.tally import first_code
from .core.tracing import tracers
from .http11 import Request
from .version import version

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from .core.link import Link
    from .http11 import Response

__all__ = ["context_of", "start_tracing", "stop_tracing"]

OPENING = "WebSocket open"
CLOSING = "WebSocket close"

# What others send is cut to so many characters.
LONGEST = 256

# What is read of a request.
PROPAGATED = ("traceparent", "tracestate", "baggage")

# The codes of connections that ended as they should.
GOOD_CODES = (1000, 1001, 1005, 1012)


def start_tracing(tracer_provider: TracerProvider | None = None) -> None:
    """Make spans for the connections of this process that are opened from now on, of any API.

    There is one for the opening handshake, of a client or a server, and one for closing. A client
    sends ``traceparent`` (W3C Trace Context) with its request, so that the server's span is in the
    same trace. Calling it again changes where spans go.

    Args:
        tracer_provider: where spans go; by default the global one.

    Raises:
        ImportError: if ``opentelemetry-api`` isn't installed.

    """
    try:
        from opentelemetry import trace
    except ImportError:
        raise ImportError(
            "tracing needs the package opentelemetry-api: pip install 'tidegate[otel]'"
        ) from None
    stop_tracing()
    tracers.append(Spans(trace.get_tracer("tidegate", version, tracer_provider)))


def stop_tracing() -> None:
    """Make no more spans; those that are begun don't end."""
    tracers.clear()


def context_of(connection: Any) -> Context | None:
    """Give the context of a connection's opening, as the parent of spans about what it does.

    ::

        async def handler(websocket):
            async for message in websocket:
                with tracer.start_as_current_span("message", context_of(websocket)):
                    ...

    Args:
        connection: a connection of any API.

    Returns:
        The context; None if nothing is traced.

    """
    link = getattr(connection, "_coated", connection)
    for tracer in tracers:
        if isinstance(tracer, Spans):
            return tracer.contexts.get(link)
    return None


class Spans:
    """Makes the spans.

    Args:
        tracer: what they come from.

    """

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.openings: weakref.WeakKeyDictionary[Any, Span] = weakref.WeakKeyDictionary()
        self.closings: weakref.WeakKeyDictionary[Any, Span] = weakref.WeakKeyDictionary()
        self.contexts: weakref.WeakKeyDictionary[Any, Context] = weakref.WeakKeyDictionary()

    def begin(self, link: Link, request: Request, parent: Context | None, server: bool) -> Context:
        """Begin the span of an opening handshake; give its context."""
        from opentelemetry import trace

        attributes: dict[str, Any] = {
            "network.protocol.name": "websocket",
            "http.request.method": request.method[:LONGEST],
            # Without what may be secret in a query.
            "url.path": request.path.partition("?")[0][:LONGEST],
        }
        address = getattr(link, "remote_address", None)
        if isinstance(address, tuple) and address:
            attributes["client.address" if server else "server.address"] = str(address[0])
        span = self.tracer.start_span(
            OPENING,
            parent,
            kind=trace.SpanKind.SERVER if server else trace.SpanKind.CLIENT,
            attributes=attributes,
        )
        self.openings[link] = span
        context = self.contexts[link] = trace.set_span_in_context(span, parent)
        return context

    def requesting(self, link: Link, request: Request) -> None:
        """Begin the span of a client's opening handshake, and say so in the request."""
        from opentelemetry import propagate

        context = self.begin(link, request, None, False)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, context)
        for name, value in carrier.items():
            request.headers.setdefault(name, value)

    def received(self, link: Link, event: Request | Response) -> None:
        """Begin the span of a server's opening handshake, or note a client's answer."""
        from opentelemetry import propagate

        if isinstance(event, Request):
            carrier = {
                name: ",".join(event.headers.get_all(name))
                for name in PROPAGATED
                if name in event.headers
            }
            self.begin(link, event, propagate.extract(carrier), True)
        elif link in self.openings:
            self.openings[link].set_attribute("http.response.status_code", event.status_code)

    def opened(self, link: Link) -> None:
        """End the span of an opening handshake that went well."""
        span = self.openings.pop(link, None)
        if span is None:
            return
        protocol: Any = link.protocol
        span.set_attribute("http.response.status_code", 101)
        if protocol.subprotocol is not None:
            span.set_attribute("websocket.subprotocol", protocol.subprotocol)
        if protocol.extensions:
            names = ", ".join(str(extension.name) for extension in protocol.extensions)
            span.set_attribute("websocket.extensions", names)
        span.end()

    def refused(self, link: Link) -> None:
        """End the span of an opening handshake that was refused."""
        span = self.openings.pop(link, None)
        self.contexts.pop(link, None)
        if span is None:
            return
        status = getattr(link.protocol, "refused_with", None)
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if status is None or status >= 500:
            fail(span, "the connection was refused")
        span.end()

    def closing(self, link: Link) -> None:
        """Begin the span of closing."""
        if link in self.contexts and link not in self.closings:
            self.closings[link] = self.tracer.start_span(CLOSING, self.contexts[link])

    def lost(self, link: Link) -> None:
        """End what was begun: there is no connection any more."""
        opening = self.openings.pop(link, None)
        if opening is not None:
            fail(opening, "the connection was lost during the opening handshake")
            opening.end()
            self.contexts.pop(link, None)
            return
        self.closing(link)
        span = self.closings.pop(link, None)
        self.contexts.pop(link, None)
        if span is None:
            return
        code = first_code(link.protocol)
        received, sent, bytes_received, bytes_sent, _ = link.counters()
        span.set_attributes(
            {
                "websocket.close.code": code,
                "websocket.messages_received": received,
                "websocket.messages_sent": sent,
                "websocket.bytes_received": bytes_received,
                "websocket.bytes_sent": bytes_sent,
            }
        )
        reason = link.protocol.close_reason
        if reason:
            span.set_attribute("websocket.close.reason", reason[:LONGEST])
        if code not in GOOD_CODES and not 3000 <= code < 5000:
            fail(span, f"closed with code {code}")
        span.end()


def fail(span: Span, why: str) -> None:
    """Say that what a span is about went wrong."""
    from opentelemetry import trace

    span.set_status(trace.Status(trace.StatusCode.ERROR, why))

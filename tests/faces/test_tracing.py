"""Spans of OpenTelemetry, on every face."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tidegate import tracing
from tidegate.exceptions import InvalidStatus

from . import raw
from .drivers import echo, uri_of

trace = pytest.importorskip("opentelemetry.trace")
pytest.importorskip("opentelemetry.sdk")


@pytest.fixture
def spans():
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.start_tracing(provider)
    yield exporter
    tracing.stop_tracing()
    provider.shutdown()


async def finished(face, spans, count):
    """Wait for so many spans; give them by name and kind, in which they began."""
    for _ in range(2000):
        found = spans.get_finished_spans()
        if len(found) >= count:
            break
        await face.sleep(0.005)
    assert len(found) == count
    return sorted(found, key=lambda span: span.start_time)


async def test_opening_and_closing(face, spans):
    contexts = []

    async def handler(connection):
        contexts.append(tracing.context_of(connection))
        await echo(connection)

    async with (
        face.serve(handler, subprotocols=["tides"]) as (address, _),
        face.connect(uri_of(address, "/path?secret"), subprotocols=["tides"]) as connection,
    ):
        await connection.send("hello")
        await connection.recv()
        await face.close(connection, 4000, "enough")
    found = await finished(face, spans, 4)
    client, server = found[:2]
    assert client.kind is trace.SpanKind.CLIENT
    assert server.kind is trace.SpanKind.SERVER
    assert client.name == server.name == "WebSocket open"
    # One trace, by way of the header.
    assert {span.context.trace_id for span in found} == {client.context.trace_id}
    assert server.parent.span_id == client.context.span_id
    for span in client, server:
        assert span.attributes["url.path"] == "/path"
        assert span.attributes["http.response.status_code"] == 101
        assert span.attributes["websocket.subprotocol"] == "tides"
        assert span.attributes["websocket.extensions"] == "permessage-deflate"
        assert span.status.is_unset
    assert trace.get_current_span(contexts[0]).get_span_context() == server.context
    for span in found[2:]:
        assert span.name == "WebSocket close"
        assert span.attributes["websocket.close.code"] == 4000
        assert span.attributes["websocket.messages_received"] == 1
        assert span.attributes["websocket.messages_sent"] == 1
        assert span.status.is_unset
    parents = {span.parent.span_id for span in found[2:]}
    assert parents == {client.context.span_id, server.context.span_id}


async def test_refusal(face, spans):
    async with face.serve(echo, origins=["https://example.com"]) as (address, _):
        with pytest.raises(InvalidStatus):
            async with face.connect(uri_of(address)):
                pass
        client, server = await finished(face, spans, 2)
    assert client.attributes["http.response.status_code"] == 403
    assert server.attributes["http.response.status_code"] == 403
    assert not client.status.is_ok and not client.status.is_unset
    # The server did what it should.
    assert server.status.is_unset


async def test_ends_that_nobody_announced(face, spans):
    async with face.serve(echo) as (address, _):
        (await face.blocking(raw.open_client, address)).close()
        opening, closing = await finished(face, spans, 2)
    assert opening.parent is None
    assert closing.attributes["websocket.close.code"] == 1006
    assert closing.status.description == "closed with code 1006"


async def test_nothing_is_kept(face, spans):
    async with face.serve(echo) as (address, _):
        async with face.connect(uri_of(address)):
            pass
        await finished(face, spans, 4)
    (tracer,) = tracing.tracers
    assert not tracer.openings
    assert not tracer.closings
    assert not tracer.contexts


def run(program, *path):
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*path, *sys.path])},
        capture_output=True,
        text=True,
    )


def test_nothing_is_imported():
    program = (
        "import sys, tidegate, tidegate.tracing, tidegate.sync.client\n"
        "from tidegate import serve, connect\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    assert run(program).stdout == "[]\n"


def test_without_the_package(tmp_path):
    (tmp_path / "opentelemetry.py").write_text("raise ImportError")
    done = run("from tidegate.tracing import start_tracing; start_tracing()", str(tmp_path))
    assert done.returncode != 0
    assert "pip install 'tidegate[otel]'" in done.stderr

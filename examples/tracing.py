"""A server whose connections are seen in traces, next to what its handler does for each message.

It needs an extra, and something that takes the spans to where they are looked at:
pip install 'tidegate[otel]' opentelemetry-sdk
"""

import asyncio

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from tidegate import serve
from tidegate.tracing import context_of, start_tracing


async def shout(websocket):
    tracer = trace.get_tracer("shout")
    async for message in websocket:
        with tracer.start_as_current_span("message", context_of(websocket)):
            await websocket.send(message.upper())


async def main(port=8765):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    trace.set_tracer_provider(provider)
    start_tracing()
    async with serve(shout, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

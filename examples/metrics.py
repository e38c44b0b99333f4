"""A server with numbers for Prometheus, on a port that only those who watch it can reach.

It needs an extra: pip install 'tidegate[metrics]'
"""

import asyncio

import prometheus_client

from tidegate import serve
from tidegate.metrics import LoopLag, Metrics


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main(port=8765, metrics_port=9100):
    registry = prometheus_client.CollectorRegistry()
    async with serve(echo, "localhost", port) as server:
        registry.register(Metrics(server, lag=LoopLag()))
        pages, thread = prometheus_client.start_http_server(
            metrics_port, "127.0.0.1", registry=registry
        )
        try:
            await server.serve_forever()
        finally:
            pages.shutdown()
            pages.server_close()
            thread.join()


if __name__ == "__main__":
    asyncio.run(main())

"""A program for the package proxy-protocol, after its imports were changed."""

import asyncio

from tidegate.proxyprotocol.detect import ProxyProtocolDetect
from tidegate.proxyprotocol.reader import ProxyProtocolReader


async def greet(reader, writer, info):
    if not writer.is_closing():
        writer.write(f"Hello {info.peername_str}, you called {info.sockname_str}.\n".encode())
        await writer.drain()
        writer.close()


async def main(port=8765):
    connected = ProxyProtocolReader(ProxyProtocolDetect()).get_callback(greet)
    async with await asyncio.start_server(connected, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

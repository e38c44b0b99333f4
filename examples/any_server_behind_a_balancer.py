"""A server of another protocol than WebSocket, behind a load balancer.

With a certificate and a key, it takes TLS after the header::

    python examples/any_server_behind_a_balancer.py certificate.pem key.pem
"""

import asyncio
import ssl
import sys

from tidegate.proxyprotocol import ProxyPolicy, start_server


async def greet(reader, writer):
    host, port = writer.get_extra_info("peername")[:2]
    writer.write(f"Hello {host}, port {port}!\n".encode())
    async for line in reader:
        writer.write(line)
        await writer.drain()
    writer.close()


async def main(*files, port=8765, balancers=("10.0.0.0/8", "127.0.0.1", "::1")):
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    policy = ProxyPolicy(trusted=balancers, untrusted="reject")
    server = await start_server(greet, "localhost", port, policy=policy, ssl=context)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

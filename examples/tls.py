"""A server and a client that use TLS with a certificate of one's own."""

import asyncio
import ssl
import sys

from tidegate import connect, serve


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def run_server(certificate, key, port=8765):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with serve(echo, "localhost", port, ssl=context) as server:
        await server.serve_forever()


async def run_client(authority, uri="wss://localhost:8765/"):
    # Certificates of public authorities need no ssl argument.
    context = ssl.create_default_context(cafile=authority)
    async with connect(uri, ssl=context) as websocket:
        await websocket.send("Hello in private!")
        print(await websocket.recv())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["server", certificate, key]:
            asyncio.run(run_server(certificate, key))
        case ["client", authority]:
            asyncio.run(run_client(authority))
        case _:
            sys.exit("usage: tls.py server CERTIFICATE KEY, or tls.py client AUTHORITY")

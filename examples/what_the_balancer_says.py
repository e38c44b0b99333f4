"""Read what else is in the header of a load balancer that takes TLS from the clients."""

import asyncio

from tidegate import serve
from tidegate.proxyprotocol import ProxyPolicy


async def tell(websocket):
    header = websocket.proxy_header
    if header is None:
        await websocket.send("You came without a load balancer.")
        return
    tls = header.ssl
    if tls is not None and tls.verified:
        await websocket.send(f"Your certificate says that you are {tls.cn}.")
    elif tls is not None and tls.has_ssl:
        await websocket.send(f"You use {tls.version}, but gave no certificate.")
    else:
        await websocket.send("You don't use TLS.")
    await websocket.send(f"You asked for {header.authority}.")
    await websocket.send(f"The balancer calls this connection {header.unique_id!r}.")
    for kind, value in header.tlvs:
        print(f"TLV {kind:#04x}: {value!r}")


async def main(port=8765, balancers=("10.0.0.0/8", "127.0.0.1", "::1")):
    policy = ProxyPolicy(trusted=balancers, versions=(2,))
    async with serve(tell, "localhost", port, proxy_protocol=policy) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

"""Asks an Ethereum node for its height with web3, and subscribes to new blocks."""

import asyncio
import json
import sys

import websockets
from web3 import AsyncWeb3, WebSocketProvider


async def main(uri):
    result = {"websockets": websockets.__name__, "blocks": []}
    provider = WebSocketProvider(uri, websocket_kwargs={"additional_headers": {"X-Client": "web3"}})
    async with AsyncWeb3(provider) as w3:
        result["connected"] = await w3.is_connected()
        result["height"] = await w3.eth.block_number
        result["together"] = await asyncio.gather(*(w3.eth.chain_id for _ in range(10)))
        await w3.eth.subscribe("newHeads")
        async for message in w3.socket.process_subscriptions():
            result["blocks"].append(message["result"]["number"])
            if len(result["blocks"]) == 3:
                break
    print(json.dumps(result))


asyncio.run(main(sys.argv[1]))

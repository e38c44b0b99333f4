"""Subscribes with gql to a GraphQL server, and asks it something meanwhile."""

import asyncio
import json
import sys

import websockets
from gql import Client, gql
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets import WebsocketsTransport


async def main(uri):
    transport = WebsocketsTransport(
        url=uri,
        headers={"X-Client": "gql"},
        init_payload={"token": "open sesame"},
        ping_interval=0.05,
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
    )
    result = {"websockets": websockets.__name__}
    async with Client(transport=transport, fetch_schema_from_transport=False) as session:
        result["answer"] = await session.execute(gql("query { tide }"))
        result["levels"] = [
            data["level"] async for data in session.subscribe(gql("subscription { level }"))
        ]
        try:
            await session.execute(gql("query { wrong }"))
        except TransportQueryError as exc:
            result["error"] = exc.errors[0]["message"]
        result["pings"] = transport.pong_received is not None
        result["header"] = transport.response_headers["X-Server"]
    try:
        async with Client(transport=WebsocketsTransport(url=uri + "elsewhere")):
            pass
    except (TransportConnectionFailed, websockets.exceptions.InvalidStatus) as exc:
        result["refused"] = type(exc.__cause__ or exc).__name__
    print(json.dumps(result))


asyncio.run(main(sys.argv[1]))

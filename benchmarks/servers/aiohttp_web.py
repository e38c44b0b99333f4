"""``aiohttp.web``, with default settings."""

from __future__ import annotations

import asyncio

from aiohttp import WSMessage, WSMsgType, web

from . import common

receivers: set[web.WebSocketResponse] = set()


async def send(connection: web.WebSocketResponse, message: WSMessage) -> None:
    if message.type is WSMsgType.TEXT:
        await connection.send_str(message.data)
    else:
        await connection.send_bytes(message.data)


async def echo(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        await send(connection, message)
    return connection


async def receive(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    receivers.add(connection)
    async for _ in connection:
        pass
    receivers.discard(connection)
    return connection


async def trigger(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        for receiver in list(receivers):
            await send(receiver, message)
    return connection


async def main(options: common.Options) -> None:
    app = web.Application()
    app.router.add_get("/", echo)
    app.router.add_get("/receive", receive)
    app.router.add_get("/trigger", trigger)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    if options.unix:
        site: web.BaseSite = web.UnixSite(runner, options.unix, ssl_context=options.tls)
    else:
        site = web.TCPSite(runner, common.HOST, options.port, ssl_context=options.tls)
    await site.start()
    print("ready", 0 if options.unix else runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    common.run(main)

"""Messages: what is received, and what can be sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

from tidegate import ClientConnection, ServerConnection, connect
from tidegate.typing import Data


def lines() -> Iterator[str]:
    yield "one"


async def chunks() -> AsyncIterator[bytes]:
    yield b"one"


async def receive(connection: ClientConnection | ServerConnection) -> None:
    message: Data = await connection.recv()
    anything: str = await connection.recv()  # wrong
    text: str = await connection.recv(decode=True)
    also_text: str = await connection.recv(True)
    not_binary: bytes = await connection.recv(decode=True)  # wrong
    binary: bytes = await connection.recv(decode=False)
    not_text: str = await connection.recv(False)  # wrong
    neither: int = await connection.recv()  # wrong
    forgotten: str = connection.recv(decode=True)  # wrong
    await connection.recv(decode="utf-8")  # wrong
    print(message, anything, text, also_text, not_binary, binary, not_text, neither, forgotten)


async def iterate(connection: ClientConnection) -> None:
    async for message in connection:
        if isinstance(message, str):
            message.encode()
        else:
            message.decode()
    async for message in connection:
        message.encode()  # wrong
        message.no_such_method()  # wrong


async def fragments(connection: ServerConnection) -> None:
    async for piece in connection.recv_streaming():
        piece.encode()  # wrong
    async for text in connection.recv_streaming(decode=True):
        text.encode()
        text.decode()  # wrong
    async for binary in connection.recv_streaming(decode=False):
        binary.decode()
        binary.encode()  # wrong
    stream = connection.recv_streaming()
    await stream.aclose()


async def send(connection: ClientConnection, pieces: Iterable[str]) -> None:
    await connection.send("text")
    await connection.send(b"binary")
    await connection.send(bytearray(b"binary"))
    await connection.send(memoryview(b"binary"))
    await connection.send(["one", "two"])
    await connection.send(lines())
    await connection.send(chunks())
    await connection.send(pieces)
    await connection.send("text", text=False, compress=True, timeout=1.5)
    await connection.send({"type": "ping"})  # wrong
    await connection.send({})  # wrong
    await connection.send(1)  # wrong
    await connection.send(None)  # wrong
    await connection.send([1, 2])  # wrong
    await connection.send("text", "binary")  # wrong
    await connection.send("text", timeout="1s")  # wrong
    await connection.send("text", comprss=True)  # wrong
    connection.send("text")  # wrong
    connection.recv()  # wrong
    connection.send_nowait("text")
    connection.send_nowait(["one", "two"])  # wrong


async def ping(connection: ClientConnection) -> float:
    answer = await connection.ping(b"payload")
    latency: float = await answer
    wrong: float = await connection.ping()  # wrong
    return latency + wrong


async def everything() -> None:
    async with connect("ws://localhost/") as connection:
        await receive(connection)
    awaited = await connect("ws://localhost/")
    await receive(awaited)
    async for another in connect("ws://localhost/"):
        await receive(another)
        another.send_txt("text")  # wrong

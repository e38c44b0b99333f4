"""A client that sends a file and gets it back, neither side holding all of it in memory.

It is one message in many fragments. The server runs in this process, too.
"""

import asyncio
import hashlib
import os
import sys
import tempfile

from tidegate import connect, serve

SIZE = 64 * 1024


async def send_back(websocket):
    # What comes in goes out, fragment by fragment.
    await websocket.send(websocket.recv_streaming())


async def pieces(path):
    with open(path, "rb") as file:
        while data := await asyncio.to_thread(file.read, SIZE):
            yield data


async def main(path):
    # A message may be of any size, a fragment may not.
    async with serve(send_back, "localhost", 0, max_size=(None, SIZE)) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://localhost:{port}/", max_size=(None, SIZE)) as websocket:
            # The file comes back while it is on its way, so someone has to take it.
            sending = asyncio.create_task(websocket.send(pieces(path)))
            digest = hashlib.sha256()
            async for data in websocket.recv_streaming():
                digest.update(data)
            await sending
    print(digest.hexdigest())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(sys.argv[1]))
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(os.urandom(10_000_000))
            file.flush()
            asyncio.run(main(file.name))

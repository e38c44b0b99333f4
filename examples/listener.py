"""An echo server of callbacks."""

import asyncio

from tidegate import Listener, serve


class Echo(Listener):
    def on_message(self, message):
        self.connection.send_nowait(message)


async def main(port=8765):
    async with serve(Echo, "localhost", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

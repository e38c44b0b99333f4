"""The servers with a thread for each connection, all with default settings and the same handler."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from . import common


def handler(connection: Any) -> None:
    for message in connection:
        connection.send(message)


def main() -> None:
    library: Any = importlib.import_module(f"{sys.argv.pop(1)}.sync.server")
    options, _ = common.parse()
    with library.serve(handler, common.HOST, options.port, ssl=options.tls) as server:
        print("ready", server.socket.getsockname()[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()

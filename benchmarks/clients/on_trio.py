"""The clients on trio, all with default settings but without compression."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import trio

from . import common
from .coroutine import roundtrip, upload


def main() -> None:
    library: Any = importlib.import_module(f"{sys.argv.pop(1)}.trio.client")
    task = common.parse()

    async def work() -> None:
        options = {"ssl": task.context, "compression": None, "proxy": None}
        async with library.connect(task.url, **options) as connection:
            await (roundtrip if task.operation == "roundtrip" else upload)(connection, task)
            task.print_figures()

    trio.run(work)


if __name__ == "__main__":
    main()

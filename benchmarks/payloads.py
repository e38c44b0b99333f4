"""JSON messages as a feed of an exchange sends them: alike, and never the same."""

from __future__ import annotations

import json
import random
from pathlib import Path


def write_json_messages(path: Path, size: int, count: int = 256) -> None:
    """Write ``count`` lines of JSON, each at most ``size`` bytes and near to it."""
    numbers = random.Random(size)
    symbols = [
        f"{base}-{quote}" for base in ("BTC", "ETH", "SOL", "XRP") for quote in ("USD", "EUR")
    ]
    lines = []
    for sequence in range(count):
        trades: list[dict[str, object]] = []
        message = {"channel": "trades", "sequence": 81_000_000 + sequence, "data": trades}
        line = json.dumps(message)
        while True:
            trades.append(
                {
                    "symbol": numbers.choice(symbols),
                    "side": numbers.choice(("buy", "sell")),
                    "price": round(numbers.uniform(100, 60_000), 2),
                    "amount": round(numbers.expovariate(2), 6),
                    "id": numbers.getrandbits(40),
                    "time": 1_760_000_000_000 + sequence * 137 + numbers.randrange(100),
                }
            )
            longer = json.dumps(message)
            if len(longer) > size:
                break
            line = longer
        lines.append(line)
    path.write_text("\n".join(lines) + "\n")

"""Asks a database, with the client of SurrealDB, from several threads."""

import json
import sys
import threading

import websockets
from surrealdb import Surreal

result = {"websockets": websockets.__name__, "answers": []}
with Surreal(sys.argv[1].rstrip("/")) as database:
    database.use("harbour", "tides")
    threads = [
        threading.Thread(
            target=lambda n=n: result["answers"].append(database.query("high", {"n": n}))
        )
        for n in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result["large"] = len(database.query("large"))
result["answers"].sort()
print(json.dumps(result))

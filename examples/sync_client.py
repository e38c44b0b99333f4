"""A client for programs without an event loop, for example to sync_server.py."""

from tidegate.sync.client import connect


def main(uri="ws://localhost:8765/"):
    with connect(uri) as websocket:
        websocket.send("Hello, world!")
        print(websocket.recv(timeout=5))


if __name__ == "__main__":
    main()

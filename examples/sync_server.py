"""A server for programs without an event loop: each connection has a thread."""

import signal

from tidegate.sync.server import serve


def echo(websocket):
    for message in websocket:
        websocket.send(message)


def main(port=8765):
    with serve(echo, "localhost", port) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop_listening())
        server.serve_forever()


if __name__ == "__main__":
    main()

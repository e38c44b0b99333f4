"""A client without an event loop that stays connected, or gives up after five failures in a row."""

from tidegate import ConnectionClosed
from tidegate.sync.client import reconnect


def show(event):
    print(f"{event.state}, attempt {event.attempt}", event.exception or "")


def main(uri="ws://localhost:8765/"):
    for websocket in reconnect(uri, reconnect_limit=5, on_event=show):
        try:
            websocket.send("Any news?")
            for message in websocket:
                print(message)
        except ConnectionClosed:
            continue


if __name__ == "__main__":
    main()

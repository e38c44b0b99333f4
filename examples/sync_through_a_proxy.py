"""A client without an event loop that goes through a proxy, and tells how that went."""

from tidegate import ProxyError
from tidegate.sync.client import connect


def main(uri="wss://example.com/", proxy="http://proxy.example:3128", **arguments):
    try:
        with connect(uri, proxy=proxy, **arguments) as websocket:
            websocket.send("Hello out there!")
            print(websocket.recv(timeout=5))
            print("by way of", websocket.proxy.route)
    except ProxyError as exc:
        # It says which proxy, which step failed, and what to try.
        print(exc)


if __name__ == "__main__":
    main()

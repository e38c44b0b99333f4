"""A relay between a client and a server, which does to their bytes what networks do."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

# What is waited for comes, or never.
PATIENCE = 20


class Fault:
    """What is done to the bytes of one direction; by itself nothing.

    Args:
        after: how many bytes pass before that.

    """

    def __init__(self, after: int = 0) -> None:
        self.after = after
        self.passed = 0

    def forward(self, data: bytes, sink: socket.socket, relay: Relay) -> bool:
        """Send on what has come; False if nothing passes any more."""
        room = self.after - self.passed
        before, behind = data[: max(room, 0)], data[max(room, 0) :]
        sink.sendall(before)
        self.passed += len(before)
        return not behind or self.strike(behind, sink, relay)

    def strike(self, data: bytes, sink: socket.socket, relay: Relay) -> bool:
        """Do it, with the bytes behind."""
        sink.sendall(data)
        return True


class Split(Fault):
    """Send each byte apart."""

    def strike(self, data, sink, relay):
        for i in range(len(data)):
            sink.sendall(data[i : i + 1])
        return True


class Coalesce(Fault):
    """Hold bytes back until there are many, or no more come for a moment."""

    def strike(self, data, sink, relay):
        with contextlib.suppress(TimeoutError):
            while len(data) < 65536:
                more = relay.receive(self, 0.005)
                if not more:
                    break
                data += more
        sink.sendall(data)
        return True


class Delay(Fault):
    """Let some time pass before each piece."""

    def strike(self, data, sink, relay):
        for i in range(0, len(data), 3000):
            time.sleep(0.002)
            sink.sendall(data[i : i + 3000])
        return True


class Stall(Fault):
    """Let nothing through any more, until the connection ends."""

    def strike(self, data, sink, relay):
        relay.struck.set()
        relay.over.wait(PATIENCE)
        return False


class Reset(Fault):
    """Reset both connections."""

    def strike(self, data, sink, relay):
        relay.reset()
        return False


class HalfClose(Fault):
    """End the stream of this direction."""

    def strike(self, data, sink, relay):
        relay.struck.set()
        sink.shutdown(socket.SHUT_WR)
        relay.over.wait(PATIENCE)
        return False


class Relay:
    """A relay for connections, one at a time: a context manager.

    Args:
        target: address of the server.
        up: what is done to bytes from the client.
        down: what is done to bytes from the server.

    """

    def __init__(self, target, up: Fault | None = None, down: Fault | None = None) -> None:
        self.target = target[:2]
        self.faults = up or Fault(), down or Fault()
        self.struck = threading.Event()
        self.over = threading.Event()
        self.sources: dict[Fault, socket.socket] = {}
        self.ends: list[socket.socket] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> Relay:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.start(self.accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        # Closing doesn't wake whoever waits in these.
        for sock in [self.listener, *self.ends]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for sock in [self.listener, *self.ends]:
            sock.close()

    def start(self, function, *args) -> None:
        thread = threading.Thread(target=function, args=args)
        self.threads.append(thread)
        thread.start()

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target, PATIENCE)
                self.ends += client, server
                for sock in (client, server):
                    sock.settimeout(PATIENCE)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.start(self.pump, client, server, self.faults[0])
                self.start(self.pump, server, client, self.faults[1])

    def receive(self, fault: Fault, timeout: float) -> bytes:
        """Receive more of a direction."""
        source = self.sources[fault]
        source.settimeout(timeout)
        try:
            return source.recv(65536)
        finally:
            source.settimeout(PATIENCE)

    def pump(self, source: socket.socket, sink: socket.socket, fault: Fault) -> None:
        self.sources[fault] = source
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not fault.forward(data, sink, self):
                    return
            sink.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Reset both connections."""
        self.struck.set()
        for sock in self.ends:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # The other direction's thread waits in it: this wakes it, and the reset follows.
                sock.shutdown(socket.SHUT_RD)
                sock.close()

"""A connected socket in the poller, with the methods of an asyncio transport."""

from __future__ import annotations

import asyncio
import asyncio.trsock
import collections
import contextvars
import errno
import os
import socket
from typing import TYPE_CHECKING, Any

from ...wire.writer import as_bytes
from ..channel import Channel
from ..hub import get_hub
from ..sink import Layer, Sink

try:
    import cython
except ImportError:
    from ... import _cython as cython

if not cython.compiled:
    from ..hub import BUFFER_SIZE, HEADROOM
    from .syscalls import receive, transmit

if TYPE_CHECKING:
    from collections.abc import Iterable


# EPOLLIN, EPOLLOUT and EPOLLRDHUP; errors and hang-ups are reported without asking.
READABLE = 0x1
WRITABLE = 0x4
ERROR = 0x8
LEFT = 0x2000

# The limits of the write buffer, if nobody sets others, as asyncio has them.
DEFAULT_HIGH = 64 * 1024

compiled = cython.compiled

# How many pieces are written at once.
MOST_PIECES = 64

# How often a connection is read, a full buffer each time, that has broken.
MOST_READS = 16


class PollTransport(Sink):
    """A transport for a connected socket; see `asyncio.Transport`.

    Args:
        loop: the event loop.
        sock: connected socket.
        protocol: an `asyncio.BufferedProtocol` or `asyncio.Protocol`, or a `Layer`.
        peername: the remote address.
        poller: the poller of the loop.
        context: what its callbacks run in; a copy of the current one by default.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: Any,
        peername: Any,
        poller: Any,
        context: contextvars.Context | None = None,
    ) -> None:
        self.loop = loop
        self.hub = get_hub(loop)
        self.poller = poller
        self.sock: Any = sock
        self.fd = sock.fileno()
        self.peername = peername
        self.context = contextvars.copy_context() if context is None else context
        # Whether it is known that the peer has left, behind what isn't read.
        self.left = False
        self.sockname: Any = None
        self.backlog: Any = None
        self.pending = 0
        self.high = DEFAULT_HIGH
        self.low = DEFAULT_HIGH // 4
        self.writing_paused = False
        self.reading = True
        # Whether the other side has ended the stream.
        self.at_end = False
        self.closing = False
        self.ending = False
        # Why nothing can be written any more, until what came before that is read.
        self.broken: OSError | None = None
        self.lost = False
        self.registered = 0
        self.protocol: Any = protocol
        self.channel: Channel | None = protocol if isinstance(protocol, Channel) else None
        self.layer: Layer | None = protocol if isinstance(protocol, Layer) else None
        poller.begin_use()

    # An accepted socket has the options of that which listens, see `ListeningSocket`; one that was
    # connected has got them, see `dialling`.
    has_options = True

    def start(self) -> None:
        """Introduce the protocol, and begin to read."""
        try:
            self.protocol.connection_made(self)
        except Exception as exc:
            self.protocol_failed(exc, "connection_made()")
            return
        self.update()

    # What becomes ready

    def update(self) -> None:
        """Watch what is to be watched."""
        mask = 0
        if not self.lost:
            if self.reading and not self.closing and not self.at_end:
                mask = READABLE
            elif not self.left and not self.at_end and self.wants_to_know():
                # That the peer is gone is seen without reading.
                mask = LEFT
            if self.backlog:
                mask |= WRITABLE
        if mask != self.registered:
            before = self.registered
            self.registered = mask
            self.poller.watch(self.fd, self, before, mask)

    def wants_to_know(self) -> bool:
        """Whether the protocol has to be told that the peer is gone, behind what isn't read."""
        return self.channel is not None or self.layer is not None

    def handle_events(self, mask: int) -> None:
        """Read and write what can be read and written."""
        if mask & WRITABLE and self.backlog:
            self.write_ready()
        if mask & ~WRITABLE and not self.lost:
            if self.reading and not self.closing and not self.at_end:
                self.read_ready()
            elif mask & ERROR:
                self.fail(self.error())
            elif mask & LEFT and not self.left:
                self.left = True
                self.update()
                if self.wants_to_know():
                    self.protocol.peer_ended()
            elif self.backlog and mask & ~(WRITABLE | READABLE):
                # An error, which only writing would find.
                self.write_ready()

    def read_ready(self) -> None:
        """Read, and give the protocol what came."""
        if self.layer is not None:
            self.read_for_layer()
            return
        channel = self.channel
        shared = channel is not None and channel.can_share()
        data: bytes | None = None
        view: Any = None
        if not shared and self.is_buffered():
            try:
                view = buffer_of(self.protocol)
            except Exception as exc:
                self.protocol_failed(exc, "get_buffer()")
                return
        try:
            if shared:
                assert channel is not None
                n = receive(self.sock, self.fd, channel.hub.buffer, HEADROOM, BUFFER_SIZE)
                if n < 0:
                    return
            elif view is not None:
                n = self.sock.recv_into(view)
            else:
                data = self.sock.recv(BUFFER_SIZE)
                n = len(data)
        except BlockingIOError:
            return
        except OSError as exc:
            self.fail(exc)
            return
        try:
            if not n:
                self.receive_eof()
            elif data is not None:
                self.protocol.data_received(data)
            elif shared and not channel.opening:  # type: ignore[union-attr]
                # What buffer_updated() does, without a Python call.
                channel.receive_shared(n)  # type: ignore[union-attr]
                channel.changed()  # type: ignore[union-attr]
            else:
                self.protocol.buffer_updated(n)
        except Exception as exc:
            self.protocol_failed(exc, "receiving" if n else "eof_received()")

    def read_for_layer(self) -> None:
        """Read, and give the layer above what came."""
        layer = self.layer
        assert layer is not None
        try:
            n = receive(self.sock, self.fd, self.hub.get_cipher(), 0, BUFFER_SIZE)
            if n < 0:
                return
        except OSError as exc:
            self.fail(exc)
            return
        if n:
            layer.take_in(n)
        else:
            self.receive_eof()

    def receive_eof(self) -> None:
        """Take note of the end of the stream."""
        self.at_end = True
        if self.broken is not None:
            self.fail(self.broken)
            return
        if self.protocol.eof_received():
            self.update()
        else:
            self.close()

    def is_buffered(self) -> bool:
        """Whether the protocol gives the buffers to receive into."""
        return isinstance(self.protocol, asyncio.BufferedProtocol)

    def write_ready(self) -> None:
        """Write what waits."""
        backlog = self.backlog
        try:
            while backlog:
                data = backlog[0]
                n = self.sock.send(data)
                self.pending -= n
                if n < len(data):
                    backlog[0] = memoryview(data)[n:]
                    break
                backlog.popleft()
        except BlockingIOError:
            return
        except OSError as exc:
            self.writing_failed(exc)
            return
        if self.writing_paused and self.pending <= self.low:
            self.writing_paused = False
            try:
                self.protocol.resume_writing()
            except Exception as exc:
                tell(self.loop, self, self.protocol, exc, "protocol.resume_writing() failed")
        if not self.backlog:
            self.update()
            if self.closing:
                self.lose(None)
            elif self.ending:
                self.shut_down()

    # Ends

    def error(self) -> OSError:
        """Give the error that the socket has."""
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.ECONNRESET
        return OSError(number, os.strerror(number))

    def fail(self, exc: Any) -> None:
        """End the connection because of an error of the network, or of the layer above."""
        self.reading = False
        self.lose(exc)

    def writing_failed(self, exc: OSError) -> None:
        """End the connection because nothing can be written any more.

        What the other side has sent before that is read first: it may say why, such as an alert of
        TLS or a close frame, behind which the connection was reset.
        """
        if not self.reading or self.closing or self.at_end:
            self.fail(exc)
            return
        self.broken = exc
        self.backlog = None
        self.pending = 0
        self.update()
        # Not in the middle of what the protocol does.
        self.loop.call_soon(self.read_last, context=self.context)

    def read_last(self) -> None:
        """Read what came before the connection broke, and end it."""
        for _ in range(MOST_READS):
            if self.lost or not self.reading or self.closing:
                break
            self.read_ready()
        if not self.lost:
            self.fail(self.broken)

    def protocol_failed(self, exc: Exception, where: str) -> None:
        """End the connection because of an error of the protocol."""
        tell(self.loop, self, self.protocol, exc, f"Fatal error: protocol failed: {where}")
        self.reading = False
        self.lose(exc)

    def lose(self, exc: Exception | None) -> None:
        """Say goodbye, in the next turn of the loop."""
        if self.lost:
            return
        self.lost = True
        self.closing = True
        self.backlog = None
        self.pending = 0
        self.update()
        self.loop.call_soon(self.connection_lost, exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say goodbye."""
        protocol, self.protocol = self.protocol, None
        self.channel = None
        self.layer = None
        try:
            protocol.connection_lost(exc)
        finally:
            if self.sockname is None:
                self.sockname = self.get_extra_info("sockname")
            self.sock.close()
            self.sock = None
            self.poller.end_use()

    # asyncio.Transport

    def set_protocol(self, protocol: Any) -> None:
        """Give the connection to another protocol."""
        self.protocol = protocol
        self.channel = protocol if isinstance(protocol, Channel) else None
        self.layer = protocol if isinstance(protocol, Layer) else None

    def get_protocol(self) -> Any:
        """The protocol."""
        return self.protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known: ``peername``, ``sockname``, ``socket``."""
        if name == "peername":
            return self.peername
        if name == "sockname":
            if self.sockname is None and self.sock is not None:
                try:
                    self.sockname = self.sock.getsockname()
                except OSError:
                    return default
            return self.sockname
        if name == "socket" and self.sock is not None:
            return asyncio.trsock.TransportSocket(self.sock)
        return default

    def is_closing(self) -> bool:
        """Whether the connection is being closed, or is closed."""
        return self.closing or self.broken is not None

    def close(self) -> None:
        """Close the connection when all is written."""
        if not self.closing:
            self.closing = True
            if self.backlog:
                self.update()
            else:
                self.lose(None)

    def abort(self) -> None:
        """Close the connection now."""
        self.lose(None)

    def is_reading(self) -> bool:
        """Whether it reads."""
        return self.reading and not self.closing

    def pause_reading(self) -> None:
        """Don't read."""
        if self.reading:
            self.reading = False
            self.update()

    def resume_reading(self) -> None:
        """Read again."""
        if not self.reading and not self.closing:
            self.reading = True
            self.update()

    def write(self, data: Any) -> None:
        """Write bytes, now or when there is room."""
        if self.ending:
            raise RuntimeError("Cannot call write() after write_eof()")
        if type(data) is not bytes:
            data = as_bytes(data)
        if data and not self.lost:
            self.write_now(data)

    def write_now(self, data: bytes) -> None:
        """Write bytes, now or when there is room."""
        if self.lost or self.ending or self.broken is not None:
            return
        if not self.backlog:
            try:
                n = transmit(self.sock, self.fd, data)
            except OSError as exc:
                self.writing_failed(exc)
                return
            if n == len(data):
                return
            self.wait(memoryview(data)[n:] if n > 0 else data)
        else:
            self.wait(data)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write several pieces of bytes without joining them."""
        if self.ending:
            raise RuntimeError("Cannot call writelines() after write_eof()")
        pieces = [as_bytes(line) for line in lines]
        if self.lost or self.broken is not None:
            return
        n = 0
        if not self.backlog:
            try:
                n = self.sock.sendmsg(pieces[:MOST_PIECES])
            except BlockingIOError:
                pass
            except OSError as exc:
                self.writing_failed(exc)
                return
        for piece in pieces:
            if n >= len(piece):
                n -= len(piece)
            else:
                self.wait(memoryview(piece)[n:] if n else piece)
                n = 0

    def wait(self, data: Any) -> None:
        """Write bytes when there is room."""
        if self.lost:
            return
        if self.backlog is None:
            self.backlog = collections.deque()
        self.backlog.append(data)
        self.pending += len(data)
        self.update()
        self.pause_if_full()

    def pause_if_full(self) -> None:
        """Tell the protocol if more waits than the limit."""
        if self.pending > self.high and not self.writing_paused:
            self.writing_paused = True
            try:
                self.protocol.pause_writing()
            except Exception as exc:
                tell(self.loop, self, self.protocol, exc, "protocol.pause_writing() failed")

    def can_write_eof(self) -> bool:
        """Sockets have a half-close."""
        return True

    def write_eof(self) -> None:
        """End the stream in this direction, when all is written."""
        if not self.ending and not self.closing:
            self.ending = True
            if not self.backlog:
                self.shut_down()

    def shut_down(self) -> None:
        """End the stream in this direction."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            # The connection is gone, which reading finds, too.
            pass

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be written."""
        return self.pending

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The limits of flow control, low and high, in bytes."""
        return self.low, self.high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of flow control, in bytes."""
        if high is None:
            high = DEFAULT_HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self.high = high
        self.low = low
        self.pause_if_full()


def buffer_of(protocol: Any) -> Any:
    """Give the buffer that a protocol has for what is received.

    Raises:
        RuntimeError: if it is empty.

    """
    view = protocol.get_buffer(-1)
    if not len(view):
        # Nothing received into it would look like the end of the stream.
        raise RuntimeError("get_buffer() returned an empty buffer")
    return view


def tell(
    loop: asyncio.AbstractEventLoop, transport: Sink, protocol: Any, exc: Exception, message: str
) -> None:
    """Tell the event loop of an error of a protocol."""
    loop.call_exception_handler(
        {"message": message, "exception": exc, "transport": transport, "protocol": protocol}
    )

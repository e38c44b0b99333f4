"""A poller inside the event loop: many plain connections behind one descriptor of the loop.

An event loop spends as much on finding out that a connection is ready and on calling its transport
as a message costs otherwise. So on Linux the server's plain connections (TCP and Unix sockets, no
TLS) stand in an epoll set of their own, whose descriptor is registered with the loop; one callback
of the loop then serves all that are ready.

The transports behave as asyncio's own do.
"""

from __future__ import annotations

import asyncio
import asyncio.trsock
import collections
import contextvars
import errno
import os
import select
import socket
from typing import TYPE_CHECKING, Any

from ..wire.writer import as_bytes
from .channel import Channel
from .hub import get_hub
from .sink import Sink

try:
    import cython
except ImportError:
    from .. import _cython as cython

if not cython.compiled:
    from ..wire.kernels import monotonic
    from .hub import BUFFER_SIZE, HEADROOM
    from .syscalls import event_fd, event_mask, new_events, poll_events, receive, transmit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# EPOLLIN, EPOLLOUT and EPOLLRDHUP; errors and hang-ups are reported without asking.
READABLE = 0x1
WRITABLE = 0x4
ERROR = 0x8
LEFT = 0x2000

# How many connections are served at once, and how often, before the event loop gets its turn.
MOST_EVENTS = 64
MOST_ROUNDS = 4
MANY_EVENTS = 4

# How long they may be served before that, in seconds.
MOST_TIME = 0.001

# How long no connection is accepted when there are no descriptors left, in seconds.
ACCEPT_DELAY = 1.0
NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

DEFAULT_HIGH = 64 * 1024

available = hasattr(select, "epoll")
compiled = cython.compiled


class Poller:
    """The epoll set of one event loop. It exists as long as somebody uses it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.epoll = select.epoll()
        self.fd = self.epoll.fileno()
        # Descriptor -> who has it: a transport or a listener.
        self.targets: dict[int, Any] = {}
        self.events = new_events(MOST_EVENTS)
        self.users = 0
        loop.add_reader(self.fd, self.ready)

    def begin_use(self) -> None:
        """Take note of one more user."""
        self.users += 1

    def end_use(self) -> None:
        """Take note of one user less; with the last, the poller ends."""
        self.users -= 1
        if self.users == 0:
            get_hub(self.loop).poller = None
            if not self.loop.is_closed():
                self.loop.remove_reader(self.fd)
            self.epoll.close()

    def watch(self, fd: int, target: Any, before: int, mask: int) -> None:
        """Have ``target.handle`` called when a descriptor is ready.

        Args:
            fd: descriptor.
            target: who is called.
            before: what was watched until now.
            mask: what to watch from now on.

        """
        # A descriptor with nothing to watch would still report errors, again and again.
        if mask == before:
            return
        if not mask:
            del self.targets[fd]
            self.epoll.unregister(fd)
        elif before:
            self.epoll.modify(fd, mask)
        else:
            self.targets[fd] = target
            self.epoll.register(fd, mask)

    def ready(self) -> None:
        """Serve the connections that are ready."""
        self.serve_ready()

    def serve_ready(self) -> None:
        """Serve the connections that are ready."""
        # Where many are ready, others become ready while they are served, and looking again costs
        # less than a turn of the event loop. Its other callbacks have to get their turn, too.
        n = MANY_EVENTS
        begun = monotonic()
        for _ in range(MOST_ROUNDS):
            if n < MANY_EVENTS or not self.users or monotonic() - begun > MOST_TIME:
                break
            n = poll_events(self.events, self.epoll, self.fd, MOST_EVENTS)
            for i in range(n):
                fd = event_fd(self.events, i)
                mask = event_mask(self.events, i)
                # None if one of those before it closed it.
                target = self.targets.get(fd)
                if type(target) is PollTransport:
                    serve_within(as_transport(target), mask)
                elif target is not None:
                    target.handle(mask)


if not cython.compiled:

    def serve_within(transport: PollTransport, mask: int) -> None:
        """Serve a connection in the context that it belongs to."""
        transport.context.run(transport.handle_events, mask)


def as_transport(target: Any) -> PollTransport:
    """Tell the compiler what this is."""
    transport: PollTransport = target
    return transport


def get_poller(loop: asyncio.AbstractEventLoop) -> Poller:
    """Give the poller of an event loop, which is made if there is none."""
    hub = get_hub(loop)
    poller: Poller | None = hub.poller
    if poller is None:
        poller = hub.poller = Poller(loop)
    return poller


class PollTransport(Sink):
    """A transport for a connected socket; see `asyncio.Transport`.

    Args:
        loop: the event loop.
        sock: connected socket.
        protocol: an `asyncio.BufferedProtocol` or `asyncio.Protocol`.
        peername: the remote address.
        context: what its callbacks run in; a copy of the current one by default.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        protocol: Any,
        peername: Any,
        context: contextvars.Context | None = None,
    ) -> None:
        self.loop = loop
        self.poller = get_poller(loop)
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
        self.lost = False
        self.registered = 0
        self.protocol: Any = protocol
        self.channel: Channel | None = protocol if isinstance(protocol, Channel) else None
        self.poller.begin_use()

    # The options of an accepted socket are those of the one that listens (see Listener).
    inherits_options = True

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
            elif self.channel is not None and not self.left and not self.at_end:
                # That the peer is gone is seen without reading.
                mask = LEFT
            if self.backlog:
                mask |= WRITABLE
        if mask != self.registered:
            before = self.registered
            self.registered = mask
            self.poller.watch(self.fd, self, before, mask)

    def handle_events(self, mask: int) -> None:
        """Read and write what can be read and written."""
        if mask & WRITABLE and self.backlog:
            self.write_ready()
        if mask & ~WRITABLE and not self.lost:
            if self.reading and not self.closing and not self.at_end:
                self.read_ready()
            elif mask & ERROR:
                self.failed(self.error())
            elif mask & LEFT and not self.left:
                self.left = True
                self.update()
                if self.channel is not None:
                    self.channel.peer_ended()
            elif self.backlog and mask & ~(WRITABLE | READABLE):
                # An error, which only writing would find.
                self.write_ready()

    def read_ready(self) -> None:
        """Read, and give the protocol what came."""
        channel = self.channel
        shared = channel is not None and channel.can_share()
        data: bytes | None = None
        view: Any = None
        if not shared and self.is_buffered():
            try:
                view = self.protocol.get_buffer(-1)
                if not len(view):
                    # Nothing received into it would look like the end of the stream.
                    raise RuntimeError("get_buffer() returned an empty buffer")
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
            self.failed(exc)
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

    def receive_eof(self) -> None:
        """Take note of the end of the stream."""
        self.at_end = True
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
            self.failed(exc)
            return
        if self.writing_paused and self.pending <= self.low:
            self.writing_paused = False
            try:
                self.protocol.resume_writing()
            except Exception as exc:
                self.tell(exc, "protocol.resume_writing() failed")
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

    def failed(self, exc: Any) -> None:
        """End the connection because of an error of the network."""
        self.reading = False
        self.lose(exc)

    def protocol_failed(self, exc: Exception, where: str) -> None:
        """End the connection because of an error of the protocol."""
        self.tell(exc, f"Fatal error: protocol failed: {where}")
        self.reading = False
        self.lose(exc)

    def tell(self, exc: Exception, message: str) -> None:
        """Tell of an error of the protocol."""
        self.loop.call_exception_handler(
            {
                "message": message,
                "exception": exc,
                "transport": self,
                "protocol": self.protocol,
            }
        )

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
        return self.closing

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
        if self.lost or self.ending:
            return
        if not self.backlog:
            try:
                n = transmit(self.sock, self.fd, data)
            except OSError as exc:
                self.failed(exc)
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
        if self.lost:
            return
        n = 0
        if not self.backlog:
            try:
                n = self.sock.sendmsg(pieces[:MOST_EVENTS])
            except BlockingIOError:
                pass
            except OSError as exc:
                self.failed(exc)
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
                self.tell(exc, "protocol.pause_writing() failed")

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


class Listener:
    """A listening socket: accepts connections.

    Args:
        loop: the event loop.
        sock: bound socket.
        factory: makes the protocol of a connection.
        backlog: how many connections the operating system keeps, and how many are accepted at once.
        accepted: what takes the sockets of connections, and the addresses that they come from,
            instead; they don't use the poller then.

    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        factory: Callable[[], Any],
        backlog: int,
        accepted: Callable[[socket.socket, Any], object] | None = None,
    ) -> None:
        self.loop = loop
        self.sock = sock
        self.factory = factory
        self.backlog = backlog
        self.accepted = accepted
        self.context = contextvars.copy_context()
        self.poller: Poller | None = None
        self.watched = 0
        self.resumption: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Listen."""
        if self.sock.family in (socket.AF_INET, socket.AF_INET6):
            # Frames must not wait for the acknowledgement of earlier ones.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.sock.listen(self.backlog)
        self.poller = get_poller(self.loop)
        self.poller.begin_use()
        self.watch(READABLE)

    def watch(self, mask: int) -> None:
        """Accept connections, or don't."""
        assert self.poller is not None
        self.poller.watch(self.sock.fileno(), self, self.watched, mask)
        self.watched = mask

    def handle(self, mask: int) -> None:
        """Accept the connections that came."""
        for _ in range(self.backlog):
            try:
                sock, address = self.sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno not in NO_RESOURCES:
                    raise
                # Otherwise the socket would be ready, in vain, in each turn of the loop.
                self.loop.call_exception_handler(
                    {
                        "message": "socket.accept() out of system resource",
                        "exception": exc,
                        "socket": asyncio.trsock.TransportSocket(self.sock),
                    }
                )
                self.watch(0)
                self.resumption = self.loop.call_later(ACCEPT_DELAY, self.resume)
                return
            sock.setblocking(False)
            context = self.context.copy()
            if self.accepted is not None:
                context.run(self.accepted, sock, address)
            else:
                context.run(self.serve, sock, address, context)
            if self.watched == 0:
                return

    def serve(self, sock: socket.socket, address: Any, context: contextvars.Context) -> None:
        """Make the protocol and the transport of a connection."""
        try:
            protocol = self.factory()
        except Exception as exc:
            sock.close()
            self.loop.call_exception_handler(
                {
                    "message": "Error on transport creation for incoming connection",
                    "exception": exc,
                }
            )
        else:
            PollTransport(self.loop, sock, protocol, address, context).start()

    def resume(self) -> None:
        """Accept connections again."""
        self.resumption = None
        self.watch(READABLE)

    def close(self) -> None:
        """Stop listening."""
        if self.resumption is not None:
            self.resumption.cancel()
        if self.poller is not None:
            self.watch(0)
            self.poller.end_use()
            self.poller = None
        self.sock.close()

"""TLS on a transport of the poller, also on one that has TLS itself."""

from __future__ import annotations

import asyncio
import functools
import ssl
from typing import TYPE_CHECKING, Any

from ...core.tls import TLS, cut_off
from ...wire.writer import as_bytes
from ..channel import Channel
from ..hub import get_hub
from ..sink import Layer
from .transport import buffer_of, tell

try:
    import cython
except ImportError:
    from ... import _cython as cython

if not cython.compiled:
    from ...core.life import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .transport import PollTransport

# As in asyncio, in seconds.
HANDSHAKE_TIMEOUT = 60.0
SHUTDOWN_TIMEOUT = 30.0

# What a connection with TLS is about to do.
SHAKING = 0
TALKING = 1
SHUTTING = 2
LOST = 3


class TLSTransport(Layer):
    """A transport with TLS; see `asyncio.Transport`.

    Args:
        loop: the event loop.
        below: carries what is encrypted.
        context: how to do TLS.
        make_protocol: gives the protocol, when the handshake is done.
        over: told once how the handshake went, before the protocol is made: None, or why it failed.
        server_side: whether this is the server.
        server_hostname: the name in the server's certificate, for clients.
        peer: whom errors name.
        introduces: whether the protocol's ``connection_made`` is called.
        handshake_timeout: how long the handshake may take, in seconds.
        shutdown_timeout: how long the peer may take to end its stream as well, in seconds.

    """

    # See PollTransport.
    has_options = True

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        below: PollTransport | TLSTransport,
        context: ssl.SSLContext,
        make_protocol: Callable[[], Any],
        over: Callable[[BaseException | None], None],
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        peer: str = "the other side",
        introduces: bool = True,
        handshake_timeout: float | None = None,
        shutdown_timeout: float | None = None,
    ) -> None:
        self.loop = loop
        self.hub = get_hub(loop)
        self.below: Any = below
        self.sslcontext = context
        self.make_protocol: Any = make_protocol
        self.over: Any = over
        self.server_side = server_side
        self.server_hostname = server_hostname
        self.peer = peer
        self.introduces = introduces
        self.handshake_timeout = (
            HANDSHAKE_TIMEOUT if handshake_timeout is None else handshake_timeout
        )
        self.shutdown_timeout = SHUTDOWN_TIMEOUT if shutdown_timeout is None else shutdown_timeout
        self.state = SHAKING
        self.tls: TLS | None = None
        self.protocol: Any = None
        self.channel: Channel | None = None
        self.layer: Layer | None = None
        self.reading = True
        self.closing = False
        self.at_end = False
        self.timer_at = NEVER

    # The handshake

    def begin(self, data: bytes = b"") -> None:
        """Begin with the handshake.

        Args:
            data: what was received already.

        """
        self.below.set_protocol(self)
        self.hub.schedule(self, self.loop.time() + self.handshake_timeout)
        # A server needn't do anything for clients that are silent.
        if data or not self.server_side:
            self.take(data)

    def take_in(self, n: int) -> None:
        """Take what was received below into the hub's buffer for encrypted bytes."""
        self.take(memoryview(self.hub.get_cipher())[:n])

    def take(self, data: Any) -> None:
        """Take what was received below."""
        tls = self.tls
        if tls is None:
            try:
                tls = self.tls = TLS(
                    self.sslcontext,
                    server_side=self.server_side,
                    server_hostname=self.server_hostname,
                    peer=self.peer,
                )
            except Exception as exc:
                # Not the peer's fault, who asks for nothing special.
                if self.server_side:
                    message = "Error on transport creation for incoming connection"
                    tell(self.loop, self, None, exc, message)
                self.fail(exc)
                return
        tls.received(data)
        self.go_on()

    def go_on(self) -> None:
        """Do what can be done with what was received."""
        if self.state == SHAKING:
            self.shake()
        elif self.state == TALKING:
            self.deliver()
        elif self.state == SHUTTING:
            self.wait_for_end()

    def shake(self) -> None:
        """Go on with the handshake."""
        tls = self.tls
        assert tls is not None
        try:
            done = tls.handshake()
        except Exception as exc:
            # The other side learns why, if it is still there.
            self.fail(exc)
            return
        self.send_output()
        if not done or self.state != SHAKING:
            return
        self.state = TALKING
        self.timer_at = NEVER
        self.end_handshake(None)
        make_protocol, self.make_protocol = self.make_protocol, None
        try:
            self.set_protocol(make_protocol())
            if self.introduces:
                self.protocol.connection_made(self)
        except Exception as exc:
            self.protocol_failed(exc, "connection_made()")
            return
        if self.has_input():
            self.deliver()

    def end_handshake(self, exc: BaseException | None) -> None:
        """Tell how the handshake went, if that isn't known yet."""
        over, self.over = self.over, None
        if over is not None:
            over(exc)

    def timer_fired(self, when: float) -> None:
        """Give up the handshake, or waiting for the end."""
        if when != self.timer_at:
            return
        self.timer_at = NEVER
        if self.state == SHAKING:
            self.fail(
                ConnectionAbortedError(
                    f"{self.peer}: the TLS handshake took longer than"
                    f" {self.handshake_timeout:g} seconds"
                )
            )
        elif self.state == SHUTTING:
            self.below.abort()

    # Receiving

    def has_input(self) -> bool:
        """Whether something was received that isn't delivered, or the end."""
        tls = self.tls
        return tls is not None and (tls.has_input() or tls.ended)

    def deliver(self) -> None:
        """Decrypt what was received, and give it to the protocol."""
        tls = self.tls
        assert tls is not None
        while self.state == TALKING and self.reading and not tls.ended:
            channel = self.channel
            view: Any
            if channel is not None and channel.can_share():
                view = self.hub.view
            elif isinstance(self.protocol, asyncio.BufferedProtocol):
                channel = None
                try:
                    view = buffer_of(self.protocol)
                except Exception as exc:
                    self.protocol_failed(exc, "get_buffer()")
                    return
            else:
                # What was in there is decrypted from a copy.
                channel = None
                view = self.hub.get_cipher()
            try:
                n = tls.decrypt_into(view)
            except OSError as exc:
                self.fail(exc)
                return
            if not n:
                break
            try:
                if self.layer is not None:
                    self.layer.take_in(n)
                elif channel is None:
                    if isinstance(self.protocol, asyncio.BufferedProtocol):
                        self.protocol.buffer_updated(n)
                    else:
                        self.protocol.data_received(bytes(view[:n]))
                elif channel.opening:
                    self.protocol.buffer_updated(n)
                else:
                    # What buffer_updated() does, without a Python call.
                    channel.receive_shared(n)
                    channel.changed()
            except Exception as exc:
                self.protocol_failed(exc, "receiving")
                return
            if not tls.has_input():
                break
        if tls.outgoing.pending:
            self.send_output()
        if tls.ended and self.state == TALKING:
            if self.reading:
                self.receive_eof()
            else:
                self.peer_ended()

    def receive_eof(self) -> None:
        """Take note of the end of the stream."""
        if self.at_end:
            return
        self.at_end = True
        try:
            self.protocol.eof_received()
        except Exception as exc:
            self.protocol_failed(exc, "eof_received()")
            return
        # TLS has no half-close here, as in asyncio.
        self.close()

    # What the transport below calls

    def eof_received(self) -> None:
        """Take in the end of the stream, which may come without the end of TLS."""
        tls = self.tls
        if tls is None:
            self.fail(cut_off(self.peer))
            return
        tls.received_end()
        self.go_on()

    def peer_ended(self) -> None:
        """Take note that the peer has ended its stream, behind what is not read yet."""
        if self.state == TALKING and (self.channel is not None or self.layer is not None):
            self.protocol.peer_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that there is no connection any more."""
        self.state = LOST
        self.closing = True
        self.timer_at = NEVER
        self.make_protocol = None
        if self.over is not None:
            self.end_handshake(exc or cut_off(self.peer))
        protocol, self.protocol = self.protocol, None
        self.channel = None
        self.layer = None
        if protocol is not None:
            protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Have the protocol wait."""
        if self.protocol is not None:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Let the protocol go on."""
        if self.protocol is not None:
            self.protocol.resume_writing()

    # Ends

    def fail(self, exc: Any) -> None:
        """End the connection because of an error of the network, or of TLS."""
        self.closing = True
        self.send_output()
        if self.over is not None:
            self.end_handshake(exc)
        self.below.fail(exc)

    def protocol_failed(self, exc: Exception, where: str) -> None:
        """End the connection because of an error of the protocol."""
        message = f"Fatal error: protocol failed: {where}"
        tell(self.loop, self, self.protocol, exc, message)
        self.fail(exc)

    def close(self) -> None:
        """Close the connection when all is written, and when the peer has ended TLS as well."""
        if self.closing:
            return
        self.closing = True
        if self.state != TALKING:
            self.below.close()
            return
        self.state = SHUTTING
        tls = self.tls
        assert tls is not None
        try:
            # What is there would be an error to OpenSSL.
            self.discard()
            tls.close()
        except OSError:
            # There is no TLS any more that could end.
            tls.ended = True
        self.send_output()
        if tls.ended:
            self.below.close()
        else:
            self.hub.schedule(self, self.loop.time() + self.shutdown_timeout)
            self.below.resume_reading()

    def wait_for_end(self) -> None:
        """Close the connection if the peer has ended TLS, or broken it."""
        tls = self.tls
        assert tls is not None
        try:
            self.discard()
        except OSError:
            tls.ended = True
        if tls.ended:
            self.below.close()

    def discard(self) -> None:
        """Forget what the peer has sent, which nobody wants any more."""
        tls = self.tls
        assert tls is not None
        # Not the other buffer of the hub, which may be lent to a reader.
        scratch = self.hub.get_cipher()
        while tls.has_input() and tls.decrypt_into(scratch):
            pass

    def abort(self) -> None:
        """Close the connection now."""
        self.closing = True
        self.below.abort()

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
        """What is known: of TLS as in asyncio, the rest of the transport below."""
        if name == "sslcontext":
            return self.sslcontext
        if self.tls is not None:
            found = self.tls.object
            if name == "ssl_object":
                return found
            if name == "peercert":
                return found.getpeercert()
            if name == "cipher":
                return found.cipher()
            if name == "compression":
                return found.compression()
        return self.below.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Whether the connection is being closed, or is closed."""
        return self.closing or self.below.is_closing()

    def is_reading(self) -> bool:
        """Whether it reads."""
        return self.reading and not self.closing

    def pause_reading(self) -> None:
        """Don't read."""
        if self.reading:
            self.reading = False
            if self.state == TALKING:
                self.below.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self.reading and not self.closing:
            self.reading = True
            if self.has_input():
                # Not in the middle of what the protocol does.
                self.loop.call_soon(self.read_on)
            self.below.resume_reading()

    def read_on(self) -> None:
        """Deliver what was received before reading was paused."""
        if self.state == TALKING and self.reading:
            self.deliver()

    def write(self, data: Any) -> None:
        """Write bytes, now or when there is room."""
        if type(data) is not bytes:
            data = as_bytes(data)
        if data:
            self.write_now(data)

    def write_now(self, data: bytes) -> None:
        """Write bytes, now or when there is room."""
        if self.state != TALKING:
            return
        tls = self.tls
        try:
            tls.encrypt(data)  # type: ignore[union-attr]
        except OSError as exc:
            self.fail(exc)
            return
        self.below.write_now(tls.output())  # type: ignore[union-attr]

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write several pieces of bytes together."""
        pieces = [as_bytes(line) for line in lines]
        if self.state != TALKING:
            return
        tls = self.tls
        assert tls is not None
        try:
            for piece in pieces:
                tls.encrypt(piece)
        except OSError as exc:
            self.fail(exc)
            return
        self.send_output()

    def send_output(self) -> None:
        """Send what TLS itself has to say."""
        tls = self.tls
        if tls is not None and tls.outgoing.pending:
            self.below.write_now(tls.output())

    def can_write_eof(self) -> bool:
        """Transports with TLS have no half-close."""
        return False

    def write_eof(self) -> None:
        """Transports with TLS have no half-close."""
        raise NotImplementedError

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be written, encrypted."""
        n: int = self.below.get_write_buffer_size()
        return n

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The limits of flow control, low and high, in bytes."""
        limits: tuple[int, int] = self.below.get_write_buffer_limits()
        return limits

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of flow control, in bytes."""
        self.below.set_write_buffer_limits(high, low)


async def begin_tls(
    loop: asyncio.AbstractEventLoop,
    below: PollTransport | TLSTransport,
    protocol: Any,
    context: ssl.SSLContext,
    **kwargs: Any,
) -> TLSTransport:
    """Begin TLS on a transport.

    Args:
        loop: the event loop.
        below: the transport, on which nothing more may be waiting to be read.
        protocol: what is carried in TLS.
        context: how to do TLS.
        **kwargs: arguments of `TLSTransport`.

    Returns:
        The transport with TLS.

    Raises:
        ssl.SSLError: if the handshake fails.
        ConnectionError: if the connection ends meanwhile, or it takes too long.

    """
    waiter: asyncio.Future[None] = loop.create_future()
    over = functools.partial(settle, waiter)
    transport = TLSTransport(loop, below, context, lambda: protocol, over, **kwargs)
    try:
        transport.begin()
        await waiter
    except BaseException:
        transport.abort()
        raise
    finally:
        # The exception that they may hold refers to this frame.
        del waiter, over
    return transport


def settle(waiter: asyncio.Future[None], exc: BaseException | None) -> None:
    """Tell who waits how it went."""
    if waiter.done():
        return
    if exc is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(exc)


def check_timeouts(tls: dict[str, Any]) -> None:
    """Refuse time limits of TLS that leave no time.

    Raises:
        ValueError: if there is one.

    """
    for name in ("ssl_handshake_timeout", "ssl_shutdown_timeout"):
        timeout = tls.get(name)
        if timeout is not None and timeout <= 0:
            raise ValueError(f"{name} should be a positive number, got {timeout}")

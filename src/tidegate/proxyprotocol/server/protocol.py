"""The two ends of a relay: it takes a connection, opens another one, and begins that with a header.

What one end doesn't take isn't read from the other one, and one end may close its direction while
the other one goes on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from typing import TYPE_CHECKING, cast

from ..build import build_transport_result
from ..dnsbl import Dnsbl
from ..policy import Endpoints
from ..result import ProxyResult, ProxyResultUnknown, header_of, result_of
from ..sock import SocketInfo
from ..tlv import ProxyProtocolExtTLV, ProxyProtocolTLV
from . import Address

if TYPE_CHECKING:
    from ..base import ProxyProtocol

__all__ = ["DownstreamProtocol", "RelayLimits", "UpstreamProtocol"]

logger = logging.getLogger(__name__)


# How long an end may take to take what is left, when the other one is gone, in seconds.
CLOSE_TIMEOUT = 30.0


@dataclasses.dataclass(slots=True)
class RelayLimits:
    """What a relay puts up with, and what there is of it.

    Attributes:
        connections: how many connections there may be at a time; who comes then is turned away.
        connect_timeout: how long connecting to the target may take, in seconds.
        idle_timeout: after how many seconds without a byte in either direction a connection is
            closed; None for never.
        open: the connections that there are.
    """

    connections: int = 10_000
    connect_timeout: float = 10.0
    idle_timeout: float | None = 3600.0
    open: set[DownstreamProtocol] = dataclasses.field(default_factory=set, init=False, repr=False)


class End(asyncio.BufferedProtocol):
    """One end of a relay.

    Args:
        buf_len: how much is read at once, in bytes.
    """

    def __init__(self, buf_len: int) -> None:
        self._buffer = memoryview(bytearray(buf_len))
        self._transport: asyncio.Transport | None = None
        self.eof = False
        self.has_tls = False

    @property
    def transport(self) -> asyncio.Transport:
        """The transport."""
        assert self._transport is not None
        return self._transport

    @property
    def connected(self) -> bool:
        """Whether there is a transport."""
        return self._transport is not None

    @property
    def sock_info(self) -> SocketInfo:
        """Who is connected at this end."""
        return SocketInfo.get(self.transport, None)

    @property
    def other(self) -> End | None:
        """The other end, None while there is none."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.has_tls = transport.get_extra_info("ssl_object") is not None

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        # A transport may keep what it can't write, but the buffer is used again.
        self.proxy_data(bytes(self._buffer[:nbytes]))

    def proxy_data(self, data: bytes) -> None:
        """Pass on what was read at this end."""
        raise NotImplementedError

    def eof_received(self) -> bool:
        """Pass on that nothing more comes from this end; TLS can't go on then."""
        self.eof = True
        other = self.other
        if other is not None and other.connected:
            other.end_writing()
        return not self.has_tls and not (other is not None and other.eof)

    def end_writing(self) -> None:
        """Tell this end that nothing more comes, when it has taken everything."""
        if self.transport.can_write_eof() and not self.eof:
            try:
                self.transport.write_eof()
            except OSError:
                # It is gone, which reading finds as well.
                pass
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.connected:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.connected:
            self.other.transport.resume_reading()

    def close(self) -> None:
        """Close this end when it has taken everything, or takes too long for that."""
        if self._transport is not None and not self._transport.is_closing():
            if self._transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._transport.abort)
            self._transport.close()


class DownstreamProtocol(End):
    """The end of a relay that took a connection.

    Args:
        upstream_protocol: the class of the other end.
        loop: the event loop.
        buf_len: how much is read at once, in bytes.
        dnsbl: the blocklist to look up clients in.
        upstream: where to connect to.
        endpoints: who the client is, if a header says so.
        limits: what the relay puts up with.
    """

    def __init__(
        self,
        upstream_protocol: type[UpstreamProtocol],
        loop: asyncio.AbstractEventLoop,
        buf_len: int,
        dnsbl: Dnsbl,
        upstream: Address,
        endpoints: Endpoints | None = None,
        *,
        limits: RelayLimits | None = None,
    ) -> None:
        super().__init__(buf_len)
        self.upstream_protocol = upstream_protocol
        self.loop = loop
        self.buf_len = buf_len
        self.dnsbl = dnsbl
        self.upstream = upstream
        self.endpoints = endpoints
        self.limits = limits or RelayLimits()
        self.id = uuid.uuid4().bytes
        self._upstream: UpstreamProtocol | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._active = False
        self._early = b""

    @property
    def other(self) -> End | None:
        return self._upstream

    @property
    def sock_info(self) -> SocketInfo:
        header = None if self.endpoints is None else self.endpoints.header
        known = header is not None and header.source is not None
        result = result_of(header) if header is not None and known else None
        return SocketInfo.get(self.transport, result, unique_id=self.id)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.limits.open) >= self.limits.connections:
            logger.warning("[%s] Downstream connection refused: too many", self.id.hex())
            self.transport.abort()
            return
        self.limits.open.add(self)
        logger.info("[%s] Downstream connection received: %s", self.id.hex(), self.sock_info)
        # What the client sends waits with the operating system until it can be passed on.
        self.transport.pause_reading()
        self._task = self.loop.create_task(self._connect())

    async def _connect(self) -> None:
        """Find out about the client, connect to the target, and say to it who the client is."""
        upstream = self.upstream_protocol(self, self.buf_len, self.upstream.pp)
        host = self.upstream.host or "localhost"
        try:
            async with asyncio.timeout(self.limits.connect_timeout):
                dnsbl = await self.dnsbl.lookup(self.sock_info, loop=self.loop)
                await self.loop.create_connection(lambda: upstream, host, self.upstream.port or 0)
                upstream.write_header(dnsbl, self.result)
                if self.upstream.ssl is not None:
                    secured = await self.loop.start_tls(
                        upstream.transport, upstream, self.upstream.ssl, server_hostname=host
                    )
                    assert secured is not None
                    upstream.connection_made(secured)
        except BaseException as exc:
            if upstream.connected:
                upstream.transport.abort()
            self.transport.abort()
            if not isinstance(exc, OSError | ValueError):
                raise
            logger.error("[%s] Upstream connection failed: %r", self.id.hex(), exc)
            return
        self._upstream = upstream
        if self._early:
            upstream.transport.write(self._early)
            self._early = b""
        if self.limits.idle_timeout is not None:
            self._idle_timer = self.loop.call_later(self.limits.idle_timeout, self._look_idle)
        if self.eof:
            upstream.end_writing()
        else:
            self.transport.resume_reading()

    @property
    def result(self) -> ProxyResult:
        """What the header says that the other end begins with."""
        header = None if self.endpoints is None else self.endpoints.header
        if header is not None and header.source is not None:
            return result_of(header)
        return build_transport_result(self.transport, unique_id=self.id)

    def proxy_data(self, data: bytes) -> None:
        self.note_activity()
        if self._upstream is not None:
            self._upstream.transport.write(data)
        else:
            # uvloop begins to read after connection_made(), although it was told not to.
            self._early += data
            self.transport.pause_reading()

    def note_activity(self) -> None:
        """Take note of a byte in either direction."""
        self._active = True

    def _look_idle(self) -> None:
        assert self.limits.idle_timeout is not None
        if not self._active:
            logger.info("[%s] Connection closed: nothing happened", self.id.hex())
            self.transport.abort()
            return
        self._active = False
        self._idle_timer = self.loop.call_later(self.limits.idle_timeout, self._look_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self.limits.open.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        if self._task is not None:
            self._task.cancel()
        if self._upstream is not None:
            logger.info("[%s] Downstream connection closed", self.id.hex())
            self._upstream.close()


class UpstreamProtocol(End):
    """The end of a relay that opened a connection, and begins it with a header.

    Args:
        downstream: the other end.
        buf_len: how much is read at once, in bytes.
        pp: the version of the header.
    """

    def __init__(self, downstream: DownstreamProtocol, buf_len: int, pp: ProxyProtocol) -> None:
        super().__init__(buf_len)
        self.downstream = downstream
        self.pp = pp

    @property
    def other(self) -> End | None:
        return self.downstream

    def build_pp_header(self, dnsbl: str | None, result: ProxyResult) -> bytes:
        """Give the header.

        Args:
            dnsbl: what a blocklist says about the client.
            result: what else the header says.
        """
        header = header_of(result, 2)
        if dnsbl is not None:
            ext = ProxyProtocolExtTLV(init=result.tlv.ext, dnsbl=dnsbl)
            header = header.replace(tlvs=ProxyProtocolTLV(init=result.tlv, ext=ext).pairs)
        try:
            return self.pp.pack(result_of(header.portable()))
        except ValueError:
            # Version 1 can't say that the relay speaks for itself.
            return self.pp.pack(ProxyResultUnknown())

    def write_header(self, dnsbl: str | None, result: ProxyResult) -> None:
        """Send the header.

        Args:
            dnsbl: what a blocklist says about the client.
            result: what else the header says.
        """
        self.transport.write(self.build_pp_header(dnsbl, result))

    def proxy_data(self, data: bytes) -> None:
        self.downstream.note_activity()
        self.downstream.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.downstream.close()

"""One connection as a Sans-I/O state machine: bytes in, events and bytes out."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Any

from . import identity
from .exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidData,
    InvalidState,
    PayloadTooBig,
    ProtocolError,
)
from .frames import OK_CLOSE_CODES, Close, CloseCode, Frame, Opcode
from .headers import CREDENTIALS
from .http11 import Request, Response
from .imports import lazy_import
from .printable import printable
from .streams import StreamReader
from .utils import without_frames
from .wire.reader import FrameReader
from .wire.writer import FrameWriter, as_bytes

if TYPE_CHECKING:
    import uuid
    from collections.abc import Generator

    from .datastructures import Headers
    from .extensions.base import Extension
    from .typing import BytesLike, LoggerLike, Origin, Subprotocol

__all__ = ["SEND_EOF", "Protocol", "Side", "State"]

Event = Request | Response | Frame
"""What `Protocol.events_received` gives."""


class Side(enum.IntEnum):
    """Which end of the connection this is."""

    SERVER, CLIENT = range(2)


SERVER = Side.SERVER
CLIENT = Side.CLIENT


class State(enum.IntEnum):
    """How far the connection is (RFC 6455, sections 4 and 7)."""

    CONNECTING, OPEN, CLOSING, CLOSED = range(4)


CONNECTING = State.CONNECTING
OPEN = State.OPEN
CLOSING = State.CLOSING
CLOSED = State.CLOSED

STATES = tuple(State)

# Asked for once, because that takes a while.
LOGGERS = {side: logging.getLogger(f"{identity.loggers}.{side.name.lower()}") for side in Side}

# How much silence may be what made somebody in between cut a connection, in seconds.
LONG_SILENCE = 5.0

SEND_EOF = b""
"""Stands in `Protocol.data_to_send` where the stream must be ended (half-closed)."""


class Protocol:
    """A WebSocket connection without network.

    Give it what the network received with `receive_data` and `receive_eof`; after each call, take
    what happened from `events_received` and send what `data_to_send` gives. `close_expected` says
    whether to put a time limit on the end of the connection.

    Args:
        side: which end this is.
        state: `State.OPEN`, or `State.CONNECTING` before the opening handshake.
        max_size: limit on incoming messages in bytes, after decompression; a tuple ``(message,
            fragment)`` also limits frames; None is no limit.
        logger: where to log; the default is ``tidegate.client`` or ``tidegate.server``.

    """

    # What is seldom otherwise is in the class: CPython keeps the attributes of an instance without
    # a dictionary only if they are few.

    # Whether the log tells that a server's connection has ended.
    announces_end = True
    # Whether a connection that ends before its request is a load balancer's health check.
    checks_health = False
    # Whether a load balancer has said whose connection it is.
    announced = False
    # How long there was nothing before an end that nobody announced, in seconds, if known.
    silence: float | None = None

    def __init__(
        self,
        side: Side,
        *,
        state: State = OPEN,
        max_size: tuple[int | None, int | None] | int | None = 2**20,
        logger: LoggerLike | None = None,
    ) -> None:
        if logger is None:
            logger = LOGGERS[side]
        self.side = side
        self.logger: LoggerLike = logger
        self.debug = logger.isEnabledFor(logging.DEBUG)
        self.informs = self.debug or logger.isEnabledFor(logging.INFO)

        if isinstance(max_size, tuple):
            max_message_size, max_fragment_size = max_size
        else:
            max_message_size, max_fragment_size = max_size, None
        self.frame_reader = FrameReader(
            side is SERVER,
            -1 if max_message_size is None else max_message_size,
            -1 if max_fragment_size is None else max_fragment_size,
        )
        self.frame_writer = FrameWriter(side is CLIENT, state)
        if self.debug:
            self.frame_reader.log = self._log_received
            self.frame_writer.log = self._log_sent
        self._extensions: list[Extension] = []

        # Before the opening handshake is done, bytes go to a parser of HTTP/1.1 instead.
        self.reader: StreamReader | None = None
        self.parser: Generator[None] | None = None

        self._id: uuid.UUID | None = None
        self.origin: Origin | None = None
        self.subprotocol: Subprotocol | None = None

        self.close_rcvd: Close | None = None
        self.close_sent: Close | None = None
        self.close_rcvd_then_sent: bool | None = None

        # Why the opening handshake failed.
        self.handshake_exc: Exception | None = None
        # Why receiving ended, other than by a Close frame.
        self.parser_exc: Exception | None = None

        self.events: list[Event] = []
        # The faces turn this off, and take messages from the reader instead.
        self.frames_as_events = True
        self.eof_sent = False
        self.eof_received = False
        if self.debug:
            self.logger.debug("= connection is %s", state.name)

    # What can be known

    @property
    def id(self) -> uuid.UUID:
        """A unique identifier of the connection, for logs."""
        if self._id is None:
            import uuid

            self._id = uuid.uuid4()
        return self._id

    @id.setter
    def id(self, value: uuid.UUID) -> None:
        self._id = value

    @property
    def state(self) -> State:
        """How far the connection is."""
        return STATES[self.frame_writer.state]

    @state.setter
    def state(self, state: State) -> None:
        if self.debug:
            self.logger.debug("= connection is %s", state.name)
        self.frame_writer.state = int(state)

    @property
    def extensions(self) -> list[Extension]:
        """The extensions that were negotiated."""
        return self._extensions

    @extensions.setter
    def extensions(self, extensions: list[Extension]) -> None:
        self._extensions = extensions
        self.frame_reader.configure(extensions)
        self.frame_writer.configure(extensions)

    @property
    def max_message_size(self) -> int | None:
        """Limit on incoming messages, in bytes."""
        limit = self.frame_reader.max_message_size
        return None if limit < 0 else limit

    @max_message_size.setter
    def max_message_size(self, limit: int | None) -> None:
        self.frame_reader.max_message_size = -1 if limit is None else limit

    @property
    def max_fragment_size(self) -> int | None:
        """Limit on incoming frames, in bytes."""
        limit = self.frame_reader.max_frame_size
        return None if limit < 0 else limit

    @max_fragment_size.setter
    def max_fragment_size(self, limit: int | None) -> None:
        self.frame_reader.max_frame_size = -1 if limit is None else limit

    @property
    def current_size(self) -> int | None:
        """What was received of a message that is not complete, in bytes; None between messages."""
        return self.frame_reader.message_size if self.frame_reader.message_opcode else None

    @property
    def expect_continuation_frame(self) -> bool:
        """Whether a fragmented message is being sent."""
        return self.frame_writer.continuing

    @property
    def close_code(self) -> int | None:
        """The code of the Close frame that was received (RFC 6455, section 7.1.5).

        None before the connection is closed, 1006 if there was no Close frame.
        """
        if self.state is not CLOSED:
            return None
        return CloseCode.ABNORMAL_CLOSURE if self.close_rcvd is None else self.close_rcvd.code

    @property
    def close_reason(self) -> str | None:
        """The reason in the Close frame that was received (RFC 6455, section 7.1.6).

        None before the connection is closed, ``""`` if there was no Close frame.
        """
        if self.state is not CLOSED:
            return None
        return "" if self.close_rcvd is None else self.close_rcvd.reason

    @property
    def close_exc(self) -> ConnectionClosed:
        """The exception to raise when somebody wants to use the connection after its end.

        Raises:
            InvalidState: if the connection isn't closed yet.

        """
        if self.state is not CLOSED:
            raise InvalidState("connection isn't closed yet")
        ok = (
            self.close_rcvd is not None
            and self.close_sent is not None
            and self.close_rcvd.code in OK_CLOSE_CODES
            and self.close_sent.code in OK_CLOSE_CODES
        )
        kind = ConnectionClosedOK if ok else ConnectionClosedError
        exc = kind(self.close_rcvd, self.close_sent, self.close_rcvd_then_sent)
        exc.__cause__ = self.parser_exc
        if self.silence is not None and self.silence >= LONG_SILENCE:
            exc.remark = (
                f"the connection was cut after {self.silence:.0f} s of silence, by the other side"
                " or by somebody in between, such as a proxy; a ping_interval below that keeps it"
                " open"
            )
        return exc

    # Receiving

    def receive_data(self, data: bytes | bytearray) -> None:
        """Take in bytes that the network received.

        Whatever they hold, this doesn't raise: what is wrong with them shows in
        `data_to_send`, `events_received`, `handshake_exc` and `close_exc`.

        Raises:
            EOFError: if the end of the stream was received before.

        """
        if self.eof_received:
            raise EOFError("stream ended")
        if self.reader is not None:
            self.reader.feed_data(data)
            self.advance_handshake()
        else:
            self.frame_reader.feed(data)
            self.receive_frames()

    def receive_eof(self) -> None:
        """Take in the end of the stream. Doesn't raise."""
        self.eof_received = True
        if self.state is CLOSED:
            return
        told = self.side is SERVER and self.announces_end and not self.is_health_check()
        if self.reader is not None:
            self.reader.feed_eof()
            self.advance_handshake()
        elif self.close_rcvd is None and not self.frame_reader.stopped:
            self.parser_exc = EOFError(self.frame_reader.truncation())
        if self.debug:
            self.logger.debug("< EOF")
        self.frame_reader.stop()
        self.send_eof()
        self.state = CLOSED
        if told:
            self.logger.info("connection closed")
        # They refer to this object, which refers to them.
        self.frame_reader.log = self.frame_writer.log = None

    def is_health_check(self) -> bool:
        """Whether it only was to see if somebody is there: nobody wants to read about those.

        With version 1 of the PROXY protocol, a load balancer can't say so, but sends no request.
        """
        if self.parser is None:
            return False
        asked = self.reader is not None and bool(self.reader.buffer)
        return self.checks_health or (self.announced and not asked)

    def advance_handshake(self) -> None:
        """Let the parser of the opening handshake go on with what was received."""
        if self.parser is not None:
            try:
                next(self.parser)
            except StopIteration:
                self.parser = None

    def start_frames(self) -> None:
        """Go on with frames, the opening handshake being done."""
        self.parser = None
        reader, self.reader = self.reader, None
        if reader is not None and reader.buffer:
            self.frame_reader.feed(bytes(reader.buffer))

    def receive_frames(self) -> None:
        """Read the frames that were received completely, as events."""
        if not self.frames_as_events:
            return
        try:
            while (frame := self.frame_reader.next_frame_data()) is not None:
                opcode, data, fin = frame
                if opcode >= Opcode.CLOSE:
                    self.receive_control(opcode, data)
                self.events.append(Frame(Opcode(opcode), data, fin))
        except Exception as exc:
            self.receive_failed(exc)

    def receive_control(self, opcode: int, data: bytes) -> None:
        """Do what a control frame asks for.

        Raises:
            ProtocolError, UnicodeDecodeError: if a Close frame is malformed.

        """
        if self.debug:
            self._log_received(opcode, data, True)
        if opcode == Opcode.PING:
            # RFC 6455, section 5.5.2: answered unless a Close frame was received.
            self.write_control(Opcode.PONG, data)
        elif opcode == Opcode.CLOSE:
            self.close_rcvd = Close.parse(data)
            if self.state is OPEN:
                # RFC 6455, section 5.5.1: answered with the same code.
                self.close_sent = self.close_rcvd
                self.close_rcvd_then_sent = True
                self.write_control(Opcode.CLOSE, data)
                self.state = CLOSING
            elif self.close_rcvd_then_sent is None:
                self.close_rcvd_then_sent = False
            self.frame_reader.stop()
            if self.side is SERVER:
                # RFC 6455, section 7.1.1: the server closes the TCP connection first.
                self.send_eof()

    def receive_failed(self, exc: Exception) -> None:
        """Fail the connection because of what was received, which gave ``exc``."""
        if isinstance(exc, InvalidData):
            self.fail(CloseCode.INVALID_DATA, fitting_reason(str(exc)))
        elif isinstance(exc, ProtocolError):
            self.fail(CloseCode.PROTOCOL_ERROR, fitting_reason(str(exc)))
        elif isinstance(exc, UnicodeDecodeError):
            reason = f"{exc.reason} at position {exc.start}"
            self.fail(CloseCode.INVALID_DATA, fitting_reason(reason))
        elif isinstance(exc, PayloadTooBig):
            self.fail(CloseCode.MESSAGE_TOO_BIG, fitting_reason(str(exc)))
        else:
            # An extension of the program's own.
            self.logger.error("parser failed", exc_info=exc)
            self.fail(CloseCode.INTERNAL_ERROR)
        self.parser_exc = without_frames(exc)

    def events_received(self) -> list[Event]:
        """Take the events since the last call: requests, responses, frames."""
        events, self.events = self.events, []
        return events

    # Sending

    def send_continuation(self, data: BytesLike, fin: bool) -> None:
        """Send a continuation frame.

        Args:
            data: payload.
            fin: whether it ends the message.

        Raises:
            ProtocolError: if no fragmented message is being sent.
            InvalidState: if the connection isn't open.

        """
        if not self.frame_writer.continuing:
            raise ProtocolError("unexpected continuation frame")
        self._send_data(Opcode.CONT, data, fin)

    def send_text(self, data: BytesLike, fin: bool = True) -> None:
        """Send a text message, or the first frame of one.

        Args:
            data: text in UTF-8, or the beginning of it.
            fin: whether this is the whole message.

        Raises:
            ProtocolError: if a fragmented message is being sent.
            InvalidState: if the connection isn't open.

        """
        if self.frame_writer.continuing:
            raise ProtocolError("expected a continuation frame")
        self._send_data(Opcode.TEXT, data, fin)

    def send_binary(self, data: BytesLike, fin: bool = True) -> None:
        """Send a binary message, or the first frame of one.

        Args:
            data: payload.
            fin: whether this is the whole message.

        Raises:
            ProtocolError: if a fragmented message is being sent.
            InvalidState: if the connection isn't open.

        """
        if self.frame_writer.continuing:
            raise ProtocolError("expected a continuation frame")
        self._send_data(Opcode.BINARY, data, fin)

    def _send_data(self, opcode: Opcode, data: BytesLike, fin: bool) -> None:
        self._check_state(OPEN)
        self.frame_writer.write_data(opcode, data, fin, None)

    def _check_state(self, *states: State) -> None:
        """Raise InvalidState unless the state is one of these and the stream wasn't ended."""
        state = self.state
        if state not in states:
            raise InvalidState(f"connection is {state.name.lower()}")
        if self.eof_sent:
            raise InvalidState("end of stream was sent")

    def send_ping(self, data: BytesLike) -> None:
        """Send a Ping frame.

        Args:
            data: payload, 125 bytes at most.

        Raises:
            ProtocolError: if the payload is too long.
            InvalidState: if the connection is neither open nor closing, or the stream was ended.

        """
        self._send_control(Opcode.PING, data)

    def send_pong(self, data: BytesLike) -> None:
        """Send a Pong frame that nobody asked for.

        Args:
            data: payload, 125 bytes at most.

        Raises:
            ProtocolError: if the payload is too long.
            InvalidState: if the connection is neither open nor closing, or the stream was ended.

        """
        self._send_control(Opcode.PONG, data)

    def _send_control(self, opcode: Opcode, data: BytesLike) -> None:
        self._check_state(OPEN, CLOSING)
        self.write_control(opcode, data)

    def write_control(self, opcode: Opcode, data: BytesLike) -> None:
        """Write a control frame, whatever the state."""
        data = as_bytes(data)
        if len(data) > 125:
            raise ProtocolError("control frame too long")
        self.frame_writer.write_control(opcode, data)

    def send_close(self, code: CloseCode | int | None = None, reason: str = "") -> None:
        """Send a Close frame: begin the closing handshake.

        Args:
            code: why; None sends an empty frame.
            reason: the same for people, 123 bytes in UTF-8 at most.

        Raises:
            ProtocolError: if the code is not one that may be sent, the reason is too long, or there
                is a reason without a code.
            InvalidState: if the connection isn't open.

        """
        self._check_state(OPEN)
        if code is None:
            if reason:
                raise ProtocolError("cannot send a reason without a code")
            close = Close(CloseCode.NO_STATUS_RCVD, "")
            data = b""
        else:
            close = Close(code, reason)
            data = close.serialize()
        self.write_control(Opcode.CLOSE, data)
        self.close_sent = close
        self.state = CLOSING

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        """Fail the WebSocket connection (RFC 6455, section 7.1.7).

        Nothing more is received. Where it can be, a Close frame is sent.

        Args:
            code: why; 1006 sends no Close frame.
            reason: the same for people.

        Raises:
            ProtocolError: if the code isn't one that may be sent, or the reason is too long.

        """
        if self.state is OPEN and not self.eof_sent and code != CloseCode.ABNORMAL_CLOSURE:
            close = Close(code, reason)
            self.write_control(Opcode.CLOSE, close.serialize())
            self.close_sent = close
            # A message that was begun stays unfinished: the Close frame is control, hence legal.
            self.state = CLOSING
        if self.side is SERVER:
            self.send_eof()
        self.frame_reader.stop()

    def send_eof(self) -> None:
        """End the stream in this direction."""
        if not self.eof_sent:
            self.eof_sent = True
            self.frame_writer.append(SEND_EOF)
            if self.debug:
                self.logger.debug("> EOF")

    def data_to_send(self) -> list[bytes]:
        """Take what must be sent, in order; `SEND_EOF` stands for the end of the stream."""
        return self.frame_writer.take()

    def close_expected(self) -> bool:
        """Say whether the peer is expected to end the TCP connection soon.

        If it is, put a time limit on that, and abort the connection when it is over.
        """
        state = self.state
        return state is CLOSING or (state is CONNECTING and self.eof_sent)

    # Logging

    def log_headers(self, direction: str, headers: Headers) -> None:
        """Log the headers of a request or a response, without what lets somebody in.

        Args:
            direction: ``">"`` if they are sent, ``"<"`` if they were received.
            headers: the headers.

        """
        for name, value in headers.raw_items():
            # What a Set-Cookie header says now is what Cookie headers say later.
            if name.lower() in CREDENTIALS or name.lower() == "set-cookie":
                value = "***"
            self.logger.debug("%s %s: %s", direction, name, value)

    def _log_received(self, opcode: int, data: Any, fin: bool) -> None:
        self.logger.debug("< %s", Frame(Opcode(opcode), data, fin))

    def _log_sent(self, opcode: int, data: Any, fin: bool) -> None:
        self.logger.debug("> %s", Frame(Opcode(opcode), data, fin))


def fitting_reason(text: str) -> str:
    """Give ``text``, which may come from an extension of the program's own, fit for a Close frame.

    It has at most 123 bytes in UTF-8 then (RFC 6455, section 5.5), and no line ends.
    """
    data = printable(text).encode()
    if len(data) > 123:
        data = data[:120] + b"..."
    return data.decode(errors="ignore")


# What this module had before it was for connections without I/O.
lazy_import(
    globals(),
    deprecated_aliases={
        "WebSocketCommonProtocol": (
            ".legacy.protocol",
            "use tidegate.ClientConnection or tidegate.ServerConnection",
        ),
        "broadcast": (".legacy.protocol", "use tidegate.broadcast"),
        "CTRL_OPCODES": (".frames", "use tidegate.frames.CTRL_OPCODES"),
        "DATA_OPCODES": (".frames", "use tidegate.frames.DATA_OPCODES"),
        "OP_CONT": (".frames:CONT", "use tidegate.Opcode.CONT"),
        "OP_TEXT": (".frames:TEXT", "use tidegate.Opcode.TEXT"),
        "OP_BINARY": (".frames:BINARY", "use tidegate.Opcode.BINARY"),
        "OP_CLOSE": (".frames:CLOSE", "use tidegate.Opcode.CLOSE"),
        "OP_PING": (".frames:PING", "use tidegate.Opcode.PING"),
        "OP_PONG": (".frames:PONG", "use tidegate.Opcode.PONG"),
    },
)

"""Frames: what WebSocket messages are cut into (RFC 6455, section 5)."""

from __future__ import annotations

import codecs
import dataclasses
import enum
import os
import re
import struct
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, ClassVar

from .exceptions import InvalidReason, PayloadTooBig, ProtocolError
from .imports import lazy_import
from .printable import printable
from .typing import BytesLike
from .utils import apply_mask

if TYPE_CHECKING:
    from .extensions.base import Extension

__all__ = ["Close", "CloseCode", "Frame", "Opcode"]


class Opcode(enum.IntEnum):
    """What a frame is (RFC 6455, section 11.8)."""

    CONT, TEXT, BINARY = 0x00, 0x01, 0x02
    CLOSE, PING, PONG = 0x08, 0x09, 0x0A


CONT, TEXT, BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG

DATA_OPCODES = CONT, TEXT, BINARY
CTRL_OPCODES = CLOSE, PING, PONG


class CloseCode(enum.IntEnum):
    """Why a connection is closed (RFC 6455, section 7.4.1 and IANA's registry)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    # 1004 is reserved
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


CLOSE_CODE_EXPLANATIONS: dict[int, str] = {
    CloseCode.NORMAL_CLOSURE: "OK",
    CloseCode.GOING_AWAY: "going away",
    CloseCode.PROTOCOL_ERROR: "protocol error",
    CloseCode.UNSUPPORTED_DATA: "unsupported data",
    CloseCode.NO_STATUS_RCVD: "no status received [internal]",
    CloseCode.ABNORMAL_CLOSURE: "abnormal closure [internal]",
    CloseCode.INVALID_DATA: "invalid frame payload data",
    CloseCode.POLICY_VIOLATION: "policy violation",
    CloseCode.MESSAGE_TOO_BIG: "message too big",
    CloseCode.MANDATORY_EXTENSION: "mandatory extension",
    CloseCode.INTERNAL_ERROR: "internal error",
    CloseCode.SERVICE_RESTART: "service restart",
    CloseCode.TRY_AGAIN_LATER: "try again later",
    CloseCode.BAD_GATEWAY: "bad gateway",
    CloseCode.TLS_HANDSHAKE: "TLS handshake failure [internal]",
}

# The codes below 3000 that may stand in a Close frame; the others are for this side's use only.
EXTERNAL_CLOSE_CODES = frozenset(
    {
        CloseCode.NORMAL_CLOSURE,
        CloseCode.GOING_AWAY,
        CloseCode.PROTOCOL_ERROR,
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.INVALID_DATA,
        CloseCode.POLICY_VIOLATION,
        CloseCode.MESSAGE_TOO_BIG,
        CloseCode.MANDATORY_EXTENSION,
        CloseCode.INTERNAL_ERROR,
        CloseCode.SERVICE_RESTART,
        CloseCode.TRY_AGAIN_LATER,
        CloseCode.BAD_GATEWAY,
    }
)

# The codes that both sides may send without either having a reason to complain.
OK_CLOSE_CODES = frozenset(
    {CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD}
)

# What is text to a reader of a log: no control characters but tab and line ends.
_has_no_controls = re.compile(r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*").fullmatch
is_space_or_printable_ascii = re.compile(rb"[\t\n\r\x20-\x7e]*").fullmatch

# A reason is UTF-8 text that programs put on one line of a log or into a header.
_is_valid_reason = re.compile(r"[^\x00\r\n]*").fullmatch


def is_utf8_fragment(
    data: BytesLike, must_start_clean: bool = False, must_end_clean: bool = False
) -> bool:
    """Say whether ``data`` can be a part of a text in UTF-8.

    Args:
        data: the bytes in question.
        must_start_clean: refuse data that begins in the middle of a character.
        must_end_clean: refuse data that ends in the middle of a character.
    """
    data = bytes(data)
    if not must_start_clean:
        # A character has at most three continuation bytes, 0x80 to 0xBF.
        start = 0
        while start < 3 and start < len(data) and data[start] & 0xC0 == 0x80:
            start += 1
        data = data[start:]
    try:
        codecs.utf_8_decode(data, "strict", must_end_clean)
    except UnicodeDecodeError:
        return False
    return True


@dataclasses.dataclass(slots=True)
class Frame:
    """A frame.

    Attributes:
        opcode: what it is.
        data: its payload, not masked.
        fin: whether it is the last of its message.
        rsv1: the first reserved bit, used by extensions.
        rsv2: the second reserved bit.
        rsv3: the third reserved bit.
    """

    opcode: Opcode
    data: BytesLike
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False

    # How many characters of the payload str() shows.
    MAX_LOG_SIZE: ClassVar[int] = int(os.environ.get("TIDEGATE_MAX_LOG_SIZE", "75"))

    # str() says "text" or "binary" of payloads that are not what the opcode lets one expect.
    DEFAULT_IS_TEXT: ClassVar[dict[int, bool]] = {TEXT: True, BINARY: False, CLOSE: True}

    def __str__(self) -> str:
        """Give type, payload and length, for a log; a long payload is cut (MAX_LOG_SIZE)."""
        length = len(self.data)
        is_text, payload = self._describe_payload(length)
        notes = [f"{length} byte{'' if length == 1 else 's'}"]
        if length and is_text is not self.DEFAULT_IS_TEXT.get(self.opcode):
            notes.insert(0, "text" if is_text else "binary")
        if not self.fin:
            notes.append("continued")
        try:
            name = Opcode(self.opcode).name
        except ValueError:
            name = f"OPCODE {self.opcode:#x}"
        return f"{name} {payload} [{', '.join(notes)}]"

    def _describe_payload(self, length: int) -> tuple[bool, str]:
        """Say whether the payload is text, and show its beginning and its end."""
        if length == 0:
            return True, "''"
        if self.opcode == CLOSE:
            try:
                return True, str(Close.parse(self.data))
            except (ProtocolError, UnicodeDecodeError):
                return False, self._hex_excerpt(length)

        # A character has at most 4 bytes in UTF-8: these hold all that could be shown.
        window = 4 * self.MAX_LOG_SIZE
        if length <= 2 * window:
            parts = [bytes(self.data)]
        else:
            parts = [bytes(self.data[:window]), bytes(self.data[-window:])]
        if self.opcode in (PING, PONG):
            is_text = all(map(is_space_or_printable_ascii, parts))
        else:
            starts_clean = self.opcode in (TEXT, BINARY)
            is_text = is_utf8_fragment(parts[0], must_start_clean=starts_clean) and (
                len(parts) == 1 or is_utf8_fragment(parts[1])
            )
        if is_text:
            texts = [part.decode(errors="replace") for part in parts]
            if all(map(_has_no_controls, texts)):
                # Between two parts, something was left out already.
                return True, self._cut(repr("...".join(texts)), len(parts) == 2)
        return False, self._hex_excerpt(length)

    def _cut(self, text: str, is_partial: bool) -> str:
        if len(text) <= self.MAX_LOG_SIZE and not is_partial:
            return text
        tail = max(self.MAX_LOG_SIZE // 3 - 1, 1)
        return f"{text[: 2 * tail]}...{text[-tail:]}"

    def _hex_excerpt(self, length: int) -> str:
        """Show bytes as hexadecimal digits."""
        if length <= self.MAX_LOG_SIZE // 3:
            return bytes(self.data).hex(" ")
        tail = max((self.MAX_LOG_SIZE // 3 - 1) // 3, 1)
        head = bytes(self.data[: 2 * tail]).hex(" ")
        return f"{head} ... {bytes(self.data[-tail:]).hex(' ')}"

    def check(self) -> None:
        """Check what holds for every frame, whatever stands around it.

        Raises:
            ProtocolError: if a reserved bit is set, or a control frame is longer than 125 bytes or
                fragmented (RFC 6455, sections 5.2, 5.5).
        """
        if self.rsv1 or self.rsv2 or self.rsv3:
            raise ProtocolError("reserved bits must be 0")
        if self.opcode & 0x08:
            if len(self.data) > 125:
                raise ProtocolError("control frame too long")
            if not self.fin:
                raise ProtocolError("fragmented control frame")

    def serialize(self, *, mask: bool, extensions: Sequence[Extension] | None = None) -> bytes:
        """Give the frame as it is sent.

        Args:
            mask: whether to mask the payload, which clients do and servers don't.
            extensions: what encodes the frame first, in this order.

        Raises:
            ProtocolError: if the frame breaks the rules for frames.
        """
        self.check()
        frame = self
        for extension in extensions or ():
            frame = extension.encode(frame)

        length = len(frame.data)
        byte1 = frame.fin << 7 | frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4 | frame.opcode
        masked = 0x80 if mask else 0
        if length < 126:
            header = struct.pack("!BB", byte1, masked | length)
        elif length < 65536:
            header = struct.pack("!BBH", byte1, masked | 126, length)
        else:
            header = struct.pack("!BBQ", byte1, masked | 127, length)
        if mask:
            key = os.urandom(4)
            return b"".join((header, key, apply_mask(frame.data, key)))
        return b"".join((header, frame.data))

    @classmethod
    def parse(
        cls,
        read_exact: Callable[[int], Generator[None, None, bytes | bytearray]],
        *,
        mask: bool,
        max_size: int | None = None,
        extensions: Sequence[Extension] | None = None,
    ) -> Generator[None, None, Frame]:
        """Read a frame.

        This is a generator: it yields when it needs more data, and returns the frame.

        Args:
            read_exact: a generator function that reads so many bytes.
            mask: whether the frame must be masked, which a server expects, or must not.
            max_size: the most that the payload may have, in bytes.
            extensions: what decodes the frame, in the order they encode.

        Raises:
            EOFError: if the stream ends in the middle of the frame.
            PayloadTooBig: if the payload is, or would be when decoded, larger than ``max_size``.
            ProtocolError: if the frame breaks the rules for frames.
        """
        byte1, byte2 = yield from read_exact(2)
        try:
            opcode = Opcode(byte1 & 0x0F)
        except ValueError:
            raise ProtocolError("invalid opcode") from None
        if bool(byte2 & 0x80) is not mask:
            raise ProtocolError("incorrect masking")
        length = byte2 & 0x7F
        if opcode & 0x08:
            # Before the payload: nobody has to wait for, or keep, what is refused anyhow.
            if length > 125:
                raise ProtocolError("control frame too long")
            if not byte1 & 0x80:
                raise ProtocolError("fragmented control frame")
        elif length == 126:
            (length,) = struct.unpack("!H", (yield from read_exact(2)))
            if length < 126:
                raise ProtocolError("frame length isn't encoded in the fewest bytes")
        elif length == 127:
            (length,) = struct.unpack("!Q", (yield from read_exact(8)))
            if length >> 63:
                raise ProtocolError("invalid payload length")
            if length < 65536:
                raise ProtocolError("frame length isn't encoded in the fewest bytes")
        if max_size is not None and length > max_size:
            raise PayloadTooBig(length, max_size)
        key = (yield from read_exact(4)) if mask else None

        data: BytesLike = yield from read_exact(length)
        if key is not None:
            data = apply_mask(data, key)
        frame = cls(
            opcode,
            data,
            bool(byte1 & 0x80),
            bool(byte1 & 0x40),
            bool(byte1 & 0x20),
            bool(byte1 & 0x10),
        )
        for extension in reversed(extensions or ()):
            frame = extension.decode(frame, max_size=max_size)
        frame.check()
        return frame


@dataclasses.dataclass(slots=True)
class Close:
    """What a Close frame says (RFC 6455, section 5.5.1).

    Attributes:
        code: why the connection is closed; 1005 if the frame is empty.
        reason: an explanation, for people.
    """

    code: CloseCode | int
    reason: str

    def __str__(self) -> str:
        """Give code and reason on one line."""
        if 3000 <= self.code < 4000:
            explanation = "registered"
        elif 4000 <= self.code < 5000:
            explanation = "private use"
        else:
            explanation = CLOSE_CODE_EXPLANATIONS.get(self.code, "unknown")
        text = f"{self.code:d} ({explanation})"
        return f"{text} {printable(self.reason)}" if self.reason else text

    @classmethod
    def parse(cls, data: BytesLike) -> Close:
        """Read the payload of a Close frame.

        Any text is accepted as a reason, also what `check` refuses to send: to answer a Close frame
        send its payload back as it came.

        Raises:
            ProtocolError: if the payload is one byte, or the code isn't one for Close frames.
            UnicodeDecodeError: if the reason isn't UTF-8.
        """
        if len(data) == 0:
            return cls(CloseCode.NO_STATUS_RCVD, "")
        if len(data) == 1:
            raise ProtocolError("close frame too short")
        close = cls(int.from_bytes(data[:2], "big"), bytes(data[2:]).decode())
        close._check_code()
        return close

    def serialize(self) -> bytes:
        """Give the payload of a Close frame.

        Raises:
            ProtocolError: as `check` does.
        """
        self.check()
        return self.code.to_bytes(2, "big") + self.reason.encode()

    def check(self) -> None:
        """Check that this can be sent.

        Raises:
            ProtocolError: if the code isn't one for Close frames (RFC 6455, section 7.4).
            InvalidReason: if the reason has line ends, NUL or characters that UTF-8 has no bytes
                for; it is a ValueError, too.
        """
        self._check_code()
        if _is_valid_reason(self.reason) is None:
            raise InvalidReason(self.reason)
        if not self.reason.isascii():
            try:
                self.reason.encode()
            except UnicodeEncodeError:
                raise InvalidReason(self.reason) from None

    def _check_code(self) -> None:
        if not (self.code in EXTERNAL_CLOSE_CODES or 3000 <= self.code < 5000):
            raise ProtocolError("invalid status code")


lazy_import(
    globals(),
    deprecated_aliases={
        "OP_CONT": (".frames:CONT", "use tidegate.Opcode.CONT"),
        "OP_TEXT": (".frames:TEXT", "use tidegate.Opcode.TEXT"),
        "OP_BINARY": (".frames:BINARY", "use tidegate.Opcode.BINARY"),
        "OP_CLOSE": (".frames:CLOSE", "use tidegate.Opcode.CLOSE"),
        "OP_PING": (".frames:PING", "use tidegate.Opcode.PING"),
        "OP_PONG": (".frames:PONG", "use tidegate.Opcode.PONG"),
        "CLOSE_CODES": (
            ".frames:CLOSE_CODE_EXPLANATIONS",
            "use tidegate.frames.CLOSE_CODE_EXPLANATIONS",
        ),
        "check_close": (".legacy.framing", "use tidegate.Close.check"),
        "parse_close": (".legacy.framing", "use tidegate.Close.parse"),
        "prepare_ctrl": (".legacy.framing", "use str.encode()"),
        "prepare_data": (".legacy.framing", "use str.encode() and tidegate.Opcode"),
        "serialize_close": (".legacy.framing", "use tidegate.Close.serialize"),
    },
)

"""A connection on a network that a test drives, without sockets, loops or real time.

`Driven` is a face: it has what `tidegate.core.link.Link` asks of one, and does as little as a face
may. What the peer sends, it makes byte by byte; what the program does, a test calls.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import logging
import zlib

from tidegate.client import ClientProtocol
from tidegate.core.acceptance import Answer, respond
from tidegate.core.dialling import send_request
from tidegate.core.life import TABLE, Life
from tidegate.core.link import Link
from tidegate.core.listener import Listener
from tidegate.exceptions import ConnectionClosed, InvalidState
from tidegate.extensions.permessage_deflate import PerMessageDeflate
from tidegate.protocol import CLIENT, OPEN, SERVER, Protocol
from tidegate.server import ServerProtocol
from tidegate.uri import parse_uri

from ..wire.exposed import Face
from ..wire.frames import BINARY, CLOSE, CONT, KEY, PING, PONG, TEXT, frame, frames_in

NEVER = float("inf")
NAMES = [rule.name for rule in TABLE]
STATE = {name: number for number, name in enumerate(NAMES)}
NOBODY, WAITING, STREAMING, GAVE_UP = range(4)
QUEUE, TURN, ROOM, PROGRAM, HANDSHAKE = 1, 2, 4, 8, 16

# How many fragments are read before anybody looks whether there are too many of them.
MANY_FRAGMENTS = 64
# What may be written before it is flushed, and what can be left of a frame that isn't complete.
MOST_PENDING = 64 * 1024
MOST_LEFT = 160

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
RFC_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

quiet = logging.getLogger("tests.core.driven")
quiet.setLevel(logging.CRITICAL + 1)


def reachable(before, after):
    """Whether the table leads from one state to another."""
    return before == after or any(reachable(step, after) for step in TABLE[before].then)


class Peer:
    """The other end: what it sends, and what of that are whole messages."""

    def __init__(self, masks, deflate):
        self.key = KEY if masks else None
        self.deflater = zlib.compressobj(wbits=-15) if deflate else None
        # What is on its way, and what of it has arrived; of frames, not of the opening handshake.
        self.wire = b""
        self.delivered = 0
        self.sent = 0
        self.skip = 0
        # Whole messages, and where they end.
        self.messages = []
        self.partial = None
        self.over = False
        self.ended = False

    def put(self, data):
        self.wire += data
        self.sent += len(data)

    def frame(self, opcode, data, fin=True, rsv=0):
        self.put(frame(opcode, data, fin, rsv=rsv, key=self.key))

    def message(self, message, cuts, control):
        """Send a message, in fragments that end at ``cuts``, with control frames in between."""
        data = message.encode() if isinstance(message, str) else message
        opcode = TEXT if isinstance(message, str) else BINARY
        rsv = 0
        if self.deflater is not None and not control:
            rsv = 4
            data = self.deflater.compress(data) + self.deflater.flush(zlib.Z_SYNC_FLUSH)
            data = data[:-4]
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for i, (start, stop) in enumerate(itertools.pairwise(places)):
            if i and control:
                self.frame(PING, control)
            last = i == len(places) - 2
            self.frame(CONT if i else opcode, data[start:stop], last, 0 if i else rsv)
        self.messages.append((self.sent, message))

    def arrived(self):
        """How many whole messages have arrived."""
        return sum(end <= self.delivered for end, _ in self.messages)


class Recorder(Listener):
    """A listener that does something different for each message."""

    def __init__(self, driven, deeds):
        self.driven = driven
        self.connection = driven
        self.deeds = itertools.cycle(deeds)

    def on_open(self):
        self.driven.calls.append("open")

    def on_message(self, message):
        self.driven.took(message)
        deed = next(self.deeds)
        if deed == "pause":
            self.pause_reading()
        elif deed == "close":
            self.driven.close()
        elif deed == "raise":
            self.driven.excused = "the listener failed"
            raise RuntimeError("a mistake of the program")
        elif deed == "echo":
            self.driven.send(message)

    def on_close(self, exc):
        self.driven.calls.append("close")


class Driven(Face):
    """A face that a test drives."""

    def __init__(
        self,
        side,
        *,
        opening=False,
        deflate=False,
        times=(20.0, 20.0, 10.0),
        high=2,
        low=1,
        write_limit=(200, 50),
        wakes_at_once=True,
        aborts_at_once=True,
        half_closes=True,
        answers_at_once=True,
    ):
        self.now = 1000.0
        server = side == SERVER
        options = {"max_size": 5000, "logger": quiet}
        if not opening:
            protocol = Protocol(side, **options)
        elif server:
            protocol = ServerProtocol(**options)
        else:
            protocol = ClientProtocol(parse_uri("ws://a/"), **options)
        if deflate:
            protocol.extensions = [PerMessageDeflate(False, False, 15, 15)]
        self.peer = Peer(server, deflate)
        self.request = self.response = None
        self.answers_at_once = answers_at_once
        self.answered = False
        self.wakes_at_once = wakes_at_once
        self.aborts_at_once = aborts_at_once
        self.half_closes = half_closes
        self.high_water, self.low_water = write_limit
        self.raw = b""
        self.backlog = 0
        self.window = 0
        self.most_backlog = 0
        self.program_wrote = 0
        self.eof_written = False
        self.eof_received = False
        self.aborted = False
        self.timer = NEVER
        self.looks = 0
        self.reads = True
        self.woken = False
        self.received_messages = []
        self.sent_messages = []
        self.pieces = []
        self.streams = False
        self.closed_told = 0
        self.excused = ""
        self.closed_by_us = False
        self.calls = []
        self.pings = {}
        self.follower = Follower()
        # Where frames begin in what was sent; None before.
        self.frame_start = None if opening else 0
        life = Life(lambda: self.now, 10.0, *times)
        Link.__init__(self, protocol, life, high, low)
        self.add_follower(self.follower)
        self.life.begin()
        self.states = [self.life.state]
        if opening and server:
            self.peer.wire = REQUEST
            self.peer.skip = len(REQUEST)
        elif opening:
            send_request(self, None, None)
        else:
            self.start_keepalive()
        self.settle()

    # The opening handshake

    def on_opened(self):
        """What comes before the first message, as a test wants it: a listener may be attached."""

    def process_event(self, event):
        if self.protocol.side == CLIENT:
            assert self.response is None
            self.response = event
        else:
            assert self.request is None
            self.request = event
            if self.answers_at_once:
                self.answer(101)
            else:
                self.asked()

    def opening_received(self, data):
        super().opening_received(data)
        if self.protocol.side == CLIENT and self.protocol.state is OPEN and self.opening:
            self.opened()
            self.on_opened()
            self.received()

    def answer(self, status):
        """Answer the request, as a server; it may be too late."""
        self.answered = True
        if status == 101:
            response = self.protocol.accept(self.request)
        else:
            response = self.protocol.reject(status, "no\n")
        if respond(self, Answer(response), None, True) and self.protocol.state is OPEN:
            self.flush()
            self.frame_start = len(self.raw)
            self.on_opened()
            self.received()

    def peer_answers(self, status):
        """Answer the request, as the peer is the server."""
        self.answered = True
        head, _ = self.raw.split(b"\r\n\r\n")
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + RFC_GUID).digest())
        if status == 101:
            response = (
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self.frame_start = len(self.raw)
        else:
            response = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n"
            self.peer.over = True
        # Frames may have been sent right behind it.
        self.peer.wire = response + self.peer.wire
        self.peer.skip = len(response)

    # What the link calls

    def on_receivable(self):
        if self.reception == NOBODY:
            return
        if self.wakes_at_once and self.reception == WAITING:
            self.reception = NOBODY
            self.attempt()
        else:
            self.woken = True

    def on_changed(self):
        self.flush()
        life = self.life
        if life.state != self.states[-1]:
            self.states.append(life.state)
        if self.ended:
            return
        self.reads = self.hold == 0
        if life.deadline < self.timer:
            self.timer = life.deadline

    def flush(self):
        for data in self.protocol.data_to_send():
            assert isinstance(data, bytes)
            if self.eof_written:
                # Nothing can follow the end of the stream.
                continue
            if data:
                self.put(data)
            else:
                self.eof_written = True
                self.life.enter(STATE["ENDING"])

    def put(self, data):
        self.written += len(data)
        self.raw += data
        self.backlog += len(data)
        self.network_takes(0)
        if not self.full and self.backlog > self.high_water:
            self.room(False)

    def abort(self):
        if self.aborts_at_once:
            self.lose(None)
        else:
            self.aborted = True

    # The network

    def network_takes(self, n):
        """Take so many bytes more, now or as they are written."""
        self.window += n
        taken = min(self.window, self.backlog)
        self.window -= taken
        self.backlog -= taken

    def give_room(self, n):
        self.network_takes(n)
        if self.full and self.backlog <= self.low_water and not self.ended:
            self.room(True)
            self.wake_senders()

    def wake_senders(self):
        """Nothing waits: a test sends when there is room."""

    def deliver(self, n):
        """Have up to so many bytes arrive, if they are read; or the end, if it's there."""
        if not self.reads or self.ended or self.eof_received:
            return
        peer = self.peer
        data, peer.wire = peer.wire[:n], peer.wire[n:]
        if data:
            skipped = min(peer.skip, len(data))
            peer.skip -= skipped
            peer.delivered += len(data) - skipped
            self.received_elsewhere(data)
        elif peer.ended:
            self.eof_received = True
            self.stream_ended()

    def notice_end(self):
        """See that the peer has ended its stream, though nothing is read."""
        if self.peer.ended and not self.reads and not self.ended and not self.eof_received:
            self.peer_ended()

    def lose(self, exc):
        """Have no connection any more."""
        self.timer = NEVER
        if self.lost(exc):
            self.states.append(self.life.state)
            self.end_listening()

    def settle_down(self):
        """Do what a loop would do before it waits again."""
        for _ in range(1000):
            if self.aborted:
                self.aborted = False
                self.lose(None)
            elif self.hold & TURN and not self.ended:
                self.go_on()
            elif self.woken:
                self.woken = False
                self.wake()
            elif not self.ended and self.timer <= self.now:
                self.timer_fires()
            elif not self.ended and self.is_at_end():
                self.lose(None)
            else:
                return
        raise AssertionError("it never comes to rest")

    def is_at_end(self):
        """Whether both directions are ended, and what was sent is out."""
        ended = self.eof_received or (self.eof_written and not self.half_closes)
        return ended and not self.backlog

    def pass_time(self, seconds):
        """Let time go by."""
        end = self.now + seconds
        while self.timer <= end and not self.ended:
            self.now = max(self.now, self.timer)
            self.settle_down()
        self.now = end

    def timer_fires(self):
        """Do what is due."""
        self.timer = NEVER
        life = self.life
        if life.state == STATE["LEFT"] and self.now >= life.deadline:
            self.excused = "the program took nothing for too long"
        was_open = life.state == STATE["OPEN"]
        self.due(self.now, self.backlog)
        if was_open and life.state != STATE["OPEN"]:
            self.excused = "the peer was silent"
        self.on_changed()

    # The program

    def took(self, message):
        """Take note of a message that was received."""
        assert not self.closed_told, "received after the end"
        assert "close" not in self.calls, "received after the end"
        self.received_messages.append(message)

    def attempt(self):
        """Receive, or wait for something to receive."""
        message = self.take_message()
        if message is not None:
            self.took(message)
            return
        try:
            self.expect_message()
        except ConnectionClosed:
            self.closed_told += 1
        except InvalidState:
            assert self.ends_early
        else:
            self.reception = WAITING

    def wake(self):
        """Let whoever receives go on."""
        if self.reception == WAITING:
            self.reception = NOBODY
            self.attempt()
        elif self.reception == STREAMING:
            self.take_pieces()

    def stream(self):
        """Begin to take a message piece by piece."""
        self.start_streaming()
        self.pieces = []
        self.streams = True
        self.take_pieces()

    def take_pieces(self):
        reader = self.protocol.frame_reader
        while True:
            piece = reader.pop_fragment()
            if piece is None:
                if self.failure is not None:
                    self.fail_deferred()
                if self.ended:
                    self.closed_told += 1
                    self.give_up_streaming()
                    return
                if self.read_on() and reader.has_fragment():
                    continue
                return
            data, text, last = piece
            self.pieces.append(data)
            if reader.held <= self.low:
                self.read_on()
            if last:
                whole = b"".join(self.pieces)
                self.pieces = []
                self.give_up_streaming()
                self.took(whole.decode() if text else whole)
                return

    def give_up_streaming(self):
        self.streams = False
        if self.pieces and not self.ended:
            self.excused = "the rest of a message was given up"
        self.stop_streaming(bool(self.pieces))

    def send(self, message):
        """Send a message, if that can be."""
        if self.protocol.state is not OPEN or self.eof_written:
            return
        before = len(self.raw) + self.protocol.frame_writer.pending
        self.send_nowait(message)
        self.program_wrote += len(self.raw) + self.protocol.frame_writer.pending - before
        self.sent_messages.append(message)

    def ping(self):
        if self.protocol.state is OPEN and not self.eof_written:
            outcomes = []
            data = self.send_ping(None, outcomes.append)
            self.program_wrote += len(data) + 6
            self.pings[data] = outcomes

    def close(self):
        if self.protocol.state is OPEN:
            self.closed_by_us = True
            self.excused = "this side closed"
            self.start_closing()

    # What must hold whenever a loop would wait

    def check(self):
        life = self.life
        state = NAMES[life.state]
        for before, after in itertools.pairwise(self.states):
            assert reachable(before, after), (NAMES[before], NAMES[after])
        del self.states[:-1]
        reader = self.protocol.frame_reader
        if self.ended:
            assert self.reception == NOBODY, "somebody still waits"
            assert self.follower.ends == 1
            assert all(len(outcomes) == 1 for outcomes in self.pings.values())
            assert self.calls.count("close") == self.calls.count("open")
            assert self.listener is None
            assert not self.pending_pings
        else:
            without = (
                (state == "OPEN" and not self.hold and life.ping_interval is None)
                # What a program asks for, by having closing take any time.
                or (state in ("CLOSING", "ENDING") and life.close_timeout is None)
            )
            assert without or life.deadline < NEVER, f"no deadline in {state}"
            assert self.timer <= life.deadline, "the face wasn't told of the deadline"
            assert life.deadline == NEVER or life.deadline > self.now or self.aborted
            assert self.reads == (self.hold == 0), "the face wasn't told whether to read"
            if not self.opening and self.hold & QUEUE:
                assert reader.held > self.low, "there is room, and nothing is read"
                assert state in ("OPEN", "LEFT", "FAILING")
            if self.reception == WAITING:
                assert not reader.has_message(), "somebody waits for what is there"
                assert not self.hold & QUEUE, "somebody waits, and nothing is read"
            if self.reception == STREAMING:
                assert not reader.has_fragment()
                assert not self.hold & QUEUE or not reader.unread()
        # Each once, in order, and not before it has come.
        whole = [message for _, message in self.peer.messages]
        count = len(self.received_messages)
        assert self.received_messages == whole[:count]
        assert count <= self.peer.arrived()
        # Memory
        if state in ("OPEN", "LEFT", "CLOSING"):
            # A message that somebody wants is not left half, and bounded by its size.
            last = reader.queue[-1] if reader.queue else None
            growing = len(last.chunks) if getattr(last, "complete", True) is False else 0
            assert reader.held <= self.high + 1 + MANY_FRAGMENTS + growing
        if not self.hold:
            assert reader.unread() <= MOST_LEFT
        sent = self.program_wrote + self.high_water + MOST_PENDING + MOST_LEFT
        assert self.backlog <= sent

    def check_output(self):
        """See whether what was sent is what WebSocket has, and what the program sent.

        Returns:
            The payloads of the pongs.

        """
        if self.frame_start is None:
            return []
        frames, rest = frames_in(self.raw[self.frame_start :])
        assert not rest, "half a frame was sent"
        inflater = zlib.decompressobj(wbits=-15)
        messages = []
        pongs = []
        closes = 0
        for opcode, data, fin, rsv in frames:
            # RFC 6455, section 5.5.1: data is what can't follow.
            assert not closes or opcode > CLOSE, "sent behind a Close frame"
            if opcode == CLOSE:
                closes += 1
            elif opcode == PONG:
                pongs.append(data)
            elif opcode < CLOSE:
                assert fin and opcode, "fragmented"
                if rsv:
                    data = inflater.decompress(data + b"\0\0\xff\xff")
                messages.append(data.decode() if opcode == TEXT else data)
        assert messages == self.sent_messages[: len(messages)]
        if self.eof_written or not self.ended:
            assert messages == self.sent_messages
        return pongs


class Follower:
    """Somebody who writes to a connection, or doesn't."""

    def __init__(self):
        self.rooms = 0
        self.ends = 0

    def may_write(self):
        assert not self.ends
        self.rooms += 1

    def gone(self):
        self.ends += 1

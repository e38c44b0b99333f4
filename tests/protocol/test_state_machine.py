"""Two connected endpoints, a wire that cuts, and closes that race."""

from __future__ import annotations

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tidegate.extensions.permessage_deflate import PerMessageDeflate
from tidegate.protocol import CLIENT, CLOSED, CLOSING, OPEN, SEND_EOF, SERVER, Protocol

from ..wire.frames import CLOSE, PING, PONG, TEXT, frames_in

messages = st.text(max_size=30) | st.binary(max_size=30) | st.binary(min_size=126, max_size=200)
sides = st.sampled_from([0, 1])


class Endpoint:
    """One end, and what went out of it and came in."""

    def __init__(self, side, extensions):
        self.protocol = Protocol(side)
        self.protocol.extensions = extensions
        # Everything that was sent, and how much of it was delivered.
        self.sent = b""
        self.delivered = 0
        self.ended = False
        self.eof_delivered = False
        self.failed = False
        # As the program sees it.
        self.messages_sent = []
        self.messages_received = []
        self.parts = None
        self.pings_sent = []
        self.pings_received = []
        self.pongs_received = []
        self.received_parts = None
        self.closes_received = 0

    def collect(self):
        """Put on the wire what is to be sent."""
        for data in self.protocol.data_to_send():
            assert not self.ended, "written after the end of the stream"
            if data == SEND_EOF:
                self.ended = True
            self.sent += data

    @property
    def is_open(self):
        return self.protocol.state is OPEN and not self.ended

    def take_events(self):
        """Take note of what was received."""
        for event in self.protocol.events_received():
            assert not self.closes_received, "received after a Close frame"
            if event.opcode == PING:
                self.pings_received.append(event.data)
            elif event.opcode == PONG:
                self.pongs_received.append(event.data)
            elif event.opcode == CLOSE:
                self.closes_received += 1
            else:
                if event.opcode:
                    assert self.received_parts is None
                    self.received_parts = (event.opcode, [])
                opcode, parts = self.received_parts
                parts.append(bytes(event.data))
                if event.fin:
                    data = b"".join(parts)
                    self.messages_received.append(data.decode() if opcode == TEXT else data)
                    self.received_parts = None


class TwoEndpoints(RuleBasedStateMachine):
    @initialize(compress=st.none() | st.tuples(st.booleans(), st.integers(9, 15)))
    def start(self, compress):
        def extensions():
            if compress is None:
                return []
            no_takeover, bits = compress
            return [PerMessageDeflate(no_takeover, no_takeover, bits, bits)]

        self.ends = [Endpoint(CLIENT, extensions()), Endpoint(SERVER, extensions())]
        self.lost = False

    # What programs do

    @rule(side=sides, message=messages)
    def send(self, side, message):
        end = self.ends[side]
        if end.is_open and end.parts is None:
            if isinstance(message, str):
                end.protocol.send_text(message.encode())
            else:
                end.protocol.send_binary(message)
            end.messages_sent.append(message)
            end.collect()

    @rule(side=sides, message=messages, more=st.booleans())
    def send_fragment(self, side, message, more):
        """Begin, continue or end a fragmented message."""
        end = self.ends[side]
        if not end.is_open:
            return
        data = message.encode() if isinstance(message, str) else message
        if end.parts is None:
            if isinstance(message, str):
                end.protocol.send_text(data, fin=False)
            else:
                end.protocol.send_binary(data, fin=False)
            end.parts = (isinstance(message, str), [data])
        else:
            is_text, parts = end.parts
            if is_text != isinstance(message, str):
                data = b""
            end.protocol.send_continuation(data, fin=not more)
            parts.append(data)
            if not more:
                whole = b"".join(parts)
                end.messages_sent.append(whole.decode() if is_text else whole)
                end.parts = None
        end.collect()

    @rule(side=sides, data=st.binary(max_size=125))
    def ping(self, side, data):
        end = self.ends[side]
        if end.protocol.state in (OPEN, CLOSING) and not end.ended:
            end.protocol.send_ping(data)
            end.pings_sent.append(data)
            end.collect()

    @rule(side=sides, code=st.sampled_from([None, 1000, 1001, 1011, 3000, 4999]))
    def close(self, side, code):
        end = self.ends[side]
        if end.is_open:
            end.protocol.send_close(code, "" if code is None else "reason é")
            assert end.protocol.close_expected()
            end.collect()

    @precondition(lambda self: not self.lost)
    @rule(side=sides, code=st.sampled_from([1002, 1011, 1006]))
    def fail(self, side, code):
        end = self.ends[side]
        if end.protocol.state is not CLOSED:
            end.protocol.fail(code)
            end.collect()
            end.failed = True

    # What the network does

    @rule(side=sides, n=st.integers(1, 20) | st.integers(1, 2000))
    def deliver(self, side, n):
        """Deliver some bytes that this side has sent."""
        end, other = self.ends[side], self.ends[1 - side]
        data = end.sent[end.delivered : end.delivered + n]
        end.delivered += len(data)
        if data:
            other.protocol.receive_data(data)
            other.take_events()
            other.collect()
        elif end.ended and end.delivered == len(end.sent):
            self.deliver_eof(side)

    def deliver_eof(self, side):
        end, other = self.ends[side], self.ends[1 - side]
        if not end.eof_delivered:
            end.eof_delivered = True
            other.protocol.receive_eof()
            other.take_events()
            other.collect()

    @precondition(lambda self: not self.lost)
    @rule(seldom=st.integers(0, 5))
    def lose(self, seldom):
        """Lose the connection, with what is on its way."""
        if seldom == 0:
            self.lost = True
            for side in (0, 1):
                self.ends[side].delivered = len(self.ends[side].sent)
                self.deliver_eof(side)

    # What holds

    @invariant()
    def messages_arrive_in_order(self):
        for end, other in self.pairs():
            n = len(other.messages_received)
            assert other.messages_received == end.messages_sent[:n]
            assert other.pings_received == end.pings_sent[: len(other.pings_received)]
            assert end.pongs_received == end.pings_sent[: len(end.pongs_received)]

    @invariant()
    def nothing_is_written_after_close(self):
        for end, _ in self.pairs():
            frames, rest = frames_in(end.sent)
            assert rest == b"", "half a frame"
            opcodes = [frame[0] for frame in frames]
            assert opcodes.count(CLOSE) <= 1
            if CLOSE in opcodes:
                assert min(opcodes[opcodes.index(CLOSE) :]) >= CLOSE, "data after Close"

    @invariant()
    def buffers_are_bounded(self):
        for end, _ in self.pairs():
            # At most a header and what there is of a control frame.
            assert end.protocol.frame_reader.unread() < 14 + 125
            assert end.protocol.frame_writer.pending == 0
            assert not end.protocol.frame_reader.held

    @invariant()
    def state_and_codes_agree(self):
        for end, _ in self.pairs():
            protocol = end.protocol
            assert (protocol.close_code is None) == (protocol.state is not CLOSED)
            if protocol.close_rcvd is not None or protocol.close_sent is not None:
                assert protocol.state in (CLOSING, CLOSED)

    def pairs(self):
        if not hasattr(self, "ends"):
            return []
        return [(self.ends[0], self.ends[1]), (self.ends[1], self.ends[0])]

    def teardown(self):
        if not hasattr(self, "ends"):
            return
        client = self.ends[0]
        # Whatever happened, closing on one side brings both to an end.
        if client.is_open:
            client.protocol.send_close(1000)
            client.collect()
        for _ in range(4):
            for side in (0, 1):
                self.deliver(side, 10**9)
                self.deliver(side, 10**9)
        failed_silently = any(end.failed and end.protocol.close_sent is None for end in self.ends)
        if not self.lost and not failed_silently:
            for end, other in self.pairs():
                assert end.protocol.state is CLOSED
                assert end.ended
                if not other.failed:
                    # Everything arrives that was sent before the Close frame.
                    assert other.messages_received == end.messages_sent
                    assert other.protocol.close_rcvd == end.protocol.close_sent
                    assert other.pings_received[: len(end.pongs_received)] == end.pongs_received
        self.messages_arrive_in_order()
        self.nothing_is_written_after_close()


TwoEndpoints.TestCase.settings = hypothesis.settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
TestTwoEndpoints = TwoEndpoints.TestCase

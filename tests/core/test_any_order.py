"""Whatever comes in whatever order: bytes, ends, time, calls of the program, and no room to write.

TIDEGATE_EXAMPLES says how many runs there are; the default is what takes a few seconds, the same
each time. With it, they are others each time.
"""

from __future__ import annotations

import os

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tidegate.protocol import CLIENT, SERVER

from ..wire.frames import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame
from .driven import NOBODY, PROGRAM, STATE, STREAMING, WAITING, Driven, Recorder

EXAMPLES = os.environ.get("TIDEGATE_EXAMPLES")

texts = st.sampled_from(["", "a", "é" * 3, "x" * 130, "\U0001f300" * 40])
binaries = st.sampled_from([b"", b"\xff", b"b" * 20, b"\0" * 300])
times = st.sampled_from([None, 5.0, 20.0])

BROKEN = {
    "opcode": frame(3, b"x"),
    "reserved bits": frame(TEXT, b"x", rsv=2),
    "continuation of nothing": frame(CONT, b"x"),
    "text": frame(TEXT, b"ok\xff"),
    "long control frame": frame(PING, b"x" * 126),
    "too much": frame(BINARY, b"x" * 5001)[:20],
    "close code": frame(CLOSE, b"\x03\xed"),
    "close reason": frame(CLOSE, b"\x03\xe8\xff"),
    "length": b"\x82\x7e\0\1x",
}


class AnyOrder(RuleBasedStateMachine):
    side = SERVER
    closed_by_peer = False

    @initialize(
        opening=st.booleans(),
        deflate=st.booleans(),
        times=st.tuples(times, times, st.sampled_from([None, 3.0, 10.0])),
        queue=st.sampled_from([(0, 0), (1, 0), (2, 1), (16, 4)]),
        wakes_at_once=st.booleans(),
        aborts_at_once=st.booleans(),
        half_closes=st.booleans(),
        answers_at_once=st.booleans(),
        ends_early=st.booleans(),
        deeds=st.none()
        | st.lists(
            st.sampled_from(["nothing", "nothing", "pause", "echo", "close", "raise"]),
            min_size=1,
            max_size=4,
        ),
        window=st.sampled_from([0, 300, 10**9]),
    )
    def start(self, opening, queue, ends_early, deeds, window, **options):
        high, low = queue
        if opening:
            # What is negotiated is tested elsewhere.
            options["deflate"] = False
        self.driven = driven = Driven(self.side, opening=opening, high=high, low=low, **options)
        driven.ends_early = ends_early
        driven.network_takes(window)
        self.deeds = deeds
        self.listens = False
        driven.on_opened = self.listen
        self.pings = []
        self.listen()
        self.driven.settle_down()

    def listen(self):
        """Have a listener called, as soon as the connection is open."""
        if self.deeds and not self.driven.opening and not self.listens and not self.driven.ended:
            self.listens = True
            self.driven.listen(Recorder(self.driven, self.deeds))

    def after(self):
        self.driven.settle_down()

    @property
    def peer(self):
        return self.driven.peer

    def peer_can_send(self):
        if self.peer.over or self.peer.ended or self.driven.ended:
            return False
        # As a server, it sends frames only behind its response.
        return self.side == SERVER or not self.driven.opening or self.driven.answered

    # The peer

    @precondition(peer_can_send)
    @rule(
        message=texts | binaries,
        cuts=st.lists(st.integers(0, 40), max_size=3),
        control=st.none() | st.sampled_from([b"", b"between"]),
        count=st.sampled_from([1, 1, 1, 5]),
    )
    def peer_sends(self, message, cuts, control, count):
        for _ in range(count):
            self.peer.message(message, cuts, control)
            if control is not None:
                self.pings += [control] * len(cuts)

    @precondition(peer_can_send)
    @rule(data=st.binary(max_size=5), count=st.sampled_from([1, 1, 30]))
    def peer_pings(self, data, count):
        for _ in range(count):
            self.peer.frame(PING, data)
            self.pings.append(data)

    @precondition(peer_can_send)
    @rule(which=st.integers(0, 3))
    def peer_pongs(self, which):
        waiting = list(self.driven.pending_pings)
        data = waiting[which % len(waiting)] if waiting else b"unasked"
        self.peer.frame(PONG, data)

    @precondition(peer_can_send)
    @rule(count=st.sampled_from([1, 200]))
    def peer_begins_and_never_ends(self, count):
        for i in range(count):
            self.peer.frame(CONT if i else BINARY, b"x" * (i % 2), False)
        self.peer.over = True

    @precondition(peer_can_send)
    @rule(data=st.sampled_from([b"", b"\x03\xe8", b"\x0f\xa0bye"]))
    def peer_closes(self, data):
        self.peer.frame(CLOSE, data)
        self.peer.over = True

    @precondition(peer_can_send)
    @rule(kind=st.sampled_from(sorted(BROKEN)))
    def peer_breaks_a_rule(self, kind):
        data = BROKEN[kind]
        if self.side == SERVER:
            # A client masks, here with zeros.
            extended = {126: 2, 127: 8}.get(data[1], 0)
            head = bytes([data[0], data[1] | 0x80]) + data[2 : 2 + extended]
            data = head + b"\0\0\0\0" + data[2 + extended :]
        self.peer.put(data)
        self.peer.over = True

    @precondition(lambda self: not self.peer.ended and not self.driven.ended)
    @rule()
    def peer_ends_its_stream(self):
        self.peer.ended = True

    @precondition(lambda self: not self.driven.ended)
    @rule()
    def connection_breaks(self):
        self.driven.lose(ConnectionResetError("reset by peer"))
        self.after()

    # The network

    @precondition(lambda self: self.driven.reads and not self.driven.ended)
    @rule(n=st.sampled_from([1, 2, 3, 7, 50, 600, 600, 600]))
    def arrives(self, n):
        self.driven.deliver(n)
        self.after()

    @precondition(lambda self: self.driven.reads and not self.driven.ended)
    @rule()
    def arrives_byte_by_byte(self):
        for _ in range(40):
            self.driven.deliver(1)
            self.after()

    @rule()
    def end_is_noticed(self):
        self.driven.notice_end()
        self.after()

    @rule(n=st.sampled_from([1, 100, 1000, 10**9]))
    def network_takes(self, n):
        self.driven.give_room(n)
        self.after()

    @rule()
    def network_takes_nothing_more(self):
        self.driven.window = 0

    @rule(seconds=st.sampled_from([0.001, 1.0, 5.0, 10.0, 60.0]))
    def time_passes(self, seconds):
        self.driven.pass_time(seconds)
        self.after()

    # The opening handshake

    @precondition(lambda self: self.driven.opening and not self.driven.answered)
    @rule(status=st.sampled_from([101, 101, 101, 403]))
    def answer(self, status):
        if self.side == SERVER:
            if self.driven.request is not None and not self.driven.ended:
                self.driven.answer(status)
        elif not self.peer.ended and not self.peer.over:
            self.driven.peer_answers(status)
        self.after()

    # The program

    def may_receive(self):
        return not self.deeds and not self.driven.opening and self.driven.reception == NOBODY

    @precondition(may_receive)
    @rule()
    def receive(self):
        if not self.driven.closed_told:
            self.driven.attempt()
        self.after()

    @precondition(lambda self: self.may_receive() and not self.driven.closed_told)
    @rule()
    def receive_piece_by_piece(self):
        self.driven.stream()
        self.after()

    @precondition(lambda self: self.driven.reception in (WAITING, STREAMING))
    @rule()
    def receiving_is_cancelled(self):
        if self.driven.reception == STREAMING:
            self.driven.give_up_streaming()
        else:
            self.driven.reception = NOBODY
        self.after()

    @precondition(lambda self: self.may_receive() and not self.driven.ended)
    @rule()
    def message_is_no_text(self):
        self.driven.excused = "the program wanted text"
        try:
            b"\xff".decode()
        except UnicodeDecodeError as exc:
            self.driven.undecodable(exc)
        self.after()

    @precondition(lambda self: not self.driven.opening)
    @rule(message=texts | binaries, count=st.sampled_from([1, 1, 20]))
    def send(self, message, count):
        for _ in range(count):
            self.driven.send(message)
        self.after()

    @precondition(lambda self: not self.driven.opening and not self.driven.full)
    @rule()
    def ping(self):
        self.driven.ping()
        self.after()

    @precondition(lambda self: not self.driven.opening)
    @rule()
    def close(self):
        self.driven.close()
        self.after()

    @precondition(lambda self: self.listens and not self.driven.ended)
    @rule(resume=st.booleans())
    def listener_pauses(self, resume):
        if resume:
            self.driven.resume_reading()
        else:
            self.driven.pause_reading()
        self.after()

    @precondition(lambda self: not self.driven.ended)
    @rule(seconds=st.sampled_from([0.0, 2.0]))
    def farewell(self, seconds):
        self.driven.excused = "this side ended without a closing handshake"
        self.driven.farewell(seconds)
        self.after()

    # What holds

    @invariant()
    def holds(self):
        self.driven.check()

    def teardown(self):
        if not hasattr(self, "driven"):
            return
        driven = self.driven
        driven.check()
        if driven.hold & PROGRAM:
            driven.resume_reading()
            self.after()
        driven.close()
        self.after()
        # All times together, and more; what has no limit is ended by the network.
        for _ in range(20):
            driven.pass_time(60.0)
            self.after()
            driven.check()
        unlimited = driven.life.close_timeout is None and driven.life.state >= STATE["CLOSING"]
        assert driven.ended or unlimited, "it never ends"
        driven.lose(None)
        self.after()
        driven.check()
        self.take_the_rest()
        # Those that were answered, in order: some are left out while there is no room.
        pings = iter(self.pings)
        assert all(pong in pings for pong in driven.check_output())

    def take_the_rest(self):
        """What has come whole is there, whoever ended the connection."""
        driven = self.driven
        if not self.deeds:
            for _ in range(5000):
                if driven.closed_told:
                    break
                driven.attempt()
            assert driven.closed_told, "receiving never ends"
            driven.check()
        if not driven.excused and driven.frame_start is not None:
            assert len(driven.received_messages) == self.peer.arrived()


class ServerInAnyOrder(AnyOrder):
    side = SERVER


class ClientInAnyOrder(AnyOrder):
    side = CLIENT


@pytest.mark.parametrize("machine", [ServerInAnyOrder, ClientInAnyOrder])
def test_any_order(machine):
    settings = hypothesis.settings(
        max_examples=int(EXAMPLES or 60),
        stateful_step_count=40,
        deadline=None,
        derandomize=EXAMPLES is None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(machine, settings=settings)


# What was found like this once.


def arrive(driven, count, message="x"):
    """Have messages arrive."""
    for _ in range(count):
        driven.peer.message(message, [], None)
    driven.deliver(10**6)
    driven.settle_down()


def test_no_gap_in_what_is_received_while_closing():
    """There is no room for a message, so there is none for those behind it."""
    driven = Driven(SERVER, high=1, low=0)
    arrive(driven, 2, "first")
    driven.close()
    arrive(driven, 3, "no room")
    driven.attempt()
    driven.attempt()
    arrive(driven, 3, "behind a gap")
    driven.lose(None)
    driven.settle_down()
    driven.attempt()
    assert driven.received_messages == ["first", "first"]
    assert driven.closed_told == 1


def test_listener_without_room_for_its_answers_is_looked_at():
    """Nobody else would see that the peer is gone, as nothing is read."""
    driven = Driven(SERVER, times=(None, None, 10.0))
    driven.listen(Recorder(driven, ["echo"]))
    arrive(driven, 20, "x" * 100)
    assert driven.full
    arrive(driven, 1)
    assert not driven.reads
    assert driven.life.deadline < float("inf")
    driven.check()


def test_end_is_seen_behind_messages_after_a_farewell():
    driven = Driven(SERVER, high=1, low=0)
    arrive(driven, 5)
    assert not driven.reads
    driven.farewell(2.0)
    assert driven.reads
    driven.check()

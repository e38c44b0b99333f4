"""The tasks of a connection that nobody sees: what has to be done while the program does others.

There is one per connection, which sees to its deadlines, and reads from the network while nobody
receives: pings are answered, pongs and the end noticed. It leaves reading to those who receive, and
takes it back a while after they have stopped, so they need not tell it each time.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio

from ..utils import has_left
from .channel import HELD_FOR_TURN, RECEIVED_BY_NOBODY, STATE_OPEN
from .receiving import LOOK_AFTER

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["attend", "pump_in", "pump_out", "send_rest"]

# How much is received from a stream, or given to it, at once, in bytes.
AT_ONCE = 65536


async def attend(connection: Connection) -> None:
    """See to a connection until it is gone."""
    try:
        while not connection.ended:
            if connection.hold & HELD_FOR_TURN:
                await trio.lowlevel.checkpoint()
                if connection.hold & HELD_FOR_TURN:
                    connection.go_on()
            elif connection.broken is not None:
                # What came before can still be received.
                while connection.read_socket():
                    pass
                connection.finish(connection.broken)
            else:
                await attend_once(connection)
    except Exception as exc:
        connection.logger.error("unexpected internal error", exc_info=True)
        connection.finish(exc)
    finally:
        # At the end of the run, too, no socket is left.
        connection.finish(None)


async def attend_once(connection: Connection) -> None:
    """Wait until there is something to do, and do it."""
    reads = connection.attendant_reads()
    if reads and connection.protocol.frame_reader.unread():
        connection.deliver()
        if connection.hold or connection.ended:
            return
    if not reads and connection.message_event is not None:
        # Whoever receives left reading to this task, which doesn't go on with it.
        connection.message_event.set()
    readable = False
    connection.wake_at = min(connection.life.deadline, connection.look_at)
    with trio.CancelScope(deadline=connection.wake_at) as scope:
        connection.scope = scope
        connection.parked = not reads
        connection.attends = reads
        try:
            if reads:
                await trio.lowlevel.wait_readable(connection.handle)
                readable = True
            else:
                await trio.sleep_forever()
        except trio.ClosedResourceError:
            return
        finally:
            connection.scope = None
            connection.wake_at = -inf
            connection.parked = connection.attends = False
    if readable:
        receiving = connection.reception != RECEIVED_BY_NOBODY
        found = connection.read_socket()
        connection.deliver()
        if receiving or not found:
            # Somebody receives, who can read from now on.
            connection.idle = False
            connection.look_at = trio.current_time() + LOOK_AFTER
            if connection.message_event is not None:
                # It waits to be told, and only a part of a message is here.
                connection.message_event.set()
    now = trio.current_time()
    if now >= connection.life.deadline and not connection.ended:
        check_deadline(connection, now)
    if now >= connection.look_at:
        look(connection, now)


def check_deadline(connection: Connection, now: float) -> None:
    """Do what is due."""
    unread = connection.life.state == STATE_OPEN and connection.hold != 0
    if unread and connection.sock is not None and has_left(connection.sock):
        connection.peer_ended()
    connection.due(now, connection.unsent)
    connection.settle()


def look(connection: Connection, now: float) -> None:
    """Look whether somebody still receives now and then."""
    connection.look_at = inf
    if connection.takes != connection.seen:
        connection.seen = connection.takes
        connection.look_at = now + LOOK_AFTER
    elif connection.reception == RECEIVED_BY_NOBODY:
        connection.idle = True


async def send_rest(connection: Connection) -> None:
    """Send what is in the backlog."""
    try:
        while connection.backlog and connection.sock is not None:
            await trio.lowlevel.wait_writable(connection.handle)
            if connection.sock is not None:
                connection.send_backlog()
    except trio.ClosedResourceError:
        # It is gone.
        pass
    finally:
        connection.sends = False


# Streams that aren't sockets. What is begun there can't be taken back, so nothing is cancelled
# before the end.


async def pump_in(connection: Connection) -> None:
    """Receive from a stream until its end."""
    stream = connection.stream
    assert stream is not None
    with trio.CancelScope() as connection.pumping:
        try:
            while not connection.read_ended:
                if connection.hold:
                    connection.resumed = trio.Event()
                    await connection.resumed.wait()
                    continue
                data = await stream.receive_some(AT_ONCE)
                connection.stream_received(data)
                connection.deliver()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            connection.finish(exc)
        except Exception as exc:
            connection.logger.error("unexpected internal error", exc_info=True)
            connection.finish(exc)
        else:
            # Until what is sent is out.
            await trio.sleep_forever()
    connection.finish(None)
    await trio.aclose_forcefully(stream)


async def pump_out(connection: Connection) -> None:
    """Send what is in the backlog on a stream."""
    stream = connection.stream
    assert stream is not None
    with trio.CancelScope() as connection.pumping_out:
        try:
            while connection.backlog:
                data = bytes(memoryview(connection.backlog)[:AT_ONCE])
                await stream.send_all(data)
                connection.sent(len(data))
            if connection.eof_written and isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            elif connection.eof_written:
                connection.finish(None)
        except Exception as exc:
            connection.fail_sending(exc)
    connection.sends = False

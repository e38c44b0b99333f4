"""Plays a case to every server, or to every client, and says which of them did something else."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import NamedTuple

from . import raw
from .peers import listen

# Among what is sent: the messages that are due are waited for before the rest is sent. A Close
# frame may be answered before the messages in front of it, which can't be any more then.
WAIT = "wait"


@dataclasses.dataclass(frozen=True)
class Case:
    """What is done to a peer after the opening handshake, and what is due.

    Args:
        name: what is wrong.
        rule: where that is said: an RFC and its section, or the fault of a library.
        sends: frames, and bytes that are none.
        due: the code of the Close frame that is due; 1006 for the end of the connection without.
        messages: what is to be delivered before that, as opcode and payload.
        pongs: the pongs that are due before that.
        ends: whether the stream ends behind what is sent.
        offers: a header Sec-WebSocket-Extensions for the request, which a server accepts.
        accepts: what is in its place in the response to a client.
        step: how many bytes are sent at once; 0 for all.
        ways: whether without TLS, and with it.

    """

    name: str
    rule: str
    sends: tuple[object, ...]
    due: int
    messages: tuple[tuple[int, bytes], ...] = ()
    pongs: tuple[bytes, ...] = ()
    ends: bool = False
    offers: str | None = None
    accepts: str | None = None
    step: int = 0
    ways: tuple[str, ...] = ("plain", "tls")

    @property
    def answer(self) -> raw.Received:
        """What a server that echoes has to send."""
        return raw.Received(self.messages, self.pongs, self.due)


def ident(case: object) -> str:
    """Name a test."""
    return case.name


def targets(servers, ways):
    """Give the servers that are attacked."""
    for name in ways:
        for program in servers:
            if name in program.ports:
                yield program, name


def outcome(function, *args):
    """Give what a function gives, or what is wrong."""
    try:
        return function(*args)
    except (AssertionError, OSError, ValueError) as exc:
        return repr(exc)


def to_servers(case: Case, servers, context) -> dict[str, object]:
    """Play a case to servers; gives what others than the due answers were, by server."""
    first, rest = parts(case, True)
    changes = {"Sec_WebSocket_Extensions": case.offers} if case.offers else {}
    with opened(servers, context, case.ways, **changes) as socks:
        for sock in socks.values():
            raw.send(sock, first, case.step)
            if case.ends:
                raw.cut_off(sock)
        answers = {}
        for name, sock in socks.items():
            answers[name] = outcome(the_rest, sock, case, rest)
            sock.close()
    return {name: answer for name, answer in answers.items() if answer != case.answer}


@contextlib.contextmanager
def opened(servers, context, ways=("plain", "tls"), **changes):
    """Open a connection to each server; gives the sockets by name."""
    with contextlib.ExitStack() as stack:
        socks = {}
        for program, name in targets(servers, ways):
            sock = raw.connect(program.ports[name], context if name.endswith("tls") else None)
            socks[f"{program.face} {name}"] = stack.enter_context(sock)
            sock.sendall(raw.request(**changes))
        # All of them work meanwhile.
        for name, sock in socks.items():
            head = raw.read_head(sock)
            assert raw.status(head) == 101, (name, head)
        yield socks


def parts(case: Case, masked: bool) -> tuple[bytes, bytes]:
    """Give what is sent before and after `WAIT`."""
    at = case.sends.index(WAIT) if WAIT in case.sends else len(case.sends)
    return raw.wire(case.sends[:at], masked), raw.wire(case.sends[at + 1 :], masked)


def the_rest(sock, case: Case, rest: bytes) -> raw.Received:
    """Read to the end, sending the rest when the messages have come that are due before."""
    data = b""
    if rest:
        while raw.received(data, False).messages != case.messages:
            more = sock.recv(65536)
            assert more, data[:200]
            data += more
        raw.send(sock, rest)
    return raw.received(data + raw.read_all(sock), False)


def to_clients(case: Case, clients, contexts) -> dict[str, object]:
    """Play a case to clients; gives what others than the due answers were, by client."""
    wrong = {}
    for way in case.ways:
        wrong |= play(case, clients, contexts, way)
    return wrong


def play(case: Case, clients, contexts, way: str) -> dict[str, object]:
    """Play a case to clients that connect in one way."""
    secure = way == "tls"
    data = b"".join(parts(case, False))
    lines = [f"Sec-WebSocket-Extensions: {case.accepts}"] if case.accepts else []
    wrong = {}
    with listen() as listener:
        for client in clients:
            client.go(listener.getsockname()[1], secure)
        answers = {}
        for _ in clients:
            with accepted(listener, contexts[0] if secure else None) as sock:
                head = raw.read_head(sock)
                face = head.split(b" ", 2)[1][1:].decode()
                raw.send(sock, raw.response(head, *lines) + data, case.step)
                if case.ends:
                    raw.cut_off(sock)
                # The client ends its stream last, when it was not failed.
                answers[face] = outcome(lambda sock=sock: until_close(sock))
        for client in clients:
            report = client.line()
            messages = tuple((opcode, bytes.fromhex(each)) for opcode, each in report["messages"])
            answer = answers[client.face]
            if not isinstance(answer, str):
                answer = answer._replace(messages=messages)
            if answer != case.answer:
                wrong[f"{client.face} {way}"] = (answer, report)
    return wrong


def until_close(sock) -> raw.Received:
    """Read up to a Close frame, or to the end."""
    data = b""
    while True:
        answer = raw.received(data, True)
        more = b""
        if answer.code == 1006:
            with contextlib.suppress(*raw.GONE):
                more = sock.recv(65536)
        if not more:
            return answer
        data += more


def honest(face: str, sock, step: int) -> None:
    """Be a client that does everything right, and is served: read an answer, and go on."""
    if step == 0:
        head = raw.read_head(sock)
        assert raw.status(head) == 101, (face, head)
        sock.sendall(raw.text("honest").wire(True))
    elif step == 1:
        assert sock.recv(100) == raw.text("honest").wire(False), face
        sock.sendall(raw.close().wire(True))
    else:
        assert raw.received(raw.read_all(sock), False) == ((), (), 1000, b""), face


def settled(servers, descriptors: bool = True) -> None:
    """See to it that servers live, serve, and hold nothing of what was done to them.

    Args:
        servers: the programs.
        descriptors: False while there is somebody else.

    """
    with contextlib.ExitStack() as stack:
        socks = []
        for program in servers:
            assert program.alive(), program.face
            sock = stack.enter_context(raw.connect(program.ports["plain"]))
            socks.append((program.face, sock))
            sock.sendall(raw.request())
        # All of them work meanwhile.
        for step in range(3):
            for face, sock in socks:
                honest(face, sock, step)
    for program in servers if descriptors else ():
        program.settle(program.held)


class Attempt(NamedTuple):
    """A request, and the status that is due.

    Args:
        name: what is wrong.
        rule: where that is said.
        sends: the bytes.
        due: the status; 0 if the connection ends without one.
        needs: what has to be in the answer.
        lacks: what must not be in the answer.
        server: which of a program's servers is asked.
        ends: whether the stream ends behind what is sent.
        uvicorn: status that is due from uvicorn where that isn't the same: it reads requests by
            itself, a bit less strictly, and gives to the application what isn't an upgrade.

    """

    name: str
    rule: str
    sends: bytes
    due: int
    needs: tuple[bytes, ...] = ()
    lacks: tuple[bytes, ...] = ()
    server: str = ""
    ends: bool = False
    uvicorn: int | None = None


def attempt(case: Attempt, servers, context) -> dict[str, object]:
    """Send a request to servers; gives what others than the due answers were, by server."""
    with contextlib.ExitStack() as stack:
        socks = []
        for program, name in targets(servers, [case.server] if case.server else ["plain", "tls"]):
            sock = raw.connect(program.ports[name], context if name.endswith("tls") else None)
            stack.enter_context(sock)
            socks.append((f"{program.face} {name}", sock))
            raw.send(sock, case.sends)
            if case.ends:
                raw.cut_off(sock)
        wrong = {}
        for name, sock in socks:
            head = raw.read_head(sock)
            if raw.status(head) == 101:
                # Behind a second request this is too late: that was no frame.
                raw.send(sock, raw.close().wire(True))
            answer = head + raw.read_all(sock)
            sock.close()
            low = answer.lower()
            if case.uvicorn is not None and name.startswith("uvicorn"):
                right = raw.status(head) == case.uvicorn
            else:
                right = raw.status(head) == case.due and (case.due or not answer)
                right = right and all(need.lower() in low for need in case.needs)
                right = right and not any(lack.lower() in low for lack in case.lacks)
            if not right:
                wrong[name] = answer[:300]
    return wrong


def respond(case, clients, contexts) -> dict[str, object]:
    """Answer the requests of clients; gives what others than the due reports were, by client."""
    wrong = {}
    for way in ("plain", "tls"):
        with listen() as listener:
            for client in clients:
                client.go(listener.getsockname()[1], way == "tls")
            for _ in clients:
                with accepted(listener, contexts[0] if way == "tls" else None) as sock:
                    key = raw.key_of(raw.read_head(sock))
                    sends = case.sends
                    if not isinstance(sends, bytes):
                        text = "\r\n".join([*sends, "", ""])
                        accept = raw.accept_key(key)
                        text = text.replace("{accept}", accept).replace("{lower}", accept.lower())
                        sends = text.encode("latin-1")
                    raw.send(sock, sends)
                    if not case.due:
                        raw.send(sock, raw.close().wire(False))
                        until_close(sock)
            for client in clients:
                report = client.line()
                due = case.due or {"ConnectionClosedOK"}
                if report["error"] not in due or (case.status or 0) not in (0, report["status"]):
                    wrong[f"{client.face} {way}"] = report
    return wrong


def accepted(listener, context):
    """Accept a connection, with TLS if there is a context for it."""
    sock, _ = listener.accept()
    sock.settimeout(raw.PATIENCE)
    return sock if context is None else context.wrap_socket(sock, server_side=True)


def stream_to_clients(frames, clients, contexts) -> list[dict[str, object]]:
    """Send frames to clients, and end the stream; gives their reports."""
    reports = []
    for way in ("plain", "tls"):
        with listen() as listener:
            for client in clients:
                client.go(listener.getsockname()[1], way == "tls")
            for _ in clients:
                with accepted(listener, contexts[0] if way == "tls" else None) as sock:
                    head = raw.read_head(sock)
                    raw.send(sock, raw.response(head) + raw.wire(frames, False))
                    raw.cut_off(sock)
                    raw.read_all(sock)
            reports += [client.line() for client in clients]
    return reports

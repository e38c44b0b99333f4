"""A protocol class for uvicorn: ASGI applications on this library's connections.

::

    uvicorn app:app --ws tidegate.integrations.uvicorn:WebSocketProtocol

uvicorn hands over a transport and the request, as it does to its own classes.
"""

from __future__ import annotations

import asyncio
import contextvars
import http
import logging
import urllib.parse
from collections import deque
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)

from ..asyncio.connection import Connection
from ..asyncio.waiting import drain
from ..core.acceptance import CLOSE_TIMEOUT, Answer, respond
from ..datastructures import Headers
from ..exceptions import ConnectionClosed, InvalidState
from ..extensions.permessage_deflate import enable_server_permessage_deflate
from ..frames import CloseCode
from ..http11 import Request, Response
from ..server import ServerProtocol, http_date
from .asgi import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn.config import Config
    from uvicorn.server import ServerState

__all__ = ["WebSocketProtocol"]

# How far the application is: asked whether to accept, told that it's too late for that, between
# the start and the end of a response that isn't a WebSocket's, done with that, or in a connection.
ASKED = "asked"
TOO_LATE = "too late"
DENYING = "denying"
DENIED = "denied"
ACCEPTED = "accepted"

ACCEPT = "websocket.accept"
SEND = "websocket.send"
RECEIVE = "websocket.receive"
CLOSE = "websocket.close"
DENIAL_START = "websocket.http.response.start"
DENIAL_BODY = "websocket.http.response.body"

# How long closing may take, in seconds.
CLOSING_TIME = 10.0

# Statuses whose responses have no body (RFC 9110, sections 15.3.5 and 15.4.5).
WITHOUT_BODY = (204, 304)


class Buffered(asyncio.BufferedProtocol):
    """A connection as uvloop takes it for a buffered protocol: it isn't an `asyncio.Protocol`, too.

    Args:
        connection: the connection.

    """

    def __init__(self, connection: WebSocketProtocol) -> None:
        # Methods of a compiled class, so nothing is lost by the detour.
        self.get_buffer = connection.get_buffer  # type: ignore[method-assign]
        self.buffer_updated = connection.buffer_updated  # type: ignore[method-assign]
        self.eof_received = connection.eof_received  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]
        self.connection_lost = connection.connection_lost  # type: ignore[method-assign]


class WebSocketProtocol(Exchange, Connection):
    """A WebSocket connection of an ASGI application under uvicorn.

    uvicorn makes it; there is no need to do that. Its settings are uvicorn's: ``--ws-max-size``,
    ``--ws-max-queue``, ``--ws-ping-interval``, ``--ws-ping-timeout``,
    ``--ws-per-message-deflate``.

    Args:
        config: uvicorn's configuration.
        server_state: what the connections of a server share.
        app_state: the state that the application's lifespan made.

    """

    protocol: ServerProtocol

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        logger = logging.getLogger("uvicorn.error")
        super().__init__(
            ServerProtocol(
                extensions=(
                    enable_server_permessage_deflate(None)
                    if config.ws_per_message_deflate
                    else None
                ),
                max_size=config.ws_max_size,
                logger=logger,
            ),
            # uvicorn takes 0 for no pings.
            ping_interval=config.ws_ping_interval or None,
            ping_timeout=config.ws_ping_timeout,
            close_timeout=CLOSING_TIME,
            max_queue=config.ws_max_queue,
        )
        self.ends_early = True
        if config.ws_max_size and config.ws_max_queue:
            # All that waits together is no larger than a message may be.
            unit = max(config.ws_max_size // config.ws_max_queue, 1)
            self.protocol.frame_reader.unit = unit
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._log = logger
        self._scope: dict[str, Any] = {}
        self._stage = ASKED
        self._connect_received = False
        # Who waits for the end of the opening handshake, and for others that receive.
        self._opened: asyncio.Future[None] | None = None
        self._others: deque[asyncio.Future[None]] = deque()
        self._disconnected: dict[str, Any] | None = None
        # A response that isn't a WebSocket's, of which the beginning wasn't sent yet.
        self._denial: Response | None = None

    # What uvicorn and the transport call

    def connection_made(self, transport: Any) -> None:
        """Begin with the transport that uvicorn hands over."""
        self._state.connections.add(self)  # type: ignore[arg-type]
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody that the connection is closed."""
        self._state.connections.discard(self)
        super().connection_lost(exc)
        self._handshake_over()

    def shutdown(self) -> None:
        """Close the connection, because the server is about to end."""
        if self._stage == ASKED:
            self._stage = TOO_LATE
            self._refuse(http.HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            self.start_closing(CloseCode.SERVICE_RESTART)

    # The opening handshake

    def process_event(self, event: Any) -> None:
        """Have the application run, if the request is one for a WebSocket."""
        assert isinstance(event, Request)
        self.request = event
        response = self.protocol.accept(event)
        if response.status_code != 101:
            respond(self, Answer(response), None, True)
            return
        self.response = response
        self.asked()
        self._scope = self._make_scope(event)
        context = contextvars.Context() if self._config.reset_contextvars else None
        task = self.loop.create_task(self._run_application(), context=context)
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _make_scope(self, request: Request) -> dict[str, Any]:
        path, _, query = request.path.partition("?")
        root_path = self._config.root_path
        return {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self.transport) else "ws",
            "server": get_local_addr(self.transport),
            "client": get_remote_addr(self.transport),
            "root_path": root_path,
            "path": root_path + urllib.parse.unquote(path),
            "raw_path": (root_path + path).encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in request.headers.raw_items()
            ],
            "subprotocols": [
                subprotocol.strip()
                for value in request.headers.get_all("Sec-WebSocket-Protocol")
                for subprotocol in value.split(",")
            ],
            "state": self._app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }

    def _handshake_over(self) -> None:
        """Let those go on who wait for the end of the opening handshake."""
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)

    def _tell(self, outcome: object) -> None:
        """Log how the opening handshake ended, as uvicorn's own classes do."""
        self._log.info(
            '%s - "WebSocket %s" %s',
            get_client_addr(self._scope),  # type: ignore[arg-type]
            get_path_with_query_string(self._scope),  # type: ignore[arg-type]
            outcome,
        )

    def _respond(self, response: Response) -> None:
        """Send a response, which ends the opening handshake.

        Raises:
            ClientDisconnected: if nobody is there any more.

        """
        if respond(self, Answer(response), None, True) is None:
            raise ClientDisconnected
        self._handshake_over()

    def _refuse(self, status: http.HTTPStatus) -> None:
        """End the opening handshake with a status, if it isn't over."""
        response = self.protocol.reject(status, "" if status == 403 else status.phrase)
        try:
            self._respond(response)
        except ClientDisconnected:
            pass

    def _accept(self, message: Any) -> None:
        response = self.response
        assert response is not None
        headers = Headers.from_valid(
            [item for item in response.headers.raw_items() if item[0] != "Date"]
        )
        self._add_headers(headers, message)
        subprotocol = message.get("subprotocol")
        if subprotocol:
            headers["Sec-WebSocket-Protocol"] = subprotocol
        response.headers = headers
        if self.ended or self.protocol.eof_sent:
            raise ClientDisconnected
        self._tell("[accepted]")
        self.protocol.subprotocol = subprotocol
        # What comes is received where it stays, on uvloop, too.
        self.transport.set_protocol(Buffered(self))
        self._stage = ACCEPTED
        self.talking = True
        self._respond(response)
        self.flush()
        self.received()

    def _add_headers(self, headers: Headers, message: Any) -> None:
        """Add the server's and the application's headers.

        Raises:
            ValueError: if one can't be sent.

        """
        own: Iterable[tuple[bytes, bytes]] = message.get("headers") or ()
        for name, value in (*self._state.default_headers, *own):
            headers[bytes(name).decode("latin-1")] = bytes(value).decode("latin-1")

    # A response that isn't a WebSocket's

    def _start_denial(self, message: Any) -> None:
        status = message["status"]
        if not 200 <= status < 600:
            raise RuntimeError(f"Invalid HTTP status code '{status}' in response.")
        try:
            phrase = http.HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        headers = Headers()
        self._add_headers(headers, message)
        self._tell(status)
        set_default(headers, "Date", http_date())
        set_default(headers, "Connection", "close")
        self._denial = Response(status, phrase, headers)
        self._stage = DENYING

    async def _continue_denial(self, message: Any) -> None:
        body = message.get("body", b"")
        last = not message.get("more_body", False)
        denial, self._denial = self._denial, None
        await self._wait_for_room()
        if self.ended or self.protocol.eof_sent:
            raise ClientDisconnected
        if denial is not None:
            if denial.status_code not in WITHOUT_BODY:
                set_default(denial.headers, "Content-Type", "text/plain; charset=utf-8")
                if last:
                    set_default(denial.headers, "Content-Length", str(len(body)))
            if last:
                denial.body = body
                self._stage = DENIED
                self._respond(denial)
                return
            # Without a length, its end is that of the stream (RFC 9112, section 6.3).
            self.protocol.frame_writer.append(denial.serialize())
        if body:
            self.protocol.frame_writer.append(bytes(body))
        if last:
            self._stage = DENIED
            self.protocol.send_eof()
            self.follow(CLOSE_TIMEOUT)
            self._handshake_over()
        self.flush()

    # The application

    async def _run_application(self) -> None:
        try:
            result = await self._config.loaded_app(self._scope, self.receive_event, self.send_event)
        except ClientDisconnected:
            self._finish(CloseCode.NORMAL_CLOSURE)
        except BaseException as exc:
            task = asyncio.current_task()
            if isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling():
                # uvicorn's time for shutting down is over.
                self._finish(CloseCode.SERVICE_RESTART)
                raise
            self._log.error("Exception in ASGI application\n", exc_info=exc)
            self._finish(CloseCode.INTERNAL_ERROR)
        else:
            if self._stage == ASKED and not self.ended:
                self._log.error("ASGI callable returned without completing handshake.")
            elif result is not None:
                self._log.error("ASGI callable should return None, but returned '%s'.", result)
            self._finish(CloseCode.NORMAL_CLOSURE)

    def _finish(self, code: CloseCode) -> None:
        """End the connection that the application has left."""
        if self._stage == ASKED or self._denial is not None:
            self._stage = DENIED
            self._refuse(http.HTTPStatus.INTERNAL_SERVER_ERROR)
        elif self._stage == DENYING:
            # The response isn't complete, and looks like it only if the connection breaks.
            self.abort()
        else:
            self.start_closing(code)

    async def receive_otherwise(self) -> dict[str, Any]:
        """Receive an event that isn't a message, or one after others have received theirs."""
        if not self._connect_received:
            self._connect_received = True
            return {"type": "websocket.connect"}
        if self._stage in (ASKED, DENYING) and not self.ended:
            if self._opened is None:
                self._opened = self.loop.create_future()
            await asyncio.shield(self._opened)
        if self._stage != ACCEPTED:
            return self.disconnect_event()
        while self.reception:
            turn: asyncio.Future[None] = self.loop.create_future()
            self._others.append(turn)
            self.crowded = True
            try:
                await turn
            except asyncio.CancelledError:
                if turn.cancelled():
                    self._others.remove(turn)
                else:
                    self.let_another_receive()
                raise
        try:
            message = await self.recv()
        except (ConnectionClosed, InvalidState):
            return self.disconnect_event()
        finally:
            self.let_another_receive()
        return {"type": RECEIVE, "text" if isinstance(message, str) else "bytes": message}

    def let_another_receive(self) -> None:
        """Let the next one receive, of those who wait."""
        while self._others:
            turn = self._others.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        self.crowded = bool(self._others)

    def disconnect_event(self) -> dict[str, Any]:
        """Give the event that says how the connection ended: always the same."""
        if self._disconnected is None:
            protocol = self.protocol
            close = protocol.close_sent
            if close is None or protocol.close_rcvd_then_sent:
                close = protocol.close_rcvd
            if self._stage != ACCEPTED:
                code, reason = 1006, ""
            elif close is None:
                # As uvicorn's default class has it, whatever RFC 6455 would call it.
                code, reason = 1005, "connection lost"
            else:
                code, reason = int(close.code), close.reason
            self._disconnected = {
                "type": "websocket.disconnect",
                "code": code,
                "reason": reason,
            }
        return dict(self._disconnected)

    async def send_otherwise(self, kind: str, message: Any) -> None:
        """Send an event that isn't a message, or refuse one that can't come now."""
        if self._stage == ASKED:
            if kind not in (ACCEPT, CLOSE, DENIAL_START):
                raise RuntimeError(
                    f"Expected ASGI message '{ACCEPT}', '{CLOSE}' or '{DENIAL_START}' but got "
                    f"'{kind}'."
                )
            if self.ended or self.protocol.eof_sent:
                raise ClientDisconnected
            if kind == ACCEPT:
                self._accept(message)
            elif kind == CLOSE:
                self._tell(403)
                self._stage = DENIED
                self._refuse(http.HTTPStatus.FORBIDDEN)
            else:
                self._start_denial(message)
        elif self._stage == DENYING:
            if kind != DENIAL_BODY:
                raise RuntimeError(f"Expected ASGI message '{DENIAL_BODY}' but got '{kind}'.")
            await self._continue_denial(message)
        elif self.talking:
            if kind == SEND:
                await self._send_message(message)
            elif kind == CLOSE:
                self.start_closing(message.get("code", 1000), message.get("reason") or "")
                self.talking = False
            else:
                raise RuntimeError(
                    f"Expected ASGI message '{SEND}' or '{CLOSE}', but got '{kind}'."
                )
        elif self._stage == TOO_LATE:
            raise ClientDisconnected
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}', after sending '{CLOSE}'.")

    async def _send_message(self, message: Any) -> None:
        data = message.get("bytes")
        if data is None:
            data = message.get("text")
        if data is None:
            raise RuntimeError(f"'{SEND}' has neither 'bytes' nor 'text'.")
        await self._wait_for_room()
        try:
            self.send_nowait(data)
        except (ConnectionClosed, InvalidState):
            raise ClientDisconnected from None

    async def _wait_for_room(self) -> None:
        """Wait until the write buffer is below its limit.

        Raises:
            ClientDisconnected: if the connection is lost meanwhile, or the peer has taken nothing
                for as long as it may leave a ping without an answer.

        """
        while self.full and not self.ended:
            unsent = self.transport.get_write_buffer_size()
            taken = self.written - unsent
            try:
                await drain(self, self.ping_timeout)
            except ConnectionClosed:
                raise ClientDisconnected from None
            except TimeoutError:
                if self.written - self.transport.get_write_buffer_size() == taken:
                    self._log.info(
                        "%s - the peer took nothing for %g s, connection aborted",
                        get_client_addr(self._scope),  # type: ignore[arg-type]
                        self.ping_timeout,
                    )
                    self.abort()
                    raise ClientDisconnected from None


def set_default(headers: Headers, name: str, value: str) -> None:
    """Set a header that isn't there, not even several times."""
    if not headers.get_all(name):
        headers[name] = value

"""A server for threads that runs, and how it is shut down."""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from ..core.limits import ACCEPT_DELAY
from ..core.tally import ServerStats, SharedTally
from ..exceptions import ProtocolError
from ..frames import Close, CloseCode
from ..protocol import CONNECTING, LOGGERS, OPEN, Side
from ..utils import get_socket_name
from .attendant import get_attendant

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ..core.acceptance import OpeningOptions
    from ..core.limits import Limits
    from ..typing import LoggerLike
    from .server_connection import ServerConnection

__all__ = ["Server"]

# How long to wait before accepting again when that fails, as where there are no descriptors left,
# in seconds.
PAUSE = 0.2


class Server:
    """A WebSocket server for threads, as `serve` returns it.

    It is a context manager that shuts the server down at its end.

    Args:
        sock: the socket that it listens on.
        handler: called with each accepted socket and its address, in a thread of its own.
        logger: where to log; the default is ``tidegate.server``.

    Attributes:
        socket: the socket that it listens on.

    """

    def __init__(
        self,
        sock: socket.socket,
        handler: Callable[[socket.socket, Any], None],
        logger: LoggerLike | None = None,
    ) -> None:
        self.socket = sock
        self.handler = handler
        self.logger: LoggerLike = LOGGERS[Side.SERVER] if logger is None else logger
        self.limits: Limits | None = None
        # Called before there is a thread for a socket: gives what to call in it, None if the socket
        # is refused.
        self.admit: Callable[[socket.socket, Any], Callable[[], None] | None] | None = None
        # Removes what listening made.
        self.clean_up: Callable[[], None] | None = None
        # A signal handler may shut the server down.
        self.lock = threading.RLock()
        self.tally = SharedTally(self.lock)
        self.all_connections: set[ServerConnection] = set()
        self.handler_threads: set[threading.Thread] = set()
        # Sockets of which there is no connection yet.
        self.arriving: set[socket.socket] = set()
        self.closing = False
        # Until when the log isn't told again that accepting fails.
        self.quiet_until = 0.0
        # The threads that accept connections, and what is notified when one stops to.
        self.acceptors: set[threading.Thread] = set()
        self.left = threading.Condition(self.lock)
        self.waker, self.wakee = socket.socketpair()
        sock.setblocking(False)
        self.logger.info("server listening on %s", get_socket_name(sock))

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open."""
        with self.lock:
            return {each for each in self.all_connections if each.state is OPEN}

    @property
    def stats(self) -> ServerStats:
        """What the server has done so far, and what it does now."""
        return self.tally.stats(self.all_connections, self.limits)

    def is_serving(self) -> bool:
        """Whether the server accepts connections."""
        return not self.closing

    def fileno(self) -> int:
        """Give the descriptor of the socket that it listens on."""
        return self.socket.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def serve_forever(self) -> None:
        """Accept connections until the server is shut down, by another thread or a signal handler.

        ::

            with serve(...) as server:
                server.serve_forever()

        """
        with self.lock:
            if self.closing:
                return
            self.acceptors.add(threading.current_thread())
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self.socket, selectors.EVENT_READ)
                selector.register(self.wakee, selectors.EVENT_READ)
                while not self.closing:
                    selector.select()
                    if not self.closing:
                        self.accept()
        finally:
            self.stop_accepting()

    def stop_accepting(self) -> None:
        """Accept no more in this thread; close the sockets when none waits for them any more."""
        with self.lock:
            self.acceptors.discard(threading.current_thread())
            if self.closing and not self.acceptors:
                self.wakee.close()
                self.socket.close()
            self.left.notify_all()

    def wait_for_acceptors(self) -> None:
        """Wait until no thread accepts any more, but for this one, and those that a child lacks."""
        this = threading.current_thread()
        with self.lock:
            while any(each is not this and each.is_alive() for each in self.acceptors):
                self.left.wait()

    def accept(self) -> None:
        """Accept a connection, and serve it in a thread of its own."""
        try:
            sock, address = self.socket.accept()
        except (BlockingIOError, ConnectionAbortedError):
            # It is gone already.
            return
        except OSError as exc:
            if not self.closing:
                now = time.monotonic()
                if now >= self.quiet_until:
                    self.quiet_until = now + ACCEPT_DELAY
                    self.logger.error("accepting connections failed: %s", exc)
                time.sleep(PAUSE)
            return
        sock.setblocking(True)
        with self.lock:
            self.arriving.add(sock)
        serve: Callable[[], None] | None = functools.partial(self.handler, sock, address)
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            if self.admit is not None:
                serve = self.admit(sock, address)
                if serve is None:
                    self.arrived(sock)
                    return
            thread = threading.Thread(target=self.run, args=(sock, serve), daemon=True)
            with self.lock:
                thread.start()
                self.handler_threads.add(thread)
        except Exception as exc:
            # There may be no memory for a thread.
            self.logger.error("serving a connection failed", exc_info=exc)
            self.arrived(sock)
            self.break_off(sock)

    def run(self, sock: socket.socket, serve: Callable[[], None]) -> None:
        """Serve a connection, in its thread."""
        try:
            serve()
        finally:
            self.arrived(sock)
            with self.lock:
                self.handler_threads.discard(threading.current_thread())

    def break_off(self, sock: socket.socket) -> None:
        """Let go of a socket, with its connection if there is one."""
        with self.lock:
            connections = [each for each in self.all_connections if each.socket is sock]
        for connection in connections:
            connection.break_off()
        sock.close()

    def arrived(self, sock: socket.socket) -> None:
        """Take note that there is a connection, or no socket any more."""
        with self.lock:
            self.arriving.discard(sock)

    def identify(
        self, connection: ServerConnection, options: OpeningOptions
    ) -> tuple[int, str] | None:
        """Count a connection for its client's address, or say with which response it's refused."""
        with self.lock:
            if connection not in self.all_connections or connection.counted is None:
                return None
            now = time.monotonic()
            address = connection.remote_address
            counted, refusal = options.identified(*connection.counted, address, now)
            connection.counted = (counted,)
            return refusal

    def connection_closed(self, connection: ServerConnection) -> None:
        """Forget a connection."""
        with self.lock:
            if connection in self.all_connections:
                self.all_connections.discard(connection)
                if self.limits is not None and connection.counted is not None:
                    self.limits.release(*connection.counted)

    def shutdown(
        self,
        close_connections: bool = True,
        code: CloseCode | int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> None:
        """Shut the server down, and wait for its handlers.

        It stops listening, refuses the opening handshakes that are going on with 503, closes the
        connections, and waits until their handlers are done. It can't be called by a handler.

        Args:
            close_connections: whether to close the connections that are open.
            code: with which code.
            reason: with which reason.

        Raises:
            ProtocolError: if the code or the reason can't be sent.
            RuntimeError: if it is called in the thread of a handler.

        """
        if threading.current_thread() in self.handler_threads:
            raise RuntimeError("shutdown() waits for handlers, so a handler can't call it")
        if len(Close(code, reason).serialize()) > 125:
            raise ProtocolError("control frame too long")
        self.stop_listening()
        with self.lock:
            arriving = list(self.arriving)
            connections = list(self.all_connections)
            threads = list(self.handler_threads)
        for sock in arriving:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for connection in connections:
            if connection.protocol.state is CONNECTING:
                connection.refuse()
            elif close_connections:
                with connection.lock:
                    connection.start_closing(code, reason)
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.wait_closed()
        self.wait_for_acceptors()
        get_attendant().rest()
        self.logger.info("server closed")

    def stop_listening(self) -> None:
        """Accept no more connections."""
        with self.lock:
            if self.closing:
                return
            self.closing = True
        self.logger.info("server closing")
        self.waker.close()
        with self.lock:
            if not self.acceptors:
                self.stop_accepting()
        if self.clean_up is not None:
            self.clean_up()

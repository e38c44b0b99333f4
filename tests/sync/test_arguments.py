"""Arguments and names of `tidegate.sync` that aren't those of the other faces."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from tidegate.sync import server as server_module
from tidegate.sync.client import reconnect, unix_connect, unix_reconnect
from tidegate.sync.server import serve, unix_serve


def ignore(connection):
    pass


@pytest.mark.parametrize(
    "function", [unix_connect, unix_reconnect, lambda *args, **kw: unix_serve(ignore, *args, **kw)]
)
def test_a_unix_socket_has_a_path_or_is_given(function):
    with pytest.raises(ValueError, match=r"^missing path argument$"):
        function()
    with (
        contextlib.closing(socket.socket(socket.AF_UNIX)) as sock,
        pytest.raises(ValueError, match=r"^path is incompatible with sock$"),
    ):
        function("/nowhere", sock=sock)


def test_ssl_context_was_renamed(certificates):
    ours, theirs = certificates
    renamed = pytest.warns(DeprecationWarning, match=r"^ssl_context was renamed to ssl$")
    with renamed as warned, serve(ignore, "127.0.0.1", 0, ssl_context=ours) as server:
        assert warned[0].filename == __file__
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        host, port = server.socket.getsockname()
        reconnecting = reconnect(f"wss://{host}:{port}", ssl_context=theirs, proxy=None)
        assert warned[1].filename == __file__
        with reconnecting as connection:
            assert list(connection) == []
        server.shutdown()
        thread.join()


def test_the_server_was_called_otherwise():
    with pytest.warns(DeprecationWarning, match="WebSocketServer was renamed to Server"):
        assert server_module.WebSocketServer is server_module.Server

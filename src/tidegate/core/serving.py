"""What a server does for each connection, but for the waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..datastructures import Headers
from ..extensions.permessage_deflate import enable_server_permessage_deflate
from ..headers import validate_subprotocols
from ..server import ServerProtocol
from .acceptance import OpeningOptions
from .arguments import (
    TIMES,
    check_extensions,
    check_limits,
    check_origins,
    check_seconds,
    refuse_older_arguments,
)
from .checks import check_connection_class, check_function, check_handler
from .listener import is_listener_factory

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from ..extensions.base import ServerExtensionFactory
    from ..typing import LoggerLike, Origin, Subprotocol
    from .limits import Limits

__all__ = ["Serving"]


class Serving:
    """The arguments of ``serve`` that are the same for every face, checked.

    Args:
        handler: what is run for each connection.
        connection_class: what the face's connections are.
        connection_options: further arguments for them.
        arguments: of the face's ``serve`` that are about what is below the connections.
        **options: the face's other arguments of ``serve``.

    Attributes:
        create_connection: the class of the connections.
        opening: how their opening handshakes are done.

    Raises:
        TypeError: if an argument of the older API is given, or a function or class can't be called
            as it will be; the message says what to write.
        ValueError: if an argument has a value that can't be used.

    """

    def __init__(
        self,
        handler: Any,
        connection_class: type,
        connection_options: dict[str, Any],
        arguments: dict[str, Any],
        *,
        origins: Sequence[Origin | re.Pattern[str] | None] | None,
        extensions: Sequence[ServerExtensionFactory] | None,
        subprotocols: Sequence[Subprotocol] | None,
        select_subprotocol: Callable[[Any, Sequence[Subprotocol]], Subprotocol | None] | None,
        compression: str | None,
        process_request: Callable[..., Any] | None,
        process_response: Callable[..., Any] | None,
        server_header: str | None,
        open_timeout: float | None,
        max_size: int | tuple[int | None, int | None] | None,
        limits: Limits | None,
        forwarded: Any,
        logger: LoggerLike | None,
        create_connection: type | None,
    ) -> None:
        refuse_older_arguments("serve", arguments)
        if not is_listener_factory(handler):
            check_handler(handler)
        check_function("process_request", process_request, ("connection", "request"), "path")
        check_function("process_response", process_response, ("connection", "request", "response"))
        check_function(
            "select_subprotocol",
            select_subprotocol,
            ("connection", "subprotocols"),
            "client_subprotocols",
        )
        check_connection_class(create_connection, connection_class)
        check_origins(origins)
        check_extensions(extensions)
        if subprotocols is not None:
            validate_subprotocols(subprotocols)
        if compression == "deflate":
            extensions = enable_server_permessage_deflate(extensions)
        elif compression is not None:
            raise ValueError(f"unsupported compression: {compression}")
        check_limits(
            max_size=max_size,
            max_queue=connection_options["max_queue"],
            write_limit=connection_options.get("write_limit"),
        )
        check_seconds(
            open_timeout=open_timeout,
            **{name: connection_options[name] for name in TIMES if name in connection_options},
        )
        if limits is not None and not hasattr(limits, "admit"):
            raise TypeError(f"limits must be a tidegate.Limits, not {limits!r}")
        if server_header is not None:
            Headers(Server=server_header)
        self.create_connection: Any = (
            connection_class if create_connection is None else create_connection
        )
        self.connection_options = connection_options
        self.select_subprotocol = select_subprotocol
        self.protocol_options: dict[str, Any] = {
            "origins": origins,
            "extensions": extensions,
            "subprotocols": subprotocols,
            "max_size": max_size,
            "logger": logger,
        }
        self.opening = OpeningOptions(
            process_request, process_response, server_header, open_timeout, limits, forwarded
        )

    def make_connection(self, *before: Any, server: Any) -> Any:
        """Make a connection.

        Args:
            *before: what the face's connections take before the protocol.
            server: the server that it belongs to.

        """
        protocol = ServerProtocol(**self.protocol_options)
        connection = self.create_connection(*before, protocol, server, **self.connection_options)
        connection.tally = server.tally
        protocol.on_refusal = server.tally.refused
        if self.select_subprotocol is not None:
            select = self.select_subprotocol

            def select_for_protocol(
                protocol: ServerProtocol, subprotocols: Sequence[Subprotocol]
            ) -> Subprotocol | None:
                return select(connection, subprotocols)

            protocol._select_subprotocol = select_for_protocol
        return connection

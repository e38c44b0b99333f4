"""Messages that are received fragment by fragment, but for the waiting."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .link import Link

__all__ = ["Pieces"]


class Pieces:
    """Takes the fragments of a message as a program wants them.

    Args:
        link: the connection, from which nobody else receives.
        decode: True gives text, also of a binary message, False gives bytes, also of a text
            message; None gives what was sent.

    Attributes:
        complete: whether the whole message was taken.

    Raises:
        ConcurrencyError: if somebody else is receiving.

    """

    def __init__(self, link: Any, decode: bool | None) -> None:
        link.start_streaming()
        self.link: Link = link
        self.frame_reader = link.protocol.frame_reader
        self.decode = decode
        self.decoder: codecs.IncrementalDecoder | None = None
        self.begun = False
        self.complete = False
        # Whether there is something that is no text, so that the connection is being closed.
        self.wrong = False

    def take(self) -> Any:
        """Take the next fragment; None if there is none, so that it is to be waited for.

        Raises:
            ConnectionClosed: if the connection is closed.

        """
        link, reader = self.link, self.frame_reader
        while not self.wrong:
            fragment = reader.pop_fragment()
            if fragment is None:
                link.fail_deferred()
                if link.ended or not (link.read_on() and reader.has_fragment()):
                    break
                continue
            data, text, last = fragment
            self.begun = True
            if reader.held <= link.low:
                link.read_on()
            if text if self.decode is None else self.decode:
                if self.decoder is None:
                    self.decoder = codecs.getincrementaldecoder("utf-8")()
                try:
                    data = self.decoder.decode(data, last)
                except UnicodeDecodeError as exc:
                    self.wrong = True
                    link.undecodable(exc)
                    break
            self.complete = last
            return data
        if link.ended:
            raise link.closed_error()
        return None

    def leave(self) -> None:
        """Take no more: if it wasn't complete, nobody can receive any more."""
        self.link.stop_streaming(self.begun and not self.complete)

"""A buffer that a parser written as a generator reads from."""

from __future__ import annotations

from collections.abc import Generator

__all__ = ["StreamReader"]


class StreamReader:
    """Data fed on one side and read on the other, by generators.

    Call a reading method with ``yield from``: it yields when it needs more data, and goes on when
    the generator is resumed after `feed_data` or `feed_eof`.
    """

    def __init__(self) -> None:
        # Deleting at the front of a bytearray doesn't move what is behind.
        self.buffer = bytearray()
        self.eof = False

    def feed_data(self, data: bytes | bytearray) -> None:
        """Add data at the end.

        Raises:
            EOFError: if the stream has ended.
        """
        if self.eof:
            raise EOFError("stream ended")
        self.buffer += data

    def feed_eof(self) -> None:
        """End the stream.

        Raises:
            EOFError: if it has ended already.
        """
        if self.eof:
            raise EOFError("stream ended")
        self.eof = True

    def discard(self) -> None:
        """Drop the data that wasn't read; the stream goes on."""
        del self.buffer[:]

    def _take(self, n: int) -> bytearray:
        data = self.buffer[:n]
        del self.buffer[:n]
        return data

    def read_line(
        self, m: int, too_long_exc_type: type[Exception] = RuntimeError
    ) -> Generator[None, None, bytearray]:
        """Read up to and including the next LF.

        Args:
            m: the most that the line may have, in bytes.
            too_long_exc_type: what to raise if it has more.

        Raises:
            EOFError: if the stream ends before the line does.
        """
        searched = 0
        while True:
            end = self.buffer.find(b"\n", searched) + 1
            if end:
                break
            searched = len(self.buffer)
            if searched > m:
                end = searched
                break
            if self.eof:
                raise EOFError(f"stream ends after {searched} bytes, before end of line")
            yield
        if end > m:
            raise too_long_exc_type(f"read {end} bytes, expected no more than {m} bytes")
        return self._take(end)

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        """Read ``n`` bytes.

        Raises:
            EOFError: if the stream ends before.
        """
        while len(self.buffer) < n:
            if self.eof:
                raise EOFError(f"stream ends after {len(self.buffer)} bytes, expected {n} bytes")
            yield
        return self._take(n)

    def read_to_eof(
        self, m: int, too_long_exc_type: type[Exception] = RuntimeError
    ) -> Generator[None, None, bytearray]:
        """Read all there is until the stream ends.

        Args:
            m: the most that may be, in bytes.
            too_long_exc_type: what to raise if there is more.
        """
        while True:
            length = len(self.buffer)
            if length > m:
                raise too_long_exc_type(f"read {length} bytes, expected no more than {m} bytes")
            if self.eof:
                return self._take(length)
            yield

    def at_eof(self) -> Generator[None, None, bool]:
        """Say whether the stream has ended and everything was read; wait until that is known."""
        while True:
            if self.buffer:
                return False
            if self.eof:
                return True
            yield

"""What was typed, for the line editor of the next time."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prompt_toolkit.history import History

__all__ = ["open_history"]

# All of it is read at the start. In bytes.
MAX_SIZE = 2**20


def history_path() -> Path | None:
    """Give the file for the history; None if there is no place for it."""
    # XDG Base Directory Specification 0.8: a relative path is invalid.
    if (state := os.environ.get("XDG_STATE_HOME", "")) and os.path.isabs(state):
        base = Path(state)
    elif sys.platform == "win32":
        if not (local := os.environ.get("LOCALAPPDATA")):
            return None
        base = Path(local)
    else:
        try:
            base = Path.home() / ".local" / "state"
        except RuntimeError:
            return None
    return base / "tidegate" / "history"


def open_history(lasting: bool) -> History:
    """Give the history of a line editor.

    Args:
        lasting: whether it is there again the next time.
    """
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    class LastingHistory(FileHistory):
        """A file that is only this user's; one that isn't writable any more is no misfortune."""

        def store_string(self, string: str) -> None:
            with contextlib.suppress(OSError):
                super().store_string(string)

        def load_history_strings(self) -> Iterable[str]:
            with contextlib.suppress(OSError):
                yield from super().load_history_strings()

    path = history_path() if lasting else None
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Messages may have passwords.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        if path.stat().st_size > MAX_SIZE:
            shorten(path)
    except OSError:
        return InMemoryHistory()
    return LastingHistory(str(path))


def shorten(path: Path) -> None:
    """Forget the older half of a history."""
    _, _, newer = path.read_bytes()[-MAX_SIZE // 2 :].partition(b"\n\n# ")
    # Another one may read it at the same time.
    fd, name = tempfile.mkstemp(dir=path.parent)
    with open(fd, "wb") as file:
        file.write(b"\n# " + newer)
    os.replace(name, path)

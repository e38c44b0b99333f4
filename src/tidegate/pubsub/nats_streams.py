"""JetStream: what keeps the history of a hub, and who is there."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import remote
from .errors import EngineError
from .nats_wire import Refused, Stored

if TYPE_CHECKING:
    from .engine import History
    from .nats_wire import NatsWire

# JetStream's code for a stream that another hub has just made.
STREAM_EXISTS = 10058

# The shortest that JetStream keeps anything, in ns.
SHORTEST = 100_000_000

# How many who are gone are looked for at once.
MOST_GHOSTS = 10_000


class Stream:
    """A stream, which is made when it isn't there, and changed when it is another.

    Args:
        wire: the connection.
        name: its name.
        config: what has to be as it is here; the rest of its configuration is its owner's.

    Attributes:
        epoch: stands for the count of its messages.
        advisory: where the server tells what becomes of it.

    """

    def __init__(self, wire: NatsWire, name: str, config: dict[str, Any]) -> None:
        self.wire = wire
        self.name = name
        self.config = {"name": name, **config}
        self.epoch = ""
        self.before = ""
        self.highest = 0
        self.advisory = f"$JS.EVENT.ADVISORY.STREAM.*.{name}"

    async def prepare(self) -> None:
        """See that it is there, and what has become of it.

        Raises:
            EngineError: if that isn't possible.

        """
        try:
            info = await self.ask("INFO", None)
        except Refused:
            made = {"storage": "file", "retention": "limits", "num_replicas": 1, **self.config}
            try:
                await self.ask("CREATE", {"description": secrets.token_hex(8), **made})
            except Refused as exc:
                # Another hub may have made it just now.
                if f"({STREAM_EXISTS})" not in str(exc):
                    raise
            info = await self.ask("INFO", None)
        config = info["config"]
        wanted = {**config, **self.config}
        if info["state"]["last_seq"] < self.highest and self.epoch == epoch_of(info):
            # Its end is lost, as after a power failure; numbers will come for the second time.
            wanted["description"] = secrets.token_hex(8)
        if wanted != config:
            info = await self.ask("UPDATE", wanted)
        self.before, self.epoch = self.epoch, epoch_of(info)
        self.highest = info["state"]["last_seq"]

    async def ask(self, what: str, body: object) -> Any:
        """Give what JetStream says of the stream."""
        return await self.wire.ask(f"$JS.API.STREAM.{what}.{self.name}", body)

    def was_replaced(self) -> bool:
        """Say whether it isn't any more what it was on the connection before."""
        return bool(self.before) and self.before != self.epoch

    def saw(self, sequence: int) -> None:
        """Take note that there was a message with a number."""
        if sequence > self.highest:
            self.highest = sequence

    def is_gone(self, subject: str, data: bytes) -> bool:
        """Say whether the server tells that the stream was deleted."""
        return subject.startswith("$JS.EVENT.ADVISORY.STREAM.DELETED.") and (
            json.loads(data).get("stream") == self.name
        )

    def may_be_trimmed(self, count: int) -> bool:
        """Say whether of a subject with so many messages there may have been more."""
        return count >= int(self.config["max_msgs_per_subject"])

    async def stored(self, subject: str, begin: int) -> list[Stored]:
        """Give messages of a subject, from a number on."""
        return await self.wire.stored(self.name, subject, begin)

    async def last(self, subject: str) -> int:
        """Give the number of the last message of a subject; 0 if there is none."""
        try:
            answer = await self.ask("MSG.GET", {"last_by_subj": subject})
        except Refused:
            return 0
        return int(answer["message"]["seq"])

    def delete_soon(self, sequence: int) -> None:
        """Delete a message."""
        body = json.dumps({"seq": sequence, "no_erase": True}).encode()
        self.wire.tell(f"$JS.API.STREAM.MSG.DELETE.{self.name}", body)


class PresenceStream(Stream):
    """The stream of who is there: an entry is a message that is published again and again."""

    async def delete(self, sequence: int) -> bool:
        """Delete a message, and say whether it was there."""
        try:
            await self.ask("MSG.DELETE", {"seq": sequence, "no_erase": True})
        except Refused:
            return False
        return True

    async def now(self) -> int:
        """Give when something was stored last, by the server's clock; in ns since 1970."""
        return nanoseconds((await self.ask("INFO", None))["state"]["last_ts"])

    async def entries(self, subject: str, ghost: Callable[[str, bytes], object]) -> list[str]:
        """Give who is there, and tell of those who are not, as their hub died."""
        now = await self.now()
        here = []
        for stored in await self.stored(subject, 1):
            if not stored.data:
                continue
            if now - stored.time <= remote.EXPIRY * 10**9:
                here.append(stored.data.decode())
            elif await self.delete(stored.sequence):
                ghost(stored.subject, stored.data)
        return here

    async def sweep(self, sign: str, ghost: Callable[[str, bytes], object]) -> None:
        """Show that this hub is there, and remove what others have left that are not."""
        # The oldest comes first, as who is there is always told anew.
        await self.wire.ask(sign, None)
        now = await self.now()
        for _ in range(MOST_GHOSTS):
            try:
                oldest = (await self.ask("MSG.GET", {"seq": 1, "next_by_subj": ">"}))["message"]
            except Refused:
                return
            if now - nanoseconds(oldest["time"]) <= remote.EXPIRY * 10**9:
                return
            data = base64.b64decode(oldest.get("data", ""))
            if await self.delete(oldest["seq"]) and data:
                ghost(oldest["subject"], data)
        raise EngineError("too many are gone")


def history_stream(wire: NatsWire, root: str, history: History | None) -> Stream | None:
    """Give the stream of a history, if there is one."""
    if history is None:
        return None
    age = max(int(history.seconds * 10**9), SHORTEST)
    config = {
        "subjects": [f"{root}.h.>"],
        # One more, as it has to be there to know that those after it are all.
        "max_msgs_per_subject": history.messages + 1,
        "max_age": age,
        "duplicate_window": min(age, 10**9),
        "discard": "old",
        "republish": {"src": f"{root}.h.>", "dest": f"{root}.m.>"},
    }
    return Stream(wire, f"{root}-history", config)


def presence_stream(wire: NatsWire, root: str, wanted: bool) -> PresenceStream | None:
    """Give the stream of who is there, if that is to be known."""
    if not wanted:
        return None
    config = {
        "subjects": [f"{root}.p.>"],
        "max_msgs_per_subject": 1,
        # Longer than who isn't there is looked for.
        "max_age": max(int(2 * remote.EXPIRY * 10**9), SHORTEST),
        "duplicate_window": SHORTEST,
        "discard": "old",
        "storage": "memory",
    }
    return PresenceStream(wire, f"{root}-presence", config)


def epoch_of(info: dict[str, Any]) -> str:
    """Give what stands for the count of a stream's messages: it changes when that begins anew."""
    text = f"{info['created']} {info['config'].get('description', '')}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def nanoseconds(text: str) -> int:
    """Give a time of JetStream in ns since 1970."""
    # What is finer than µs doesn't matter here.
    return int(datetime.datetime.fromisoformat(text).timestamp() * 10**9)

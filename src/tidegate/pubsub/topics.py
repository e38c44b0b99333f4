"""Topics, and patterns of them.

A topic is words with dots between them. In a pattern ``*`` stands for one word, and ``>`` at the
end for one or more.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import Generic, TypeVar

__all__ = ["is_pattern", "matches", "word"]

T = TypeVar("T")

# The longest topic, in bytes.
MOST_TOPIC = 255

# What begins with this is the hub's own, and matched by no pattern of programs.
OWN = "$"

# No space or control character, nor what means something in patterns of an engine.
TOPIC = re.compile(r"[^\x00-\x20\x7f*>?\[\]\\.]+(?:\.[^\x00-\x20\x7f*>?\[\]\\.]+)*")
PATTERN = re.compile(
    r"(?:\*|[^\x00-\x20\x7f*>?\[\]\\.]+)(?:\.(?:\*|[^\x00-\x20\x7f*>?\[\]\\.]+))*(?:\.>)?|>"
)


def word(text: str) -> str:
    """Make any text one word of a topic, differently for different texts.

    Use it for what comes from a user: ``f"room.{word(name)}"``.

    Args:
        text: what to make a word of.

    Raises:
        ValueError: if it is empty, or not text that UTF-8 can hold.

    """
    if not text:
        raise ValueError("a word of a topic can't be empty")
    return urllib.parse.quote(text, safe="").replace(".", "%2E").replace("~", "%7E")


def is_pattern(name: str) -> bool:
    """Say whether this is a pattern rather than a topic.

    Args:
        name: a topic or a pattern.

    """
    return "*" in name or name.endswith(">")


def check_topic(topic: str) -> str:
    """Give a topic that a program may publish to.

    Raises:
        ValueError: if it isn't one.

    """
    check(topic, TOPIC, "topic")
    if topic.startswith(OWN):
        raise ValueError(f"topics that begin with {OWN} are the hub's own: {topic!r}")
    return topic


def check_name(name: str) -> str:
    """Give a topic or a pattern that a program may join.

    Raises:
        ValueError: if it isn't one.

    """
    if not is_pattern(name):
        return check_topic(name)
    check(name, PATTERN, "pattern")
    return name


def check(name: str, form: re.Pattern[str], what: str) -> None:
    """Raise ValueError if a name hasn't its form."""
    if not form.fullmatch(name):
        raise ValueError(
            f"{name!r} isn't a {what}: words with dots between them, without spaces"
            " (word() makes one of any text)"
        )
    if len(name.encode("utf-8", "surrogatepass")) > MOST_TOPIC:
        raise ValueError(f"a {what} has {MOST_TOPIC} bytes at most: {name[:40]!r}…")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise ValueError(f"{name!r} isn't a {what}: UTF-8 can't hold it")


def user_topic(user: str) -> str:
    """Give the topic of a user.

    Raises:
        ValueError: if the user is empty, or too long for a topic.

    """
    topic = f"{OWN}user.{word(user)}"
    check(topic, TOPIC, "topic")
    return topic


def matches(pattern: str, topic: str) -> bool:
    """Say whether a pattern matches a topic.

    Args:
        pattern: a pattern, or a topic, which matches itself.
        topic: a topic.

    """
    index: Patterns[bool] = Patterns()
    index.add(pattern, True)
    return bool(index.match(topic))


class Node(Generic[T]):
    """What patterns have in common up to a word."""

    __slots__ = ("here", "rest", "words")

    def __init__(self) -> None:
        self.words: dict[str, Node[T]] = {}
        self.here: T | None = None
        self.rest: T | None = None


class Patterns(Generic[T]):
    """Patterns with something for each, found by the topics that they match."""

    def __init__(self) -> None:
        self.root: Node[T] = Node()
        self.count = 0

    def add(self, pattern: str, value: T) -> None:
        """Add a pattern that isn't there yet."""
        *words, last = pattern.split(".")
        node = self.root
        for item in words:
            node = node.words.setdefault(item, Node())
        if last == ">":
            node.rest = value
        else:
            node.words.setdefault(last, Node()).here = value
        self.count += 1

    def remove(self, pattern: str) -> None:
        """Remove a pattern that is there."""
        *words, last = pattern.split(".")
        path = [self.root]
        for item in words:
            path.append(path[-1].words[item])
        if last == ">":
            path[-1].rest = None
        else:
            words.append(last)
            path.append(path[-1].words[last])
            path[-1].here = None
        self.count -= 1
        while len(path) > 1:
            node = path.pop()
            if node.words or node.here is not None or node.rest is not None:
                break
            del path[-1].words[words[len(path) - 1]]

    def match(self, topic: str) -> list[T]:
        """Give what belongs to the patterns that match a topic."""
        if not self.count:
            return []
        found: list[T] = []
        nodes = [self.root]
        words = topic.split(".")
        for number, item in enumerate(words):
            wild = number > 0 or not item.startswith(OWN)
            following: list[Node[T]] = []
            for node in nodes:
                if wild and node.rest is not None:
                    found.append(node.rest)
                child = node.words.get(item)
                if child is not None:
                    following.append(child)
                if wild:
                    child = node.words.get("*")
                    if child is not None:
                        following.append(child)
            nodes = following
        found += [node.here for node in nodes if node.here is not None]
        return found

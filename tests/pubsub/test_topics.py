"""Topics and patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.pubsub import is_pattern, matches, word
from tidegate.pubsub.topics import Patterns, check_name, check_topic, user_topic


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("news", "news", True),
        ("news", "news.sport", False),
        ("news.*", "news.sport", True),
        ("news.*", "news", False),
        ("news.*", "news.sport.tennis", False),
        ("news.>", "news.sport.tennis", True),
        ("news.>", "news", False),
        ("*.sport", "news.sport", True),
        ("*.sport.>", "news.sport.tennis", True),
        ("*.*", "news.sport", True),
        (">", "news", True),
        (">", "$user.me", False),
        ("*.me", "$user.me", False),
    ],
)
def test_matches(pattern, topic, expected):
    assert matches(pattern, topic) is expected


@pytest.mark.parametrize("name", ["news", "news.sport", "a-b_c:d", "räume.7", "*", ">", "a.*.b.>"])
def test_names(name):
    assert check_name(name) == name
    assert is_pattern(name) == ("*" in name or ">" in name)


@pytest.mark.parametrize(
    "name",
    ["", ".", "a.", ".a", "a..b", "a b", "a\n", "a*", "a.>.b", "a.b>", "a?", "[a]", "a\\", "\x7f",
     "a" * 256, "ä" * 128, "\ud800", "$user.me", "$presence.a"],
)  # fmt: skip
def test_what_is_no_name(name):
    with pytest.raises(ValueError):
        check_name(name)


@pytest.mark.parametrize("name", ["*", "a.*", "a.>"])
def test_patterns_are_no_topics(name):
    with pytest.raises(ValueError):
        check_topic(name)


def test_users_that_are_too_long():
    with pytest.raises(ValueError, match="255 bytes"):
        user_topic("x" * 256)


@given(st.text(min_size=1, max_size=10), st.text(min_size=1, max_size=10))
def test_any_text_is_a_word(one, other):
    try:
        first, second = word(one), word(other)
    except UnicodeEncodeError:
        return
    assert check_topic(f"room.{first}") and "." not in first
    assert (first == second) == (one == other)


WORDS = st.sampled_from(["a", "b", "c"])
PATTERNS = st.builds(
    lambda words, rest: ".".join(words + rest),
    st.lists(st.one_of(WORDS, st.just("*")), min_size=1, max_size=4),
    st.sampled_from([[], [">"]]),
)


def naive(pattern, topic):
    """Match word by word."""
    words, wanted = topic.split("."), pattern.split(".")
    if wanted[-1] == ">":
        if len(words) < len(wanted):
            return False
        wanted.pop()
        words = words[: len(wanted)]
    return len(words) == len(wanted) and all(
        a in ("*", b) for a, b in zip(wanted, words, strict=True)
    )


@given(st.sets(PATTERNS), st.lists(WORDS, min_size=1, max_size=5), st.randoms())
def test_index_of_patterns(patterns, words, random):
    index = Patterns()
    topic = ".".join(words)
    for pattern in patterns:
        index.add(pattern, pattern)
    assert sorted(index.match(topic)) == sorted(p for p in patterns if naive(p, topic))
    kept = {p for p in patterns if random.random() < 0.5}
    for pattern in patterns - kept:
        index.remove(pattern)
    assert sorted(index.match(topic)) == sorted(p for p in kept if naive(p, topic))
    for pattern in kept:
        index.remove(pattern)
    assert not index.root.words and index.root.rest is None and index.count == 0

"""Headers as a mapping."""

from __future__ import annotations

import copy
import string
from collections.abc import MutableMapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.datastructures import Headers, MultipleValuesError
from tidegate.exceptions import InvalidHeader, InvalidHeaderName, InvalidHeaderValue

TOKEN = string.ascii_letters + string.digits + "-!#$%&'*+.^_`|~"
names = st.text(TOKEN, min_size=1, max_size=4)
values = st.text("\t" + "".join(map(chr, [*range(0x20, 0x7F), *range(0x80, 0x100)])), max_size=8)
items = st.lists(st.tuples(names, values), max_size=8)


@pytest.fixture
def headers() -> Headers:
    return Headers([("Connection", "Upgrade"), ("Server", "x"), ("connection", "close")])


def test_reading(headers: Headers) -> None:
    assert headers["Server"] == headers["SERVER"] == headers["server"] == "x"
    assert headers.get("sErVeR") == "x"
    assert headers.get("nope") is None
    assert headers.get("nope", "default") == "default"
    assert "server" in headers
    assert "nope" not in headers
    assert 1 not in headers
    with pytest.raises(KeyError, match="'Nope'"):
        headers["Nope"]


def test_several_values(headers: Headers) -> None:
    assert headers.get_all("CONNECTION") == ["Upgrade", "close"]
    assert headers.get_all("Server") == ["x"]
    assert headers.get_all("nope") == []
    for read in (headers.__getitem__, headers.get):
        with pytest.raises(MultipleValuesError) as raised:
            read("Connection")
        assert str(raised.value) == "'Connection'"
        assert isinstance(raised.value, LookupError)
    assert str(MultipleValuesError()) == ""


def test_what_is_given_can_be_changed(headers: Headers) -> None:
    headers.get_all("Connection").clear()
    headers.get_all("Server").clear()
    assert headers.get_all("Connection") == ["Upgrade", "close"]
    assert headers.get_all("Server") == ["x"]


def test_iteration(headers: Headers) -> None:
    assert list(headers) == list(headers.keys()) == ["connection", "server"]
    assert len(headers) == 2
    assert list(headers.raw_items()) == [
        ("Connection", "Upgrade"),
        ("Server", "x"),
        ("connection", "close"),
    ]
    with pytest.raises(MultipleValuesError):
        list(headers.items())


def test_text(headers: Headers) -> None:
    assert str(headers) == "Connection: Upgrade\r\nServer: x\r\nconnection: close\r\n\r\n"
    assert headers.serialize() == str(headers).encode()
    assert repr(headers) == (
        "Headers([('Connection', 'Upgrade'), ('Server', 'x'), ('connection', 'close')])"
    )
    assert Headers(X="é").serialize() == b"X: \xe9\r\n\r\n"
    assert Headers().serialize() == b"\r\n"


def test_assigning_adds(headers: Headers) -> None:
    headers["Server"] = "y"
    assert headers.get_all("Server") == ["x", "y"]
    headers["Server"] = "y"
    assert headers.get_all("Server") == ["x", "y", "y"]


def test_the_same_value_twice() -> None:
    value = "x"
    headers = Headers()
    headers["A"] = value
    headers["A"] = value
    assert headers.get_all("A") == ["x", "x"]
    assert Headers.from_valid([("A", value), ("a", value)]).get_all("A") == ["x", "x"]


def test_removing(headers: Headers) -> None:
    del headers["CONNECTION"]
    assert list(headers.raw_items()) == [("Server", "x")]
    with pytest.raises(KeyError):
        del headers["Connection"]
    assert headers.pop("server") == "x"
    assert headers.pop("server", None) is None
    headers["A"] = "1"
    headers.clear()
    assert not headers
    assert headers == Headers()


def test_setdefault(headers: Headers) -> None:
    assert headers.setdefault("Server", "y") == "x"
    assert headers.setdefault("New", "y") == "y"


def test_copy(headers: Headers) -> None:
    for other in (headers.copy(), copy.copy(headers), copy.deepcopy(headers), Headers(headers)):
        assert other == headers
        other["Connection"] = "x"
        del other["Server"]
        assert headers.get_all("Connection") == ["Upgrade", "close"]
        assert "Server" in headers


class Keys:
    """The least that is a mapping."""

    def keys(self) -> list[str]:
        return ["A"]

    def __getitem__(self, key: str) -> str:
        return key + "1"


def test_sources() -> None:
    expected = Headers([("A", "A1")])
    assert Headers({"A": "A1"}) == Headers(Keys()) == Headers(A="A1") == expected
    assert Headers((name, "A1") for name in "A") == expected
    assert Headers({"A": "1"}, B="2") == Headers([("A", "1"), ("B", "2")])
    headers = Headers(A="1")
    headers.update({"a": "2"})
    headers.update([("A", "3")], b="4")
    assert headers.get_all("A") == ["1", "2", "3"]
    with pytest.raises(TypeError):
        Headers({}, {})
    with pytest.raises(TypeError):
        Headers(1)  # type: ignore[arg-type]


def test_equality(headers: Headers) -> None:
    assert Headers(A="1", B="2") == Headers(b="2", a="1")
    assert Headers(A="1") != Headers(A="2")
    assert Headers([("A", "1"), ("A", "2")]) != Headers([("A", "2"), ("A", "1")])
    assert Headers(A="1") != {"a": "1"}
    with pytest.raises(TypeError, match="unhashable"):
        hash(headers)
    assert isinstance(headers, MutableMapping)


def test_numbers_are_taken_as_text() -> None:
    headers = Headers({"Content-Length": 5})  # type: ignore[dict-item]
    assert headers["Content-Length"] == "5"


BREAKING = [chr(c) for c in [*range(0x20), 0x7F] if c != 9] + ["\u2028", "\u2029", "€", "\ud800"]


@pytest.mark.parametrize("char", BREAKING)
def test_values_that_break_out_of_their_line(char: str) -> None:
    headers = Headers()
    for value in (char, f"a{char}b", f"a{char}", f"{char}a"):
        for add in (
            lambda value: headers.__setitem__("X", value),
            lambda value: headers.update(X=value),
            lambda value: headers.setdefault("X", value),
            lambda value: Headers([("X", value)]),
        ):
            with pytest.raises(InvalidHeaderValue) as raised:
                add(value)
            assert isinstance(raised.value, ValueError)
            assert raised.value.value == value
            assert str(raised.value).isprintable()
    assert not headers


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\nb", "a\n", "é", "\x00", "(a)", '"a"'])
def test_names_that_are_not_tokens(name: str) -> None:
    headers = Headers()
    with pytest.raises(InvalidHeaderName) as raised:
        headers[name] = "x"
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, InvalidHeader)
    assert not headers


def test_received_headers_are_taken_as_they_are() -> None:
    headers = Headers()
    headers.set_insecure("A b", "\x00")
    assert headers["a B"] == "\x00"


@given(items)
def test_all_ways_to_build_give_the_same(pairs: list[tuple[str, str]]) -> None:
    one, two = Headers(pairs), Headers.from_valid(pairs.copy())
    three = Headers()
    for name, value in pairs:
        three[name] = value
    assert one == two == three
    assert list(one.raw_items()) == list(two.raw_items()) == list(three.raw_items()) == pairs
    for name, _ in pairs:
        expected = [value for other, value in pairs if other.lower() == name.lower()]
        assert one.get_all(name) == two.get_all(name) == expected
    assert len(one) == len({name.lower() for name, _ in pairs})

"""The values of headers."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate import headers
from tidegate.exceptions import InvalidHeaderFormat, InvalidHeaderValue
from tidegate.headers import (
    build_authorization_basic,
    build_extension,
    build_host,
    build_quoted_string,
    build_subprotocol,
    build_www_authenticate_basic,
    parse_authorization_basic,
    parse_connection,
    parse_end,
    parse_extension,
    parse_list,
    parse_quoted_string,
    parse_subprotocol,
    parse_token,
    parse_upgrade,
    validate_subprotocols,
)

TOKEN = string.ascii_letters + string.digits + "-!#$%&'*+.^_`|~"
tokens = st.text(TOKEN, min_size=1, max_size=10)
LIST_PARSERS = [parse_connection, parse_upgrade, parse_extension, parse_subprotocol]


@pytest.mark.parametrize(
    ("args", "expected", "with_port"),
    [
        (("localhost", 80, False), "localhost", "localhost:80"),
        (("localhost", 443, True), "localhost", "localhost:443"),
        (("localhost", 443, False), "localhost:443", "localhost:443"),
        (("localhost", 80, True), "localhost:80", "localhost:80"),
        (("::1", 80, False), "[::1]", "[::1]:80"),
        (("::1", 8080, False), "[::1]:8080", "[::1]:8080"),
        (("[::1]", 80, False), "[::1]", "[::1]:80"),
        # The interface has a meaning on this machine only.
        (("fe80::1%eth0", 80, False), "[fe80::1]", "[fe80::1]:80"),
        (("xn--bcher-kva.example", 80, False), "xn--bcher-kva.example", None),
    ],
)
def test_build_host(args: tuple[str, int, bool], expected: str, with_port: str | None) -> None:
    assert build_host(*args) == expected
    if with_port is not None:
        assert build_host(*args, always_include_port=True) == with_port


@pytest.mark.parametrize(
    ("parse", "value", "expected"),
    [
        (parse_connection, "Upgrade", ["Upgrade"]),
        (parse_connection, "keep-alive, Upgrade", ["keep-alive", "Upgrade"]),
        (parse_connection, ",, a ,\t,b,,", ["a", "b"]),
        (parse_upgrade, "websocket", ["websocket"]),
        (parse_upgrade, "h2c/1.0, websocket", ["h2c/1.0", "websocket"]),
        (parse_subprotocol, "chat, superchat", ["chat", "superchat"]),
        (parse_extension, "permessage-deflate", [("permessage-deflate", [])]),
        (
            parse_extension,
            "permessage-deflate; client_max_window_bits",
            [("permessage-deflate", [("client_max_window_bits", None)])],
        ),
        (
            parse_extension,
            'x; a=1 ;\tb = "q"; c, y;d="\\z",',
            [("x", [("a", "1"), ("b", "q"), ("c", None)]), ("y", [("d", "z")])],
        ),
    ],
)
def test_lists(parse: Callable[[str], list[Any]], value: str, expected: list[Any]) -> None:
    # Also what comes from the cache, and from what somebody has changed.
    for _ in range(3):
        parsed = parse(value)
        assert parsed == expected
        if isinstance(parsed[0], tuple):
            parsed[0][1].append(("changed", None))
        parsed.append("changed")


@pytest.mark.parametrize("parse", LIST_PARSERS)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", "at 0 in "),
        (",", "at 1 in ,"),
        (",\t,", "at 3 in "),
        (" a", "at 0 in  a"),
        ("a b", "expected comma at 2 in a b"),
        ("a\x0bb", "expected comma at 1 in a\\x0bb"),
        ("é", "at 0 in é"),
        ("a, \x00", "at 3 in a, \\x00"),
        ('"a"', 'at 0 in "a"'),
        ("a/", "expected comma at 1 in a/"),
    ],
)
def test_list_errors(parse: Callable[[str], list[Any]], value: str, error: str) -> None:
    for _ in range(2):
        with pytest.raises(InvalidHeaderFormat) as raised:
            parse(value)
        assert error in str(raised.value)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("x;", "expected token at 2"),
        ("x; ;a", "expected token at 3"),
        ("x; =a", "expected token at 3"),
        ("x; a==", "expected token at 5"),
        ("x; a=", "expected token at 5"),
        ('x; a="', "expected quoted string at 5"),
        ('x; a="\\"', "expected quoted string at 5"),
        # RFC 6455 section 9.1
        ('x; a=""', "invalid quoted header content at 5"),
        ('x; a="b c"', "invalid quoted header content at 5"),
        ("x; a=b c", "expected comma at 7"),
    ],
)
def test_extension_errors(value: str, error: str) -> None:
    with pytest.raises(InvalidHeaderFormat, match=error):
        parse_extension(value)


extensions = st.lists(
    st.tuples(tokens, st.lists(st.tuples(tokens, st.none() | tokens), max_size=3)),
    min_size=1,
    max_size=4,
)


@given(extensions)
def test_extension_round_trip(value: list[tuple[Any, Any]]) -> None:
    assert parse_extension(build_extension(value)) == value


@given(st.lists(tokens, min_size=1, max_size=5))
def test_subprotocol_round_trip(value: list[Any]) -> None:
    assert parse_subprotocol(build_subprotocol(value)) == value
    validate_subprotocols(value)
    # Two headers joined are one list, in this order: RFC 9110 section 5.3.
    joined = ", ".join([build_subprotocol(value), build_subprotocol(["x"])])
    assert parse_subprotocol(joined) == [*value, "x"]


header_text = st.text(TOKEN + ' \t,;="\\/é\x00\n', max_size=30)


@given(header_text)
def test_parsers_raise_nothing_else(value: str) -> None:
    for parse in LIST_PARSERS:
        try:
            assert parse(value)
        except InvalidHeaderFormat as exc:
            assert str(exc).isprintable()
    try:
        parse_authorization_basic(value)
    except (InvalidHeaderFormat, InvalidHeaderValue) as exc:
        assert str(exc).isprintable()


@pytest.mark.parametrize("parse", LIST_PARSERS)
@pytest.mark.parametrize(
    "pattern", [",", ", ", "a,", "a;a,", "a; b=c,", 'a; b="c";', "a ;", 'a;b="', "\\", 'x;a="\\"']
)
def test_work_is_linear(parse: Callable[[str], list[Any]], pattern: str) -> None:
    """A value of 200 KB takes part of a second, or many minutes if the work is quadratic."""
    value = (pattern * 200_000)[:200_000]
    try:
        parse(value)
    except InvalidHeaderFormat:
        pass


def test_cache_is_bounded() -> None:
    for parse, cached in [
        (parse_upgrade, headers._parse_upgrade),
        (parse_extension, headers._parse_extension),
    ]:
        assert cached.__closure__ is not None
        (short,) = (
            cell.cell_contents
            for cell in cached.__closure__
            if hasattr(cell.cell_contents, "cache_info")
        )
        for i in range(1000):
            parse(f"a{i}")
            parse(f"{'b' * 200}{i}")
        assert short.cache_info().currsize <= headers._MAX_CACHED_VALUES
        assert short.cache_info().misses >= 1000
        before = short.cache_info()
        parse("c" * 129)
        assert short.cache_info() == before


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("chat", TypeError),
        (b"chat", TypeError),
        (None, TypeError),
        ({"chat"}, TypeError),
        ([""], InvalidHeaderValue),
        (["a b"], InvalidHeaderValue),
        (["a,b"], InvalidHeaderValue),
        (["a\r\nX: y"], InvalidHeaderValue),
        (["a\n"], InvalidHeaderValue),
        (["é"], InvalidHeaderValue),
    ],
)
def test_validate_subprotocols(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="subprotocol"):
        validate_subprotocols(value)


def test_elements() -> None:
    assert parse_token("a b", 0, "X") == ("a", 1)
    assert parse_quoted_string('"a\\"b" c', 0, "X") == ('a"b', 6)
    assert parse_list(parse_token, "x: a, b", 3, "X") == ["a", "b"]
    parse_end("ab", 2, "X")
    with pytest.raises(InvalidHeaderFormat, match="invalid X header: trailing data at 1 in ab"):
        parse_end("ab", 1, "X")


quotable = st.text("\t" + "".join(map(chr, [*range(0x20, 0x7F), *range(0x80, 0x100)])))


@given(quotable)
def test_quoted_string_round_trip(value: str) -> None:
    quoted = build_quoted_string(value)
    assert parse_quoted_string(quoted, 0, "X") == (value, len(quoted))


@pytest.mark.parametrize("realm", ["a\r\nb", "a\n", "\x00", "€"])
def test_invalid_realm(realm: str) -> None:
    with pytest.raises(ValueError):
        build_quoted_string(realm)
    with pytest.raises(InvalidHeaderValue) as raised:
        build_www_authenticate_basic(realm)
    assert isinstance(raised.value, ValueError)


def test_www_authenticate() -> None:
    assert build_www_authenticate_basic('a"b') == 'Basic realm="a\\"b", charset="UTF-8"'


@given(st.text(max_size=20).filter(lambda s: ":" not in s), st.text(max_size=20))
def test_credentials_round_trip(username: str, password: str) -> None:
    value = build_authorization_basic(username, password)
    assert value.isascii()
    assert parse_authorization_basic(value) == (username, password)
    assert parse_authorization_basic(value.replace("Basic", "bASIC")) == (username, password)


def test_credentials_need_not_be_utf8() -> None:
    value = "Basic " + base64.b64encode(b"\xff:\xe9").decode()
    assert parse_authorization_basic(value) == ("\udcff", "\udce9")
    assert build_authorization_basic("\udcff", "\udce9") == value


def test_colon_in_username() -> None:
    with pytest.raises(ValueError, match="must not contain a colon"):
        build_authorization_basic("a:b", "c")


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", "expected token at 0"),
        ("Bearer x", "unsupported scheme: Bearer"),
        ("Basic", "expected space after scheme at 5"),
        ("Basic ", "expected token68 at 6"),
        ("Basic  dTpw", "expected token68 at 6"),
        ("Basic dTpw x", "trailing data at 10"),
        ("Basic dTp", "expected base64-encoded credentials"),
        ("Basic dTp~", "expected base64-encoded credentials"),
        ("Basic dQ==", "expected username:password credentials"),
    ],
)
def test_malformed_credentials(value: str, error: str) -> None:
    with pytest.raises((InvalidHeaderFormat, InvalidHeaderValue), match=error):
        parse_authorization_basic(value)

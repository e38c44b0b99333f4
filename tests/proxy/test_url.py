"""URLs of proxies."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from tidegate.exceptions import InvalidProxy
from tidegate.proxy import Proxy, parse_proxy
from tidegate.proxy.url import parse_proxy_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.test", ("http", "proxy.test", 80, None, None)),
        ("https://proxy.test/", ("https", "proxy.test", 443, None, None)),
        ("socks4://proxy.test", ("socks4", "proxy.test", 1080, None, None)),
        ("socks4a://proxy.test", ("socks4a", "proxy.test", 1080, None, None)),
        ("socks5://proxy.test", ("socks5", "proxy.test", 1080, None, None)),
        ("socks5h://proxy.test:9050", ("socks5h", "proxy.test", 9050, None, None)),
        ("socks5h+tls://proxy.test", ("socks5h+tls", "proxy.test", 1080, None, None)),
        ("socks://proxy.test", ("socks5h", "proxy.test", 1080, None, None)),
        ("HTTP://PROXY.test:3128", ("http", "proxy.test", 3128, None, None)),
        ("http://[::1]:3128", ("http", "::1", 3128, None, None)),
        ("http://user:pass@proxy.test:3128", ("http", "proxy.test", 3128, "user", "pass")),
        ("http://us%40er:p%3Aa%2Fss%25@proxy.test", ("http", "proxy.test", 80, "us@er", "p:a/ss%")),
        ("http://gr%C3%BC%C3%9Fe:%E2%82%AC@proxy.test", ("http", "proxy.test", 80, "grüße", "€")),
        ("http://user:@proxy.test", ("http", "proxy.test", 80, "user", "")),
        ("http://user@proxy.test", ("http", "proxy.test", 80, "user", None)),
        ("https://to%20ken@proxy.test", ("https", "proxy.test", 443, "to ken", None)),
        ("http://:pass@proxy.test", ("http", "proxy.test", 80, "", "pass")),
        ("socks4://user@proxy.test", ("socks4", "proxy.test", 1080, "user", None)),
        ("http://bücher.test", ("http", "xn--bcher-kva.test", 80, None, None)),
    ],
)
def test_parse_proxy(url, expected):
    proxy = parse_proxy(url)
    assert (proxy.scheme, proxy.host, proxy.port, proxy.username, proxy.password) == expected
    assert proxy == Proxy(*expected)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://proxy.test", "scheme ftp isn't supported"),
        ("proxy.test:3128", "write http://proxy.test:3128"),
        ("proxy.test", "scheme isn't provided"),
        ("http://", "hostname isn't provided"),
        ("http://[::1]:1@[:%1]:1/", "what is in brackets"),
        ("http://:3128", "hostname isn't provided"),
        ("http://proxy.test/path", "path is meaningless"),
        ("http://proxy.test?query", "query is meaningless"),
        ("http://proxy.test#fragment", "fragment is meaningless"),
        ("http://proxy.test:port", "port isn't a number"),
        ("http://proxy.test:99999", "port isn't a number"),
        ("http://[::1", "its host, user name"),
        ("socks5://user@proxy.test", "password isn't between 1 and 255 bytes"),
        ("http://us\ner:pass@proxy.test", "spaces or control characters"),
        ("http://us%0Aer:pass@proxy.test", "username has control characters"),
        ("http://user:pa%00ss@proxy.test", "password has control characters"),
        ("http://pro xy.test", "spaces or control characters"),
        ("socks5://user:@proxy.test", "password isn't between 1 and 255 bytes"),
        (f"socks5://{'é' * 128}:pass@proxy.test", "username isn't between 1 and 255 bytes"),
        ("http+unix://", "write http+unix:///path"),
        ("http+unix://a/b", "write http+unix:///path"),
        ("socks5h://a -> http+unix:///b", "cannot be reached through another"),
        ("socks5h://a -> ftp://b", "scheme ftp isn't supported"),
        ("socks5h://a -> ", "scheme isn't provided"),
        (f"http://{'a' * 300}é.test", "hostname"),
    ],
)
def test_refused(url, message):
    with pytest.raises(InvalidProxy) as raised:
        parse_proxy(url)
    assert message in str(raised.value)
    assert isinstance(raised.value, ValueError)


def test_a_user_without_a_password_may_be_a_token():
    proxy = parse_proxy("http://token@proxy.test -> https://token@other.test")
    assert str(proxy) == "http://***@proxy.test:80 -> https://***@other.test:443"
    for url in "http://token@proxy.test", "http://token:@proxy.test":
        assert "token" not in repr(parse_proxy(url)) + str(parse_proxy(url))
        assert parse_proxy(url).url(password=True) == f"{url}:80"
    assert proxy.url(password=True) == "https://token@other.test:443"
    assert proxy.user_info == ("token", "")


def test_default_scheme():
    assert parse_proxy("proxy.test:3128", default_scheme="http") == Proxy(
        "http", "proxy.test", 3128
    )
    assert parse_proxy("//u:p@proxy.test", default_scheme="http").user_info == ("u", "p")
    assert parse_proxy("socks5://proxy.test", default_scheme="http").scheme == "socks5"


def test_chain():
    proxy = parse_proxy("socks5h://one -> https://u:p@two:8443 -> http://three")
    assert [hop.host for hop in proxy.hops] == ["one", "two", "three"]
    assert proxy.host == "three"
    assert proxy.via is not None and proxy.via.scheme == "https"
    assert str(proxy) == "socks5h://one:1080 -> https://u:***@two:8443 -> http://three:80"


def test_via_in_the_constructor():
    proxy = Proxy("http", "b", 80, via=Proxy("socks5h", "a", 1080))
    assert proxy == parse_proxy("socks5h://a -> http://b")


def test_unix_socket():
    proxy = parse_proxy("http+unix:///run/pro%20xy.sock")
    assert proxy.unix_path == "/run/pro xy.sock"
    assert proxy.scheme == "http"
    assert str(proxy) == "http+unix:///run/pro%20xy.sock"
    assert parse_proxy("socks5h+unix://%2Frun%2Fp.sock").unix_path == "/run/p.sock"
    assert parse_proxy("socks5h+unix://%2Frun%2FP.sock").unix_path == "/run/P.sock"


def test_bytes_that_are_no_text():
    """They are what they are, for a password and a path, and can be shown."""
    proxy = parse_proxy("http://%8A:%FF@proxy:1")
    assert (proxy.username, proxy.password) == ("\udc8a", "\udcff")
    assert proxy.url(password=True) == "http://%8A:%FF@proxy:1"
    assert str(proxy) == "http://%8A:***@proxy:1"
    assert str(parse_proxy("http+unix:///run/%FF")) == "http+unix:///run/%FF"


@pytest.mark.parametrize("path", ["/run/p", "run/p", "Proxy.sock", "/a@b:c", "x:80", "a@b", "//c"])
def test_unix_socket_in_a_url(path):
    proxy = Proxy("http", "localhost", 80, "user", "secret", unix_path=path)
    assert parse_proxy(proxy.url(password=True)) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@proxy.test:3128",
        "http://proxy.test:3128",
        "socks4://user@[::1]:1080",
        "http+unix://u:p%2F@/run/p.sock",
        "http://us%40er:p%3Aa%2Fss%25@proxy.test:80",
        "socks5h+tls://proxy.test:1080",
    ],
)
def test_url_can_be_read_again(url):
    assert parse_proxy(parse_proxy(url).url(password=True)) == parse_proxy(url)


def test_secrets_are_not_shown():
    proxy = parse_proxy("http://user:s3cret@proxy.test")
    proxy.headers = {"X-Session": "s3cret"}
    proxy.auth = lambda challenges: "s3cret"
    for text in repr(proxy), str(proxy), repr([proxy]), proxy.url():
        assert "s3cret" not in text
    token = Proxy("http", "proxy.test", 80, "s3cret")
    assert "s3cret" not in str(token)
    for url in "http://user:s3c ret@proxy.test", "http://user:s3cret@proxy.test/path":
        with pytest.raises(InvalidProxy) as raised:
            parse_proxy(url)
        assert "s3c" not in str(raised.value)
    with pytest.raises(InvalidProxy) as raised:
        parse_proxy("user:s3cret@proxy.test")
    assert "s3c" not in str(raised.value)


def test_it_is_a_dataclass_that_can_be_copied():
    proxy = parse_proxy("http://user:pass@proxy.test")
    assert dataclasses.replace(proxy, port=3128).port == 3128
    assert pickle.loads(pickle.dumps(proxy)) == proxy
    assert proxy.user_info == ("user", "pass")
    assert parse_proxy("http://proxy.test").user_info is None


def test_tls_options_need_tls():
    with pytest.raises(ValueError, match="incompatible with an http:// proxy"):
        Proxy("http", "proxy.test", 80, ssl="/ca.pem")


class TestLibcloudForm:
    def test_parts(self):
        assert parse_proxy_url("http://proxy.test:3128") == (
            "http", "proxy.test", 3128, None, None,
        )  # fmt: skip
        assert parse_proxy_url("https://u:p%40@proxy.test:1") == (
            "https", "proxy.test", 1, "u", "p%40",
        )  # fmt: skip

    @pytest.mark.parametrize(
        "url",
        ["http://proxy.test", "socks5://proxy.test:1", "proxy.test:1", "http://u@proxy.test:1",
         "http://:1", "http://u:@proxy.test:1", "http://proxy.test:x", "http://pro\nxy.test:1"],
    )  # fmt: skip
    def test_refused(self, url):
        with pytest.raises(ValueError):
            parse_proxy_url(url)

    def test_a_token_is_not_shown(self):
        with pytest.raises(InvalidProxy) as raised:
            parse_proxy_url("http://t0ken@proxy.test:1")
        assert "t0ken" not in str(raised.value)

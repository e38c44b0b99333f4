"""Giving a proxy: URLs, lists, mappings, functions."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.datastructures import Headers
from tidegate.exceptions import (
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    ProxyConnectionError,
    ProxyError,
)
from tidegate.http11 import Response
from tidegate.proxy import Failover, Proxy, choice, parse_proxy, route
from tidegate.proxy.choice import Options, choose, choose_async, report_failure

URI = "wss://api.example.com/path"


@pytest.fixture(autouse=True)
def nobody_rests(monkeypatch):
    monkeypatch.setattr(choice, "resting", choice.Resting())


def find(proxy, uri=URI, environment=()):
    return route(uri, proxy, environment=dict(environment))


def names(found):
    """Give the hosts of the proxies of a route and its alternatives."""
    return [None if way.proxy is None else way.proxy.host for way in (found, *found.alternatives)]


class TestSingle:
    def test_url(self):
        found = find("http://me:secret@proxy.test")
        assert found.proxy == Proxy("http", "proxy.test", 80, "me", "secret")
        assert found.source == "the argument proxy"
        assert found.alternatives == ()

    def test_url_without_scheme(self):
        assert find("proxy.test:3128").proxy == Proxy("http", "proxy.test", 3128)

    def test_chain(self):
        found = find("socks5h://a -> http://b")
        assert [hop.host for hop in found.hops] == ["a", "b"]
        assert str(found) == "socks5h://a:1080 -> http://b:80 -> wss://api.example.com:443"

    def test_object(self):
        proxy = parse_proxy("http://proxy.test")
        assert find(proxy).proxy is proxy

    @pytest.mark.parametrize("proxy", [None, False])
    def test_none(self, proxy):
        assert find(proxy, environment={"all_proxy": "http://p"}).proxy is None

    def test_true(self):
        assert names(find(True, environment={"all_proxy": "http://p"})) == ["p"]

    @pytest.mark.parametrize("proxy", ["ftp://p", "http://", "http://u\n:p@h"])
    def test_malformed(self, proxy):
        with pytest.raises(InvalidProxy):
            find(proxy)

    @pytest.mark.parametrize("proxy", [42, b"http://p", object()])
    def test_something_else(self, proxy):
        with pytest.raises((TypeError, InvalidProxy)):
            find(proxy)


class TestMapping:
    @pytest.mark.parametrize(
        ("key", "uri"),
        [
            ("ws", "ws://x/"),
            ("wss", "wss://x/"),
            ("x", "ws://x/"),
            ("X.Test.", "ws://x.test/"),
            ("x:8080", "ws://x:8080/"),
            ("x:443", "wss://x/"),
            ("*.test", "ws://a.b.test/"),
            ("*", "ws://x/"),
            ("::1", "ws://[::1]/"),
            ("[::1]:80", "ws://[::1]/"),
        ],
    )
    def test_keys(self, key, uri):
        found = find({key: "http://p"}, uri)
        assert found.proxy.host == "p"
        assert found.source == f"the argument proxy[{key!r}]"

    @pytest.mark.parametrize(
        ("key", "uri"),
        [("ws", "wss://x/"), ("x", "ws://a.x/"), ("x:80", "ws://x:81/"), ("*.x", "ws://x/")],
    )
    def test_keys_that_do_not_fit(self, key, uri):
        found = find({key: "http://p"}, uri)
        assert found.proxy is None
        assert "the mapping has nothing for" in found.explain()

    def test_the_most_specific_counts(self):
        mapping = {
            "*": "http://any",
            "wss": "http://scheme",
            "*.com": "http://short",
            "*.example.com": "http://long",
            "api.example.com": "http://host",
            "api.example.com:443": "http://port",
        }
        while mapping:
            last = list(mapping)[-1]
            assert find(mapping).source == f"the argument proxy[{last!r}]"
            del mapping[last]

    def test_values_of_all_kinds(self):
        assert find({"wss": None}).proxy is None
        assert names(find({"wss": ["http://a", None]})) == ["a", None]
        assert names(find({"wss": True}, environment={"all_proxy": "p"})) == ["p"]


class TestFunction:
    def test_it_gets_the_uri(self):
        seen = []
        find(seen.append)
        assert seen == [URI]

    @pytest.mark.parametrize(
        ("value", "hosts"),
        [("http://p", ["p"]), (None, [None]), (["a", "b"], ["a", "b"]), ({"wss": "p"}, ["p"])],
    )
    def test_values(self, value, hosts):
        assert names(find(lambda uri: value)) == hosts
        assert names(find(lambda uri: lambda uri: value)) == hosts

    def test_its_name_is_the_source(self):
        def corporate(uri):
            return "http://p"

        assert find(corporate).source.endswith("corporate")

    def test_an_async_one_where_it_can_be_awaited(self):
        async def pick(uri):
            await asyncio.sleep(0)
            return ["http://a", lambda uri: later("http://b")]

        async def later(value):
            return value

        assert names(asyncio.run(choose_async(pick, URI))) == ["a", "b"]
        assert names(asyncio.run(choose_async("http://p", URI))) == ["p"]

    def test_an_async_one_where_it_cannot(self):
        async def pick(uri):
            return None

        with pytest.raises(TypeError, match="awaited"):
            find(pick)

    def test_its_exceptions_are_its_own(self):
        def broken(uri):
            raise LookupError("no")

        with pytest.raises(LookupError):
            find(broken)


def failure(step, error=None):
    error = error or ProxyConnectionError("x")
    error.step = step
    return error


def refusal(status):
    return InvalidProxyStatus(Response(status, "", Headers()))


class TestLists:
    def test_order(self):
        found = find(["http://a", "http://b", None])
        assert names(found) == ["a", "b", None]
        assert [way.source for way in found.alternatives] == [
            "the argument proxy[1]",
            "the argument proxy[2]",
        ]
        assert found.explain().endswith("otherwise: http://b:80\notherwise: direct")

    def test_empty(self):
        with pytest.raises(ValueError, match="needs at least one"):
            find([])

    def test_one_that_failed_comes_last(self):
        proxies = ["http://a", "http://b", "http://c"]
        assert report_failure(find(proxies), failure("connect"))
        assert names(find(proxies)) == ["b", "c", "a"]
        assert "rests for 60 s after a failure" in find(proxies).explain()
        # All rest: the one that failed first is the first to be tried again.
        assert report_failure(find(proxies), failure("connect"))
        assert report_failure(find(proxies), failure("connect"))
        assert names(find(proxies)) == ["a", "b", "c"]

    def test_it_wakes_up(self, monkeypatch):
        proxies = Failover(["http://a", "http://b"], rest=5)
        now = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        report_failure(find(proxies), failure("connect"))
        now += 4
        assert names(find(proxies)) == ["b", "a"]
        now += 2
        assert names(find(proxies)) == ["a", "b"]

    def test_it_works_again(self):
        proxies = ["http://a", "http://b"]
        report_failure(find(proxies), failure("connect"))
        choice.resting.discard(parse_proxy("http://a"))
        assert names(find(proxies)) == ["a", "b"]

    @pytest.mark.parametrize("step", ["resolve", "connect", "TLS to proxy", "authenticate"])
    def test_failures_of_the_proxy(self, step):
        proxies = ["http://a", "http://b"]
        assert report_failure(find(proxies), failure(step))
        assert names(find(proxies)) == ["b", "a"]

    @pytest.mark.parametrize(
        ("error", "rests"),
        [
            (refusal(403), False),
            (refusal(503), False),
            (ProxyError("SOCKS5 proxy refused"), False),
            (InvalidProxyMessage("garbage"), True),
        ],
    )
    def test_refusals(self, error, rests):
        proxies = ["http://a", "http://b"]
        assert report_failure(find(proxies), failure("CONNECT", error))
        assert names(find(proxies)) == (["b", "a"] if rests else ["a", "b"])

    @pytest.mark.parametrize("step", ["TLS to server", "handshake"])
    def test_failures_of_the_server(self, step):
        assert not report_failure(find(["http://a", "http://b"]), failure(step))

    def test_failures_without_a_proxy(self):
        assert report_failure(find([None, "http://a"]), OSError())
        assert not report_failure(find([None, "http://a"]), ValueError())

    def test_a_single_one_never_rests(self):
        report_failure(find("http://a"), failure("connect"))
        assert names(find(["http://a", "http://b"])) == ["a", "b"]

    def test_memory_is_bounded(self):
        for number in range(3000):
            found = find([f"http://p{number}", None])
            report_failure(found, failure("connect"))
        assert len(choice.resting.until) <= choice.Resting.MAX

    def test_lists_in_lists(self):
        assert names(find([["http://a", "http://b"], {"wss": "http://c"}])) == ["a", "b", "c"]


class TestOptions:
    def apply(self, proxy, **options):
        return choose(proxy, URI, None, Options(**options)).proxy

    def test_headers_and_authentication(self):
        proxy = self.apply("http://p", headers={"A": "b"}, auth=("me", "secret"))
        assert proxy.headers == {"A": "b"}
        assert proxy.auth == ("me", "secret")

    def test_for_the_last_proxy_only(self):
        proxy = self.apply("http://a -> http://b", auth=("me", "secret"))
        assert proxy.auth == ("me", "secret")
        assert proxy.via.auth is None

    def test_what_a_proxy_has_comes_first(self):
        given = parse_proxy("http://u:p@p")
        given.headers = {"C": "d"}
        assert self.apply(given, headers={"A": "b"}, auth=("me", "secret")) is given

    def test_no_headers_for_socks(self):
        assert self.apply("socks5://p", headers={"A": "b"}).headers is None

    def test_a_password_for_socks(self):
        proxy = self.apply("socks5://p", auth=("me", "secret"))
        assert proxy.user_info == ("me", "secret")

    def test_for_a_proxy_that_was_found(self):
        environment = {"all_proxy": "http://p"}
        assert self.apply(True, environment=environment, auth=("a", "b")).auth == ("a", "b")

"""Finding a proxy: each row of the tables in docs/proxies.md, and what tables cannot say."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.exceptions import InvalidProxy, InvalidURI
from tidegate.proxy import discovery, get_proxy, parse_proxy, route
from tidegate.proxy.addresses import is_loopback
from tidegate.proxy.bypass import find_rule
from tidegate.proxy.discovery import SystemSettings
from tidegate.proxy.hop import Target
from tidegate.uri import parse_uri

DOCS = Path(__file__).parents[2] / "docs" / "proxies.md"


def rows(heading):
    """Give the rows of the table under a heading, each a list of what its cells quote."""
    text = DOCS.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert len(cells) == 4
        quoted = [re.findall(r"`([^`]*)`", cell) for cell in cells[:3]]
        yield pytest.param(*quoted, cells[2], id=line[2:60].strip())


def variables(settings):
    """Read ``NAME=value`` pairs."""
    return dict(setting.split("=", 1) for setting in settings)


@pytest.mark.parametrize(
    ("settings", "uri", "expected", "text"), list(rows("Which variable counts"))
)
def test_variables(settings, uri, expected, text):
    found = route(uri[0], environment=variables(settings))
    if expected:
        assert str(found.proxy) == expected[0]
        assert found.source == f"the environment variable {expected[1]}"
    else:
        assert found.proxy is None
        assert text == "direct"


@pytest.mark.parametrize(
    ("rule", "uri", "expected", "text"), list(rows("Who is connected to directly: no_proxy"))
)
def test_no_proxy(rule, uri, expected, text):
    environment = {"all_proxy": "http://proxy.test", "no_proxy": rule[0]}
    found = route(uri[0], environment=environment, proxy_loopback=True)
    assert not expected
    assert ("direct" if found.proxy is None else "proxy") == text
    if found.proxy is None:
        assert found.source == "no_proxy"


def test_the_tables_have_rows():
    assert len(list(rows("Which variable counts"))) > 20
    assert len(list(rows("Who is connected to directly: no_proxy"))) > 40


@pytest.mark.parametrize("host", [
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "a.b.localhost.", "127.0.0.1",
    "127.255.0.1", "127.1", "0x7f000001", "2130706433", "::1", "[::1]", "0:0::1",
    "::ffff:127.0.0.1",
])  # fmt: skip
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", [
    "localhost.test", "notlocalhost", "126.0.0.1", "128.0.0.1", "10.0.0.1", "::2", "fe80::1",
    "127.0.0.1.test", "0.0.0.0", "1234567890123456789", "::ffff:10.0.0.1", "",
])  # fmt: skip
def test_not_loopback(host):
    assert not is_loopback(host)


class TestLoopback:
    environment = {"all_proxy": "http://proxy.test"}  # noqa: RUF012

    @pytest.mark.parametrize("uri", ["ws://localhost/", "wss://[::1]:1/", "ws://127.1/"])
    def test_is_not_proxied(self, uri):
        found = route(uri, environment=self.environment)
        assert found.proxy is None
        assert "TIDEGATE_PROXY_LOOPBACK" in found.explain()

    def test_unless_the_argument_says_so(self):
        found = route("ws://localhost/", environment=self.environment, proxy_loopback=True)
        assert str(found.proxy) == "http://proxy.test:80"

    @pytest.mark.parametrize(("value", "proxied"), [("1", True), ("0", False), ("", False)])
    def test_unless_the_variable_says_so(self, value, proxied):
        environment = {**self.environment, "TIDEGATE_PROXY_LOOPBACK": value}
        assert (route("ws://localhost/", environment=environment).proxy is not None) == proxied
        found = route("ws://localhost/", environment=environment, proxy_loopback=False)
        assert found.proxy is None

    def test_an_explicit_proxy_is_obeyed(self):
        assert route("ws://localhost/", "http://proxy.test").proxy is not None


class TestSystem:
    def find(self, uri, proxies, environment=(), bypass=()):
        system = SystemSettings(proxies, lambda host: host in bypass)
        return route(uri, environment=dict(environment), system=system)

    def test_socks_comes_first(self):
        proxies = {"http": "http://h.test:1", "https": "http://s.test:2", "socks": "socks5://k:3"}
        found = self.find("wss://ws.test/", proxies)
        assert str(found.proxy) == "socks5://k:3"
        assert found.source == "the settings of the operating system"

    @pytest.mark.parametrize("value", ["http://k.test:3", "socks://k.test:3", "k.test:3"])
    def test_names_are_resolved_by_the_socks_proxy(self, value):
        assert str(self.find("wss://ws.test/", {"socks": value}).proxy) == "socks5h://k.test:3"

    def test_https_counts_for_both(self):
        proxies = {"http": "http://h.test:1", "https": "http://s.test:2"}
        assert self.find("ws://ws.test/", proxies).proxy.host == "s.test"
        assert self.find("wss://ws.test/", proxies).proxy.host == "s.test"

    def test_http_counts_for_ws(self):
        assert self.find("ws://ws.test/", {"http": "http://h.test:1"}).proxy.host == "h.test"
        assert self.find("wss://ws.test/", {"http": "http://h.test:1"}).proxy is None

    def test_bypass_list(self):
        found = self.find("ws://ws.test/", {"http": "http://h.test:1"}, bypass=["ws.test"])
        assert found.proxy is None
        assert found.source == "bypass list"
        assert "that of the operating system has ws.test" in found.explain()

    def test_no_proxy_counts_as_well(self):
        found = self.find("ws://ws.test/", {"http": "http://h"}, {"no_proxy": "ws.test"})
        assert found.source == "no_proxy"

    def test_a_proxy_in_the_environment_hides_the_system(self):
        found = self.find(
            "ws://ws.test/", {"socks": "socks5://k:3"}, {"all_proxy": "http://e.test"}, ["ws.test"]
        )
        assert found.proxy.host == "e.test"

    def test_it_is_read_once_nothing_else_is_there(self, monkeypatch):
        settings = SystemSettings({"http": "http://h.test:1"})
        monkeypatch.setattr(discovery, "read_system_settings", lambda: settings)
        assert route("ws://ws.test/", environment={}).proxy.host == "h.test"
        environment = {"http_proxy": "http://e.test"}
        assert route("ws://ws.test/", environment=environment).proxy.host == "e.test"

    @pytest.mark.parametrize(
        ("platform", "names"),
        [
            ("darwin", ["getproxies_macosx_sysconf", "proxy_bypass_macosx_sysconf"]),
            ("win32", ["getproxies_registry", "proxy_bypass_registry"]),
        ],
    )
    def test_where_it_is_read(self, monkeypatch, platform, names):
        monkeypatch.setattr(urllib.request, names[0], lambda: {"http": "x"}, raising=False)
        monkeypatch.setattr(urllib.request, names[1], lambda host: 1, raising=False)
        monkeypatch.setattr("sys.platform", platform)
        settings = discovery.read_system_settings()
        assert settings.proxies == {"http": "x"}
        assert settings.bypass("ws.test") == 1

    def test_other_systems_have_none(self, monkeypatch):
        monkeypatch.setattr("sys.platform", "linux")
        assert discovery.read_system_settings() == SystemSettings()


class TestExplanation:
    def test_all_that_was_looked_at(self):
        environment = {
            "HTTPS_PROXY": "me:s3cret@proxy.test:3128",
            "no_proxy": "localhost,.corp",
            "all_proxy": "socks://me:s3cret@socks.test",
        }
        found = route("wss://ws.test/", environment=environment)
        assert found.explain() == (
            "route: http://me:***@proxy.test:3128 -> wss://ws.test:443\n"
            "proxy: http://me:***@proxy.test:3128 (from the environment variable HTTPS_PROXY)\n"
            "  - no_proxy     has no rule for ws.test:443: localhost,.corp\n"
            "  - wss_proxy    isn't set\n"
            "  - socks_proxy  isn't set\n"
            "  + HTTPS_PROXY  http://me:***@proxy.test:3128: the first that is set\n"
            "  - http_proxy   isn't set\n"
            "  - all_proxy    socks5h://me:***@socks.test:1080: it is decided already"
        )

    @pytest.mark.parametrize(
        ("environment", "lines"),
        [
            (
                {"HTTP_PROXY": "http://me:s3cret@p.test", "REQUEST_METHOD": "GET"},
                [
                    "  - HTTP_PROXY   http://me:***@p.test:80: doesn't count where REQUEST_METHOD "
                    "is set: it may be the header Proxy of a request to a CGI program",
                ],
            ),
            (
                {"HTTP_PROXY": "http://p.test", "http_proxy": " "},
                [
                    "  - http_proxy   is set, but empty",
                    "  - HTTP_PROXY   http://p.test:80: is cancelled by http_proxy, which is set "
                    "and empty",
                ],
            ),
            (
                {"ALL_PROXY": "me:s3cret@p.test", "All_Proxy": "q.test", "all_proxy": "r.test"},
                [
                    "  + all_proxy    http://r.test:80: the first that is set",
                    "  - ALL_PROXY    http://me:***@p.test:80: doesn't count, because all_proxy "
                    "does",
                    "  - All_Proxy    http://q.test:80: doesn't count, because all_proxy does",
                ],
            ),
            (
                {"NO_PROXY": "ws.test,http://me:s3cret@x", "no_proxy": "", "HTTPS_PROXY": ""},
                [
                    "  - no_proxy     is set, but empty",
                    "  - NO_PROXY     ws.test,http://***@x: is cancelled by no_proxy, which is set "
                    "and empty",
                    "  - HTTPS_PROXY  is set, but empty",
                ],
            ),
        ],
    )
    @pytest.mark.parametrize("uri", ["ws://ws.test/", "wss://ws.test/"])
    def test_variables_that_are_set_and_do_not_count(self, environment, lines, uri):
        text = route(uri, environment=environment, system=SystemSettings()).explain()
        for line in lines:
            assert line in text.splitlines()
        assert "s3cret" not in text
        [unset] = {"HTTP_PROXY", "ALL_PROXY", "NO_PROXY"} & set(environment)
        assert f"{unset.lower()}   isn't set" not in text

    @pytest.mark.parametrize(
        ("no_proxy", "warnings"),
        [
            ("a.test;b.test", ["a.test;b.test has ';', which separates nothing"]),
            ("a.test|b.test", ["a.test|b.test has '|', which separates nothing"]),
            ("a.test ; b.test", ["; has ';', which separates nothing"]),
            ("http://a.test:80/x", ["http://a.test:80/x is a URL, .*: write a.test:80$"]),
            ("http://me:s3cret@a.test", [r"http://\*\*\*@a.test is a URL, .*: write a.test$"]),
            ("10.*,*a.test", ["10.* has a star", r"\*a.test has a star"]),
            ("*.a.test,*,<local>,.b.test,10.0.0.0/8,[::1]:80", []),
        ],
    )
    @pytest.mark.parametrize("rest", ["", ",ws.test"])
    def test_rules_that_mean_nothing(self, no_proxy, warnings, rest):
        environment = {"no_proxy": no_proxy + rest, "all_proxy": "http://p.test"}
        found = route("ws://ws.test/", environment=environment)
        lines = [line for line in found.explain().splitlines() if line.startswith("  ! no_proxy")]
        assert len(lines) == len(warnings)
        for line, warning in zip(lines, warnings, strict=True):
            assert re.search(warning, line)
        assert "s3cret" not in found.explain()
        assert "s3cret" not in str(found.as_dict())

    def test_for_programs(self):
        found = route("ws://ws.test/", environment={"ws_proxy": "http://me:s3cret@proxy.test"})
        data = found.as_dict()
        assert data["proxy"] == "http://me:***@proxy.test:80"
        assert data["source"] == "the environment variable ws_proxy"
        assert data["uri"] == "ws://ws.test:80"
        assert {c["name"]: c["verdict"] for c in data["candidates"]} == {
            "no_proxy": "passed",
            "ws_proxy": "chosen",
            "socks_proxy": "passed",
            "https_proxy": "passed",
            "http_proxy": "passed",
            "all_proxy": "passed",
        }
        assert "s3cret" not in str(data)

    def test_the_candidate_that_is_not_for_wss(self):
        text = route("wss://ws.test/", environment={"http_proxy": "http://p.test"}).explain()
        assert "http_proxy   http://p.test:80: counts for ws:// only" in text


class TestBadValues:
    def test_the_variable_is_named(self):
        with pytest.raises(InvalidProxy) as raised:
            route("ws://ws.test/", environment={"HTTP_PROXY": "ftp://me:s3cret@proxy.test"})
        assert "from the environment variable HTTP_PROXY" in str(raised.value)
        assert "s3cret" not in str(raised.value)

    def test_one_that_does_not_count_does_no_harm(self):
        environment = {"ws_proxy": "http://p.test", "all_proxy": "ftp://me:s3cret@x"}
        found = route("ws://ws.test/", environment=environment)
        assert found.proxy.host == "p.test"
        assert "scheme ftp isn't supported" in found.explain()
        assert "s3cret" not in found.explain()

    def test_uri(self):
        with pytest.raises(InvalidURI):
            route("http://ws.test/")


def test_get_proxy(monkeypatch):
    for name in "ws", "wss", "socks", "https", "http", "all", "no":
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    monkeypatch.setattr(discovery, "read_system_settings", SystemSettings)
    assert get_proxy(parse_uri("ws://ws.test/")) is None
    monkeypatch.setenv("https_proxy", "http://me:s%40cret@proxy.test:3128")
    url = get_proxy(parse_uri("ws://ws.test/"))
    assert url == "http://me:s%40cret@proxy.test:3128"
    assert parse_proxy(url).password == "s@cret"
    assert get_proxy(parse_uri("ws://localhost/")) is None


@given(st.text("a.*:[]/,<> 0129f%\u00e9", max_size=30), st.sampled_from(["a.b", "::1", "10.0.0.1"]))
def test_any_list_is_read(no_proxy, host):
    rule = find_rule(no_proxy, Target(host, 80))
    assert rule is None or rule in no_proxy

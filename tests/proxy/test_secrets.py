"""Passwords in URLs that can't be used are shown nowhere: message, arguments, chain, command."""

from __future__ import annotations

import contextlib
import io
import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidegate import Client
from tidegate.cli import main
from tidegate.exceptions import InvalidProxy, InvalidURI
from tidegate.proxy.command import complete_uri
from tidegate.proxy.url import parse_proxy, parse_proxy_url
from tidegate.uri import parse_uri

# What surrounds a password, which is in the place of PASSWORD.
PROXIES = [
    "http://me:PASSWORD/x@proxy:3128",
    "http://me:x/PASSWORD@proxy:3128",
    "http://me:PASSWORD#x@proxy:3128",
    "http://me:x#PASSWORD@proxy:3128",
    "http://me:PASSWORD?x@proxy:3128",
    "http://me:x?PASSWORD@proxy:3128",
    "http://me:PASSWORD\u2100@proxy:3128",
    "http://me:PASSWORD[@proxy:3128",
    "http:/me:PASSWORD@proxy:1",
    "http//me:PASSWORD@proxy",
    "me:12/PASSWORD@proxy",
    "me:PASSWORD@proxy:99999",
    "me:PASSWORD@proxy/path",
    "http://one:1,http://me:PASSWORD@two:2",
    "http://me:PASSWORD@one:1,http://two:2",
    "http://me:PASSWORD@proxy:port",
    "http://PASSWORD@proxy",
    "gopher://me:PASSWORD@proxy",
    "http://me:PASSWORD@",
    "http://me:PASS WORD PASSWORD@proxy",
    "socks5h://me:PASSWORD/@proxy -> http://x",
]
URIS = [
    "ws:/me:PASSWORD@host/",
    "ws://PASSWORD@host/",
    "ws://me:PASSWORD/x@host/",
    "ws://me:PASSWORD\u2100@host/",
    "ws://me:PASSWORD[@host/",
    "ws://me:PASSWORD@host:port/",
    "ws://me:PASSWORD@host/#fragment",
    "http://me:PASSWORD@host/",
    "me:PASSWORD@host",
    "ws://me:PASSWORD@/",
    "ws://me:PASSWORD@ho st/",
]

# Long enough not to be there by chance.
passwords = st.text("0123456789bcdfghjkmnpqrstvwxyzBCDFGHJKMNPQRSTVWXYZ$!*%~", min_size=8)


def everything_of(exc):
    """Give all that can be seen of an exception and of those it came from."""
    seen = []
    while exc is not None and exc not in seen:
        seen.append(exc)
        exc = exc.__cause__ or exc.__context__
    texts = []
    for each in seen:
        texts += [str(each), repr(each), repr(each.args), repr(vars(each))]
        texts += traceback.format_exception_only(each)
    return "\n".join(texts)


@pytest.mark.parametrize("parse", [parse_proxy, parse_proxy_url])
@pytest.mark.parametrize("form", PROXIES)
@given(password=passwords)
def test_proxies(parse, form, password):
    with contextlib.suppress(InvalidProxy):
        try:
            parse(form.replace("PASSWORD", password))
        except InvalidProxy as exc:
            assert password not in everything_of(exc)
            raise


@pytest.mark.parametrize("form", URIS)
@given(password=passwords)
def test_uris(form, password):
    with pytest.raises(InvalidURI) as caught:
        parse_uri(form.replace("PASSWORD", password))
    assert password not in everything_of(caught.value)


# Anything that people, scripts and copying make of a URL.
junk = st.text("/#?[]@:%,; \\.\u2100-1x", max_size=4)
broken_urls = st.builds(
    "{}{}{}{}PASSWORD{}@{}{}".format,
    st.sampled_from(["http", "https", "ws", "wss", "socks5h", "gopher", "me", ""]),
    st.sampled_from(["://", ":/", ":", "//", "/", ""]),
    junk,
    st.sampled_from(["", "me:", "m/e:", "@:"]),
    junk,
    junk,
    st.sampled_from(["host", "host:99999", "[::1", "ho st", ""]),
)


@given(form=broken_urls, password=passwords)
def test_whatever_is_wrong(form, password):
    url = form.replace("PASSWORD", password)
    for parse in (parse_proxy, parse_proxy_url, parse_uri):
        try:
            parse(url)
        except (InvalidProxy, InvalidURI) as exc:
            assert password not in everything_of(exc)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=broken_urls)
def test_whatever_is_wrong_in_commands_and_logs(form, caplog):
    caplog.set_level("DEBUG")
    caplog.clear()
    url = form.replace("PASSWORD", "s3cr3tword")
    for arguments in (
        ["connect", "--", url],
        ["route", "--", url],
        ["route", f"--proxy={url}", "ws://example.com"],
    ):
        if arguments[1] == "--" and not is_malformed(complete_uri(url)):
            # It would connect; what is behind the host isn't secret.
            continue
        output = io.StringIO()
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            contextlib.suppress(SystemExit),
        ):
            main(arguments)
        assert "s3cr3tword" not in output.getvalue()
    assert "s3cr3tword" not in caplog.text


def is_malformed(uri):
    try:
        parse_uri(uri)
    except InvalidURI:
        return True
    return False


@pytest.mark.parametrize("form", PROXIES)
def test_client(form):
    with contextlib.suppress(InvalidProxy):
        try:
            Client(proxy_url=form.replace("PASSWORD", "s3cr3tword"))
        except InvalidProxy as exc:
            assert "s3cr3tword" not in everything_of(exc)
            raise


@pytest.mark.parametrize("form", PROXIES)
def test_command(form, monkeypatch):
    monkeypatch.setenv("http_proxy", form.replace("PASSWORD", "s3cr3tword"))
    monkeypatch.delenv("https_proxy", raising=False)
    output = io.StringIO()
    with (
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
        contextlib.suppress(SystemExit),
    ):
        main(["route", "ws://example.com/"])
    assert output.getvalue()
    assert "s3cr3tword" not in output.getvalue()


@pytest.mark.parametrize(
    "url", ["http://me:s3cr3t/x@proxy:3128", "http://me:s#x@proxy", "http://m?e:s@p"]
)
def test_it_is_said_what_to_do(url):
    with pytest.raises(InvalidProxy, match="percent-escape"):
        parse_proxy(url)


def test_no_url_at_all():
    client = Client()
    with pytest.raises(ValueError, match=r"None isn't a valid proxy: .*set_proxy"):
        client.set_http_proxy(None)

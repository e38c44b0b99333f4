"""Who the client is by ``Forwarded`` (RFC 7239) and ``X-Forwarded-*``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.datastructures import Headers
from tidegate.proxyprotocol import ForwardedPolicy
from tidegate.proxyprotocol.forwarded import ForwardedRequest

PROXY = ("10.0.0.1", 4711)
TRUSTED = ["10.0.0.0/8", "2001:db8:10::/48", "unix"]


def policy_for(headers):
    """Give a policy for the header that is among these."""
    is_forwarded = any(name == "Forwarded" for name, _ in headers)
    header = "Forwarded" if is_forwarded else "X-Forwarded-For"
    return ForwardedPolicy(trusted=TRUSTED, header=header)


def resolve(*headers, address=PROXY, policy=None):
    policy = policy or policy_for(headers)
    return policy.resolve(address, Headers(headers))


def client(*headers, **kwargs):
    return resolve(*headers, **kwargs).remote_address


def forwarded(*values):
    return [("Forwarded", value) for value in values]


def legacy(*values):
    return [("X-Forwarded-For", value) for value in values]


def test_nothing():
    assert resolve() == ForwardedRequest(PROXY)
    assert resolve(("Host", "example.com")) == ForwardedRequest(PROXY)


@pytest.mark.parametrize("headers", [forwarded("for=192.0.2.1"), legacy("192.0.2.1")])
def test_untrusted_peer(headers):
    for address in (("203.0.113.1", 1), ("2001:db8::1", 1, 0, 0), None):
        assert client(*headers, address=address) == address


@pytest.mark.parametrize("address", [PROXY, ("2001:db8:10::1", 1, 0, 0), "", "/run/proxy"])
def test_trusted_peer(address):
    for headers in (forwarded("for=192.0.2.1"), legacy("192.0.2.1")):
        assert client(*headers, address=address) == ("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.43", ("192.0.2.43", 0)),
        ("For=192.0.2.43", ("192.0.2.43", 0)),
        ('for="192.0.2.43:47011"', ("192.0.2.43", 47011)),
        ('for="[2001:db8:cafe::17]"', ("2001:db8:cafe::17", 0, 0, 0)),
        ('for="[2001:DB8:cafe::17]:4711"', ("2001:db8:cafe::17", 4711, 0, 0)),
        (r'for="192\.0.2.4\3"', ("192.0.2.43", 0)),
        # Not quoted, as some write it
        ("for=192.0.2.43:80", ("192.0.2.43", 80)),
        ("for=[2001:db8::1]:80", ("2001:db8::1", 80, 0, 0)),
        ("for=192.0.2.43;proto=http;by=203.0.113.43", ("192.0.2.43", 0)),
        ("by=203.0.113.43 ; for=192.0.2.43", ("192.0.2.43", 0)),
        ("for=192.0.2.43, , for=10.0.0.2,", ("192.0.2.43", 0)),
        ('secret="a,b;for=1.2.3.4";for=192.0.2.43', ("192.0.2.43", 0)),
        # Only trusted proxies' entries are believed.
        ("for=1.2.3.4, for=192.0.2.43", ("192.0.2.43", 0)),
        ("for=1.2.3.4, for=192.0.2.43, for=10.0.0.3, for=10.0.0.2", ("192.0.2.43", 0)),
        ("for=10.0.0.3, for=10.0.0.2", ("10.0.0.3", 0)),
        # The client isn't known: then it is the last that is.
        ("for=unknown", PROXY),
        ("for=_hidden", PROXY),
        ('for="_gazonk:80"', PROXY),
        ("for=1.2.3.4, for=unknown, for=10.0.0.2", ("10.0.0.2", 0)),
        ("proto=https", PROXY),
        ("", PROXY),
        # What is malformed is nobody's word.
        ("for=1.2.3.4.5", PROXY),
        ("for=01.2.3.4", PROXY),
        ('for="1.2.3.4:65536"', PROXY),
        ('for="2001:db8::1"', ("2001:db8::1", 0, 0, 0)),
        ('for="[1.2.3.4]"', PROXY),
        ("for=192.0.2.43 for=1.2.3.4", PROXY),
        ('for="192.0.2.43', PROXY),
        ("for=192.0.2.43;for=1.2.3.4", PROXY),
        ("192.0.2.43", PROXY),
        ("for =192.0.2.43", PROXY),
        ("for=192.0.2.43;;;", ("192.0.2.43", 0)),
    ],
)
def test_forwarded(value, expected):
    assert client(*forwarded(value)) == expected


def test_several_forwarded_headers():
    assert client(*forwarded("for=1.2.3.4", "for=192.0.2.43", "for=10.0.0.2")) == ("192.0.2.43", 0)
    # What the client broke doesn't break what its proxies added in headers of their own.
    assert client(*forwarded('for="', "for=192.0.2.43")) == ("192.0.2.43", 0)
    assert client(*forwarded('for="', "for=10.0.0.2")) == ("10.0.0.2", 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("192.0.2.43", ("192.0.2.43", 0)),
        ("192.0.2.43:80", ("192.0.2.43", 80)),
        ("2001:db8::1", ("2001:db8::1", 0, 0, 0)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80, 0, 0)),
        ("1.2.3.4, 192.0.2.43", ("192.0.2.43", 0)),
        ("1.2.3.4,192.0.2.43 , 10.0.0.3,\t10.0.0.2", ("192.0.2.43", 0)),
        ("10.0.0.3, 10.0.0.2", ("10.0.0.3", 0)),
        ("::ffff:10.0.0.2", ("::ffff:10.0.0.2", 0, 0, 0)),
        ("1.2.3.4, ::ffff:10.0.0.2", ("1.2.3.4", 0)),
        ("unknown", PROXY),
        ("", PROXY),
        ("203.0.113.5,", ("203.0.113.5", 0)),
        ("1.2.3.4, , 10.0.0.2,,", ("1.2.3.4", 0)),
        ("1.2.3.4, garbage, 10.0.0.2", ("10.0.0.2", 0)),
        ("fe80::1%eth0", PROXY),
        ("localhost", PROXY),
    ],
)
def test_legacy(value, expected):
    assert client(*legacy(value)) == expected


def test_several_legacy_headers():
    assert client(*legacy("1.2.3.4, 192.0.2.43", "10.0.0.2")) == ("192.0.2.43", 0)


def test_proto_and_host():
    request = resolve(
        *forwarded(
            "for=1.2.3.4;proto=gopher;host=evil.example",
            'for=192.0.2.43;Proto=HTTPS;host="example.com:8443"',
            "for=10.0.0.2;proto=http;host=inside",
        )
    )
    assert request == ForwardedRequest(("192.0.2.43", 0), "https", "example.com:8443")
    request = resolve(
        *legacy("1.2.3.4, 192.0.2.43, 10.0.0.2"),
        ("X-Forwarded-Proto", "gopher, https, http"),
        ("X-Forwarded-Host", "example.com"),
    )
    assert request == ForwardedRequest(("192.0.2.43", 0), "https", "example.com")
    # One that isn't possible isn't passed on.
    request = resolve(
        *legacy("192.0.2.43"), ("X-Forwarded-Proto", "ht tp"), ("X-Forwarded-Host", "a/b")
    )
    assert request == ForwardedRequest(("192.0.2.43", 0))
    # Without a client, they say nothing.
    assert resolve(("X-Forwarded-Proto", "https")) == ForwardedRequest(PROXY)


def test_both_headers():
    """A proxy that knows one of them passes the other on, whoever wrote it."""
    headers = [*forwarded("for=1.2.3.4;proto=https"), *legacy("192.0.2.43")]
    networks = ["10.0.0.0/8"]
    policy = ForwardedPolicy(trusted=networks, header="X-Forwarded-For")
    assert resolve(*headers, policy=policy) == ForwardedRequest(("192.0.2.43", 0))
    policy = ForwardedPolicy(trusted=networks, header="Forwarded")
    assert resolve(*headers, policy=policy) == ForwardedRequest(("1.2.3.4", 0), "https")
    assert resolve(*legacy("192.0.2.43"), policy=policy) == ForwardedRequest(PROXY)


@pytest.mark.parametrize(
    "arguments",
    [{"trusted": ["0.0.0.0/0"]}, {"trusted": ["*"]}, {"header": "Via"}, {"header": None}],
)
def test_impossible(arguments):
    with pytest.raises(ValueError):
        ForwardedPolicy(**{"trusted": ["10.0.0.1"], "header": "Forwarded", **arguments})


def test_the_header_has_to_be_named():
    """Else a client that sends the other one is who it says."""
    with pytest.raises(TypeError, match="header"):
        ForwardedPolicy(trusted=["10.0.0.1"])


def test_anyone():
    policy = ForwardedPolicy(trusted="anyone", header="X-Forwarded-For")
    assert client(*legacy("1.2.3.4, 5.6.7.8"), policy=policy) == ("1.2.3.4", 0)


@given(st.lists(st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])), max_size=3))
def test_no_exception(values):
    assert client(*legacy(*values)) is not None
    assert client(*forwarded(*values)) is not None


@given(st.text('for=";,[]:1.2_\\ ', max_size=40))
def test_client_cannot_choose(value):
    """Whatever the client sends, what its proxy adds in a header of its own decides."""
    for headers in (forwarded(value, "for=192.0.2.43"), legacy(value, "192.0.2.43")):
        assert client(*headers) == ("192.0.2.43", 0)

"""Whom a policy trusts."""

from __future__ import annotations

import ipaddress

import pytest

from tidegate.proxyprotocol import Header, ProxyPolicy
from tidegate.proxyprotocol.policy import Endpoints


def trusts(policy, peername):
    return policy.decide(peername) == "require"


@pytest.mark.parametrize(
    ("trusted", "peername", "expected"),
    [
        (["192.0.2.1"], ("192.0.2.1", 1), True),
        (["192.0.2.1"], ("192.0.2.2", 1), False),
        (["10.0.0.0/8", "192.0.2.0/24"], ("192.0.2.255", 1), True),
        (["10.0.0.0/8"], ("11.0.0.0", 1), False),
        (["10.0.0.0/8"], ("::ffff:10.1.2.3", 1, 0, 0), True),
        (["10.0.0.0/8"], ("::ffff:11.1.2.3", 1, 0, 0), False),
        (["::ffff:10.0.0.0/104"], ("10.1.2.3", 1), True),
        (["2001:db8::/32"], ("2001:db8:1::1", 1, 0, 0), True),
        (["2001:db8::/32"], ("2001:db9::1", 1, 0, 0), False),
        (["fe80::/10"], ("fe80::1%eth0", 1, 0, 2), True),
        ([ipaddress.ip_network("10.0.0.0/8")], ("10.0.0.1", 1), True),
        ([ipaddress.ip_address("::1")], ("::1", 1, 0, 0), True),
        ("10.0.0.0/8", ("10.0.0.1", 1), True),
        (["10.0.0.0/8"], "", False),
        (["unix"], "", True),
        (["unix"], b"\0abstract", True),
        (["unix"], "/run/client", True),
        (["unix"], ("127.0.0.1", 1), False),
        (["unix", "127.0.0.1"], ("127.0.0.1", 1), True),
        ("unix", "", True),
        ("anyone", ("203.0.113.1", 1), True),
        ("anyone", ("2001:db8::1", 1, 0, 0), True),
        ("anyone", "", True),
        ([], ("127.0.0.1", 1), False),
        # No address: nobody.
        (["10.0.0.0/8", "unix"], None, False),
        (["10.0.0.0/8", "unix"], ("what is this", 1), False),
    ],
)
def test_trusted(trusted, peername, expected):
    policy = ProxyPolicy(trusted=trusted)
    assert trusts(policy, peername) is expected
    # The second time, it is remembered.
    assert trusts(policy, peername) is expected


def test_untrusted():
    peername = ("203.0.113.1", 1)
    assert ProxyPolicy(trusted=["10.0.0.0/8"]).decide(peername) == "plain"
    assert ProxyPolicy(trusted=["10.0.0.0/8"], untrusted="reject").decide(peername) == "reject"


@pytest.mark.parametrize("everyone", ["0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96", "*", "anybody", ""])
def test_everyone_in_disguise(everyone):
    with pytest.raises(ValueError):
        ProxyPolicy(trusted=[everyone])
    with pytest.raises(ValueError):
        ProxyPolicy(trusted=everyone)


@pytest.mark.parametrize(
    "arguments",
    [
        {"trusted": ["anyone"]},
        {"trusted": ["10.0.0.1/8"]},
        {"trusted": ["localhost"]},
        {"trusted": ["10.0.0.0/33"]},
        {"untrusted": "ignore"},
        {"versions": ()},
        {"versions": (1, 3)},
        {"timeout": 0},
        {"max_size": 106},
        {"max_size": 65552},
        {"max_waiting": 0},
    ],
)
def test_impossible(arguments):
    with pytest.raises(ValueError):
        ProxyPolicy(**{"trusted": ["10.0.0.0/8"], **arguments})


def test_trust_has_to_be_said():
    # R2
    with pytest.raises(TypeError):
        ProxyPolicy()


def test_defaults():
    # R3, R4
    policy = ProxyPolicy(trusted=["10.0.0.0/8"])
    assert (policy.untrusted, policy.versions) == ("plain", (1, 2))
    assert (policy.timeout, policy.max_size) == (5.0, 4096)


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        (True, "require"),
        (False, "reject"),
        (None, "reject"),
        ("require", "require"),
        ("plain", "plain"),
        ("reject", "reject"),
    ],
)
def test_function(answer, decision):
    asked = []

    def trusted(peername):
        asked.append(peername)
        return answer

    policy = ProxyPolicy(trusted=trusted, untrusted="reject")
    assert policy.decide(("10.0.0.1", 1)) == decision
    assert asked == [("10.0.0.1", 1)]


def test_endpoints():
    header = Header(source=("2001:db8::1", 1), destination=("2001:db8::2", 2))
    peer, here = ("10.0.0.1", 5), ("10.0.0.2", 6)
    endpoints = Endpoints.of(header, peer, here)
    assert endpoints.remote_address == ("2001:db8::1", 1, 0, 0)
    assert endpoints.local_address == ("2001:db8::2", 2, 0, 0)
    assert (endpoints.peer_address, endpoints.header) == (peer, header)
    for nobody in (None, Header(command="LOCAL"), Header(1)):
        endpoints = Endpoints.of(nobody, peer, here)
        assert (endpoints.remote_address, endpoints.local_address) == (peer, here)
        assert (endpoints.peer_address, endpoints.header) == (peer, nobody)

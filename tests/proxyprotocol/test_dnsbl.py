"""Blocklists in the DNS."""

from __future__ import annotations

import asyncio
import types
from ipaddress import IPv4Address, ip_address

import pytest

from tidegate.proxyprotocol.dnsbl import BasicDnsbl, Dnsbl, NoopDnsbl, SpamhausDnsbl

ZEN = "zen.spamhaus.org"


class Loop:
    """Answers what the DNS would be asked."""

    def __init__(self, *answers):
        self.answers = answers
        self.asked = []

    async def getaddrinfo(self, host, port, **kwargs):
        self.asked.append(host)
        if not self.answers:
            raise OSError("there is no such name")
        return [(2, 1, 6, "", (answer, port)) for answer in self.answers]


class Silence:
    async def getaddrinfo(self, host, port, **kwargs):
        await asyncio.sleep(60)


def client(ip):
    return types.SimpleNamespace(peername_ip=None if ip is None else ip_address(ip))


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        (None, NoopDnsbl),
        ("bl.example", BasicDnsbl),
        (ZEN, SpamhausDnsbl),
        ("spamhaus.org.example", BasicDnsbl),
    ],
)
def test_load(host, kind):
    assert isinstance(Dnsbl.load(host), kind)


@pytest.mark.parametrize(
    ("ip", "name"),
    [
        ("192.0.2.1", "1.2.0.192.bl.example"),
        ("2001:db8::1", "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.bl.example"),
    ],
)
async def test_lookup(ip, name):
    dnsbl = Dnsbl.load("bl.example", timeout=5)
    listed, unknown = Loop("127.0.0.2"), Loop()
    assert await dnsbl.lookup(client(ip), loop=listed) == "bl.example"
    assert await dnsbl.lookup(client(ip), loop=unknown) is None
    assert listed.asked == unknown.asked == [name]


async def test_nothing_to_look_up():
    loop = Loop("127.0.0.2")
    assert await Dnsbl.load("bl.example").lookup(client(None), loop=loop) is None
    assert await NoopDnsbl().lookup(client("192.0.2.1"), loop=loop) is None
    assert loop.asked == []


async def test_no_answer():
    dnsbl = Dnsbl.load("bl.example", timeout=0.01)
    assert await dnsbl.lookup(client("192.0.2.1"), loop=Silence()) is None


@pytest.mark.parametrize(
    ("answers", "page"),
    [
        (["127.0.0.2"], "https://www.spamhaus.org/sbl/"),
        (["127.0.0.3"], "https://www.spamhaus.org/css/"),
        (["127.0.0.4"], "https://www.spamhaus.org/xbl/"),
        (["127.0.0.10"], "https://www.spamhaus.org/pbl/"),
        (["127.0.0.9", "127.0.0.11"], "https://www.spamhaus.org/pbl/"),
        (["127.0.0.9"], ZEN),
        # Who asks too much, or through a public resolver, is told so in this way.
        (["127.255.255.254"], None),
        ([], None),
    ],
)
def test_spamhaus(answers, page):
    assert Dnsbl.load(ZEN).map_results([IPv4Address(answer) for answer in answers]) == page

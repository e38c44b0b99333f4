"""IP addresses as text, against :mod:`ipaddress`."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.proxyprotocol.addresses import canonical_ip


def ours(text):
    return canonical_ip(text.encode("utf-8", "surrogateescape"))


def expected_text(ip):
    """What RFC 5952 says; before 3.13, ipaddress doesn't show IPv4-mapped addresses as such."""
    if ip.version == 6 and ip.ipv4_mapped is not None:
        return f"::ffff:{ip.ipv4_mapped}"
    return str(ip)


@given(st.ip_addresses())
def test_canonical_text_stays(ip):
    assert ours(expected_text(ip)) == expected_text(ip)


@given(st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xAB]), min_size=8, max_size=8))
def test_runs_of_zeros(groups):
    ip = ipaddress.IPv6Address(b"".join(group.to_bytes(2) for group in groups))
    assert ours(":".join(f"{group:04X}" for group in groups)) == expected_text(ip)
    assert ours(expected_text(ip)) == expected_text(ip)


@given(st.text("0123456789abcF:. ", max_size=20) | st.text(max_size=8))
def test_what_is_no_address(text):
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        assert ours(text) is None
    else:
        assert ours(text) == (None if "%" in text else expected_text(ip))


REFUSED = """
010.1.1.1 1.2.3 1.2.3.4. .1.2.3.4 1.2.3.256 1.2.3.0000 1..2.3 +1.2.3.4 0x1.2.3.4
: ::: 1::2::3 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 1:2:3:4:5:6:7:8:: ::1:2:3:4:5:6:7:8 12345::
1: :1 ::1: g:: fe80::1%eth0 fe80::1%1 [::1] ::1.2.3 ::1.2.3.4.5 ::1.2.3.4:5 1.2.3.4::
::ffff:01.2.3.4 1:2:3:4:5:6:7:1.2.3.4 ::1.2.3.400
"""


@pytest.mark.parametrize("text", REFUSED.split())
def test_refused(text):
    assert ours(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2001:DB8::A", "2001:db8::a"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("0001:0:0:2:0:0:0:3", "1:0:0:2::3"),
        ("1:0:0:2:0:0:3:4", "1::2:0:0:3:4"),
        ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("::ffff:c0a8:1", "::ffff:192.168.0.1"),
        ("::FFFF:192.168.0.1", "::ffff:192.168.0.1"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("::1.2.3.4", "::102:304"),
        ("1:2:3:4:5:6:255.0.9.10", "1:2:3:4:5:6:ff00:90a"),
    ],
)
def test_rewritten(text, expected):
    assert ours(text) == expected

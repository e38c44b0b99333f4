"""IP addresses as text and as bytes, each in the one way that a header has them.

What systems take for an address differs: leading zeros, zones, blanks. A header has none of these.
"""

from __future__ import annotations

try:
    import cython
except ImportError:  # uncompiled, without Cython

    class cython:  # type: ignore[no-redef]
        compiled = False


# The others are functions of C in the compiled module.
__all__ = ["canonical_ip"]

# In the compiled module these are C integers and arrays: addresses.pxd.
ZERO, NINE, DOT, COLON = b"09.:"
DIGITS = b"0123456789abcdef"
HEX = [-1] * 256
for digit, letter in enumerate(DIGITS + b"ABCDEF"):
    HEX[letter] = digit if digit < 16 else digit - 6


def end_of_ipv4(octets: bytes | bytearray, at: int, end: int) -> int:
    """Give where the IPv4 address that begins at ``at`` ends, -1 if there is none."""
    for part in range(4):
        if part:
            if at >= end or octets[at] != DOT:
                return -1
            at += 1
        start = at
        value = 0
        while at < end and at < start + 3 and ZERO <= octets[at] <= NINE:
            value = value * 10 + octets[at] - ZERO
            at += 1
        if at == start or value > 255 or (at > start + 1 and octets[start] == ZERO):
            return -1
    return at


def read_ipv6(octets: bytes | bytearray, at: int, end: int, ip: bytearray) -> bool:
    """Read the IPv6 address that is the text from ``at`` to ``end`` into the 16 bytes of ``ip``.

    Returns:
        whether the text is one (RFC 4291, section 2.2).
    """
    size = 0
    gap = -1
    if end - at >= 2 and octets[at] == COLON and octets[at + 1] == COLON:
        gap = 0
        at += 2
    while at < end:
        start = at
        value = 0
        while at < end and at < start + 4 and HEX[octets[at]] >= 0:
            value = value << 4 | HEX[octets[at]]
            at += 1
        if at < end and octets[at] == DOT:
            # What was read is the beginning of an IPv4 address, which must be the last thing.
            if size > 12 or end_of_ipv4(octets, start, end) != end:
                return False
            value = 0
            for i in range(start, end):
                if octets[i] == DOT:
                    ip[size] = value
                    size += 1
                    value = 0
                else:
                    value = value * 10 + octets[i] - ZERO
            ip[size] = value
            size += 1
            break
        if at == start or size > 14:
            return False
        ip[size] = value >> 8
        ip[size + 1] = value & 0xFF
        size += 2
        if at == end:
            break
        if octets[at] != COLON or at + 1 == end:
            return False
        at += 1
        if octets[at] == COLON:
            if gap >= 0:
                return False
            gap = size
            at += 1
    if gap < 0:
        return size == 16
    if size > 14:
        return False
    # The zeros that the gap stands for come before what followed it.
    tail = size - gap
    for i in range(1, tail + 1):
        ip[16 - i] = ip[size - i]
    for i in range(gap, 16 - tail):
        ip[i] = 0
    return True


def ipv4_text(octets: bytes | bytearray, at: int) -> str:
    """Give the IPv4 address of the 4 bytes from ``at`` on."""
    if not cython.compiled:
        text = bytearray(16)
    size = put_ipv4(text, 0, octets, at)
    return text[:size].decode("ascii")


def put_ipv4(text: bytearray, size: int, octets: bytes | bytearray, at: int) -> int:
    """Write an IPv4 address to ``text`` from ``size`` on, and give where it ends."""
    for i in range(at, at + 4):
        value = octets[i]
        if i > at:
            text[size] = DOT
            size += 1
        if value >= 100:
            text[size] = ZERO + value // 100
            size += 1
        if value >= 10:
            text[size] = ZERO + value // 10 % 10
            size += 1
        text[size] = ZERO + value % 10
        size += 1
    return size


def ipv6_text(octets: bytes | bytearray, at: int) -> str:
    """Give the IPv6 address of the 16 bytes from ``at`` on, as RFC 5952 writes it."""
    if not cython.compiled:
        text = bytearray(48)
    # The longest run of zero groups, the first one of several (section 4.2).
    longest = 1
    gap = -1
    run = 0
    for group in range(8):
        if octets[at + 2 * group] == 0 and octets[at + 2 * group + 1] == 0:
            run += 1
            if run > longest:
                longest = run
                gap = group + 1 - run
        else:
            run = 0
    # An IPv4-mapped address shows the IPv4 one (section 5).
    groups = 8
    if gap == 0 and longest == 5 and octets[at + 10] == 0xFF and octets[at + 11] == 0xFF:
        groups = 6
    size = 0
    group = 0
    while group < groups:
        if group == gap:
            text[size] = COLON
            text[size + 1] = COLON
            size += 2
            group += longest
            continue
        if group and group != gap + longest:
            text[size] = COLON
            size += 1
        value = octets[at + 2 * group] << 8 | octets[at + 2 * group + 1]
        group += 1
        shift = 12
        while shift and not value >> shift:
            shift -= 4
        while shift >= 0:
            text[size] = DIGITS[value >> shift & 0xF]
            size += 1
            shift -= 4
    if groups == 6:
        text[size] = COLON
        size = put_ipv4(text, size + 1, octets, at + 12)
    return text[:size].decode("ascii")


def canonical_ip(text: bytes) -> str | None:
    """Give an IP address as :func:`parse` writes it, None if ``text`` is none."""
    end = len(text)
    if end_of_ipv4(text, 0, end) == end:
        return text.decode("ascii")
    if not cython.compiled:
        ip = bytearray(16)
    return ipv6_text(ip, 0) if read_ipv6(text, 0, end, ip) else None

"""From the first bytes of a connection to the header, without reading a byte too many.

Section numbers are those of the PROXY protocol specification.
"""

from __future__ import annotations

from collections.abc import Container

from .errors import ProxyProtocolChecksumError, ProxyProtocolSyntaxError
from .header import SIGNATURE as SIGNATURE_2
from .header import Header
from .line import MAX_LINE as LONGEST_LINE
from .line import shortest_line
from .typing import Address

try:
    import cython
except ImportError:  # uncompiled, without Cython

    class cython:  # type: ignore[no-redef]
        compiled = False


if not cython.compiled:
    from .addresses import end_of_ipv4, ipv4_text, ipv6_text, read_ipv6
    from .crc32c import crc32c_of
    from .header import AUTHORITY, CRC32C, NETNS, SSL, check_length, check_value

__all__ = ["parse", "parse_datagram"]

# In the compiled module these are C integers: parser.pxd.
ZERO, NINE, SPACE, CR, LF = b"09 \r\n"
P = ord("P")
MAX_LINE = LONGEST_LINE
SIGNATURE = SIGNATURE_2
# The size of the address block of each family, section 2.2.
BLOCK_SIZES = [0, 12, 36, 216]

FAMILIES = ("AF_UNSPEC", "AF_INET", "AF_INET6", "AF_UNIX")
PROTOCOLS = ("UNSPEC", "STREAM", "DGRAM")


def parse(
    data: bytes | bytearray | memoryview,
    *,
    versions: Container[int] = (1, 2),
    max_size: int = 4096,
) -> tuple[Header, int] | None:
    """Read the header at the beginning of a connection.

    Args:
        data: all that has come from the proxy so far.
        versions: the versions that are allowed.
        max_size: the size of the largest header that is allowed, in bytes.

    Returns:
        the header and the number of bytes that it takes, or None while it isn't complete.

    Raises:
        ProxyProtocolSyntaxError: as soon as this can't become an allowed header any more.
        ProxyProtocolChecksumError: if it has a checksum, which isn't that of its bytes.

    See the PROXY protocol specification, section 2.
    """
    if type(data) is not bytes:
        # What follows the header may be much more, and isn't needed.
        data = bytes(memoryview(data)[: max(max_size, MAX_LINE)])
    return parse_bytes(data, versions, max_size)


def parse_bytes(data: bytes, versions: Container[int], max_size: int) -> tuple[Header, int] | None:
    octets = data
    size = len(data)
    if size == 0:
        return None
    if octets[0] == P and 1 in versions:
        return parse_v1(data, size, max_size)
    if octets[0] == CR and 2 in versions:
        return parse_v2(data, size, max_size)
    raise no_header(data, versions)


def parse_datagram(
    data: bytes | bytearray | memoryview,
    *,
    versions: Container[int] = (2,),
    max_size: int = 4096,
) -> tuple[Header, int]:
    """Read the header at the beginning of a datagram, which must hold all of it.

    Args:
        data: the datagram.
        versions: the versions that are allowed; version 1 doesn't know of datagrams.
        max_size: the size of the largest header that is allowed, in bytes.

    Returns:
        the header and the number of bytes that it takes; what follows is the payload.

    Raises:
        ProxyProtocolSyntaxError: if the datagram doesn't begin with an allowed header.
        ProxyProtocolChecksumError: if it has a checksum, which isn't that of its bytes.
    """
    result = parse(data, versions=versions, max_size=max_size)
    if result is None:
        raise ProxyProtocolSyntaxError("the datagram ends before the header does")
    return result


def bytes_needed(data: bytes, *, versions: Container[int] = (1, 2), max_size: int = 4096) -> int:
    """Give how many bytes an incomplete header lacks at least.

    Who reads no more than that at a time never reads past the end of the header.

    Args:
        data: all that has come from the proxy so far, which is no complete header.
        versions: the versions that are allowed.
        max_size: the size of the largest header that is allowed, in bytes.

    Raises:
        ProxyProtocolSyntaxError: if this can't become an allowed header any more.
    """
    size = len(data)
    if data[:1] == b"P" or (size == 0 and 1 in versions):
        return len(shortest_line(data, max_size)) - size
    if size < 14:
        return 16 - size
    # Then the addresses follow for certain, if they aren't ignored.
    block = BLOCK_SIZES[data[13] >> 4] if data[12] & 0x0F else 0
    length = int.from_bytes(data[14:16].ljust(2, b"\0"))
    return 16 + max(block, length) - size


def no_header(data: bytes, versions: Container[int]) -> ProxyProtocolSyntaxError:
    allowed = " or ".join(str(version) for version in (1, 2) if version in versions)
    return ProxyProtocolSyntaxError(
        f"no PROXY protocol header of version {allowed or 'any'}: it begins with {data[:16]!r}"
    )


def new_header(
    version: int,
    command: str,
    family: str,
    protocol: str,
    source: Address | None,
    destination: Address | None,
    tlvs: tuple[tuple[int, bytes], ...],
) -> Header:
    """Give a header from parts that are known to be right."""
    header = Header.__new__(Header)
    header.version = version
    header.command = command
    header.family = family
    header.protocol = protocol
    header.source = source
    header.destination = destination
    header.tlvs = tlvs
    return header


def parse_v1(data: bytes, size: int, max_size: int) -> tuple[Header, int] | None:
    """Read a version 1 header, section 2.1."""
    octets = data
    end = size
    if end > MAX_LINE:
        end = MAX_LINE
    if end > max_size:
        end = max_size
    family = ""
    # The common case first. Whatever isn't right about it is found out below.
    if data.startswith(b"PROXY TCP4 "):
        at = end_of_ipv4(octets, 11, end)
        source_end = at
        at = end_of_ipv4(octets, at + 1, end) if is_at(octets, at, end, SPACE) else -1
        if at > 0:
            source = data[11:source_end].decode("ascii")
            destination = data[source_end + 1 : at].decode("ascii")
            family = "AF_INET"
    elif data.startswith(b"PROXY TCP6 "):
        if not cython.compiled:
            ip = bytearray(16)
        source_end = end_of_field(octets, 11, end)
        at = end_of_field(octets, source_end + 1, end)
        if read_ipv6(octets, 11, source_end, ip):
            source = ipv6_text(ip, 0)
            if read_ipv6(octets, source_end + 1, at, ip):
                destination = ipv6_text(ip, 0)
                family = "AF_INET6"
        if not family:
            at = -1
    else:
        at = -1
    if at > 0:
        first = at + 1
        at = end_of_port(octets, first, end) if is_at(octets, at, end, SPACE) else -1
        if is_at(octets, at, end, SPACE):
            second = at + 1
            source_port = number(octets, first, at)
            at = end_of_port(octets, second, end)
            if is_at(octets, at, end, CR) and is_at(octets, at + 1, end, LF):
                destination_port = number(octets, second, at)
                header = new_header(
                    1,
                    "PROXY",
                    family,
                    "STREAM",
                    (source, source_port),
                    (destination, destination_port),
                    (),
                )
                return header, at + 2
    line = shortest_line(data, max_size)
    if len(line) > size:
        return None
    # No other complete line than this is left.
    assert line.startswith(b"PROXY UNKNOWN"), line
    return new_header(1, "PROXY", "AF_UNSPEC", "UNSPEC", None, None, ()), len(line)


def is_at(octets: bytes | bytearray, at: int, end: int, octet: int) -> bool:
    """Say whether this byte is at this place; there is nothing at -1 or from ``end`` on."""
    return 0 <= at < end and octets[at] == octet


def end_of_field(octets: bytes | bytearray, at: int, end: int) -> int:
    """Give where the next space is, or ``end`` if there is none."""
    while at < end and octets[at] != SPACE:
        at += 1
    return at


def end_of_port(octets: bytes | bytearray, at: int, end: int) -> int:
    """Give where the port number that starts here ends, -1 if there is none."""
    start = at
    while at < end and at < start + 5 and ZERO <= octets[at] <= NINE:
        at += 1
    if at == start or (at > start + 1 and octets[start] == ZERO):
        return -1
    return -1 if number(octets, start, at) > 0xFFFF else at


def number(octets: bytes | bytearray, start: int, end: int) -> int:
    """Give the number that these digits write."""
    value = 0
    for i in range(start, end):
        value = value * 10 + octets[i] - ZERO
    return value


def parse_v2(data: bytes, size: int, max_size: int) -> tuple[Header, int] | None:
    """Read a version 2 header, section 2.2."""
    octets = data
    for i in range(size if size < 12 else 12):
        if octets[i] != SIGNATURE[i]:
            raise no_header(data, (2,))
    if size <= 12:
        return None
    if octets[12] >> 4 != 2:
        raise ProxyProtocolSyntaxError(f"version {octets[12] >> 4} after the signature of 2")
    command = octets[12] & 0x0F
    if command > 1:
        raise ProxyProtocolSyntaxError(f"there is no command {command}")
    if size == 13:
        return None
    family = 0
    protocol = 0
    block = 0
    # The specification has the family of a LOCAL header ignored.
    if command == 1:
        family = octets[13] >> 4
        protocol = octets[13] & 0x0F
        if family > 3:
            raise ProxyProtocolSyntaxError(f"there is no address family {family}")
        if protocol > 2:
            raise ProxyProtocolSyntaxError(f"there is no transport protocol {protocol}")
        block = BLOCK_SIZES[family]
    if size < 16:
        if 16 + block > max_size or (size == 15 and 16 + (octets[14] << 8) > max_size):
            raise ProxyProtocolSyntaxError(f"the header has over {max_size} bytes")
        return None
    length = octets[14] << 8 | octets[15]
    total = 16 + length
    if total > max_size:
        raise ProxyProtocolSyntaxError(f"the header has {total} bytes, over {max_size}")
    if command == 0:
        if size < total:
            return None
        header = new_header(2, "LOCAL", "AF_UNSPEC", "UNSPEC", None, None, local_tlvs(data, total))
        return header, total
    if length < block:
        raise ProxyProtocolSyntaxError(
            f"{length} bytes are too few for the addresses of {FAMILIES[family]}"
        )
    tlvs = read_tlvs(data, 16 + block, total, size) if length > block else ()
    if tlvs is None or size < total:
        return None
    source: Address | None
    destination: Address | None
    if family == 1:
        source = (ipv4_text(octets, 16), octets[24] << 8 | octets[25])
        destination = (ipv4_text(octets, 20), octets[26] << 8 | octets[27])
    elif family == 2:
        source = (ipv6_text(octets, 16), octets[48] << 8 | octets[49])
        destination = (ipv6_text(octets, 32), octets[50] << 8 | octets[51])
    elif family == 3:
        source = path(data[16:124])
        destination = path(data[124:232])
    else:
        protocol = 0
        source = None
        destination = None
    header = new_header(
        2, "PROXY", FAMILIES[family], PROTOCOLS[protocol], source, destination, tlvs
    )
    if length > block and not is_intact(data, 16 + block, total):
        raise ProxyProtocolChecksumError(header)
    return header, total


def path(field: bytes) -> str:
    """Give the path of a Unix socket, or the abstract name, which begins with a NUL."""
    end = field.find(b"\0", 1)
    if end >= 0:
        field = field[:end]
    return "" if field == b"\0" else field.decode("utf-8", "surrogateescape")


def read_tlvs(data: bytes, at: int, total: int, size: int) -> tuple[tuple[int, bytes], ...] | None:
    """Read the TLVs of a header, section 2.2.

    Args:
        data: what there is of the header.
        at: where the TLVs begin.
        total: where the header ends.
        size: where the data ends.

    Returns:
        types and values, or None if the data ends before they do.
    """
    octets = data
    tlvs = []
    start = at
    while at < total:
        end = end_of_tlv(data, start, at, total, size)
        if end == 0:
            return None
        tlvs.append((octets[at], data[at + 3 : end]))
        at = end
    return tuple(tlvs)


def end_of_tlv(data: bytes, start: int, at: int, total: int, size: int) -> int:
    """Check a TLV, as far as it is there, and give where it ends.

    Args:
        data: what there is of the header.
        start: where the TLVs begin.
        at: where this one begins; those before it are right.
        total: where the header ends.
        size: where the data ends.

    Returns:
        where it ends, 0 if the data ends before it does.
    """
    octets = data
    value = at + 3
    if value > total:
        raise ProxyProtocolSyntaxError(f"{total - at} bytes after the last TLV")
    if value > size:
        return 0
    kind = octets[at]
    length = octets[at + 1] << 8 | octets[at + 2]
    end = value + length
    if end > total:
        raise ProxyProtocolSyntaxError(f"TLV {kind:#04x} reaches over the end of the header")
    check_length(kind, length)
    if kind == CRC32C:
        while start < at:
            if octets[start] == CRC32C:
                raise ProxyProtocolSyntaxError("two checksums in one header")
            start += 3 + (octets[start + 1] << 8 | octets[start + 2])
    if end > size:
        return 0
    if kind in (AUTHORITY, SSL, NETNS):
        check_value(kind, data[value:end])
    return end


def check_tlvs(data: bytes, at: int) -> int:
    """Check what has come of the TLVs of a version 2 header since the last time.

    With it, who gets a header byte by byte needn't parse it again for each byte.

    Args:
        data: what there is of the header, 16 bytes at least; :func:`parse` calls it incomplete.
        at: what this function gave the last time, 0 at first.

    Returns:
        where the first TLV begins that isn't complete.

    Raises:
        ProxyProtocolSyntaxError: if this can't become a header any more.
    """
    octets = data
    size = len(data)
    if octets[12] & 0x0F == 0:
        # Nothing is wrong about LOCAL.
        return at
    start = 16 + BLOCK_SIZES[octets[13] >> 4]
    total = 16 + (octets[14] << 8 | octets[15])
    if at < start:
        at = start
    end = at
    while end and at < total:
        end = end_of_tlv(data, start, at, total, size)
        if end:
            at = end
    return at


def is_intact(data: bytes, at: int, total: int) -> bool:
    """Say whether the checksum, if there is one, is that of the header (section 2.2.3).

    Args:
        data: the header.
        at: where its TLVs begin, which have been read.
        total: where it ends.
    """
    octets = data
    while at < total:
        value = at + 3
        if octets[at] == CRC32C:
            crc = crc32c_of(data, 0, value, 0)
            crc = crc32c_of(b"\0\0\0\0", 0, 4, crc)
            crc = crc32c_of(data, value + 4, total, crc)
            expected = 0
            for i in range(value, value + 4):
                expected = expected << 8 | octets[i]
            return crc == expected
        at = value + (octets[at + 1] << 8 | octets[at + 2])
    return True


def local_tlvs(data: bytes, total: int) -> tuple[tuple[int, bytes], ...]:
    """Give the TLVs of a complete LOCAL header, as far as it is clear that there are any.

    The specification has everything after the length discarded, so nothing there makes the header
    invalid, except for a wrong checksum. AWS' load balancers put TLVs there without the addresses
    that the family asks for, or after a block of zeros in their place.
    """
    octets = data
    family = octets[13] >> 4
    block = BLOCK_SIZES[family] if family < 4 else 0
    damaged = None
    for start in (16 + block, 16):
        try:
            tlvs = read_tlvs(data, start, total, total) or ()
        except ProxyProtocolSyntaxError:
            continue
        if not is_intact(data, start, total):
            damaged = tlvs
        # There is no type 0, but zeros where addresses could be look like it.
        elif 0 not in [kind for kind, _ in tlvs]:
            return tlvs
    if damaged is not None:
        raise ProxyProtocolChecksumError(
            new_header(2, "LOCAL", "AF_UNSPEC", "UNSPEC", None, None, damaged)
        )
    return ()

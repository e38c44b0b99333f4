"""TLVs, the optional fields of a version 2 header: their numbers, and mappings that hold them.

The names are those of ``proxy-protocol``; the numbers are in the PROXY protocol specification,
section 2.2.
"""

from __future__ import annotations

import enum
import json
import struct
import zlib
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from .crc32c import crc32c as crc32c_of
from .errors import ProxyProtocolSyntaxError
from .typing import PeerCert

__all__ = [
    "TLV",
    "ExtType",
    "ProxyProtocolExtTLV",
    "ProxyProtocolSSLTLV",
    "ProxyProtocolTLV",
    "SSLClient",
    "Type",
]

# How large the JSON of a certificate may become when it is decompressed, in bytes.
MAX_PEERCERT = 65536


class Type(enum.IntEnum):
    """The types that the specification assigns (section 2.2), and the bounds of its free ranges."""

    PP2_TYPE_ALPN = 0x01
    PP2_TYPE_AUTHORITY = 0x02
    PP2_TYPE_CRC32C = 0x03
    PP2_TYPE_NOOP = 0x04
    PP2_TYPE_UNIQUE_ID = 0x05
    PP2_TYPE_SSL = 0x20
    PP2_SUBTYPE_SSL_VERSION = 0x21
    PP2_SUBTYPE_SSL_CN = 0x22
    PP2_SUBTYPE_SSL_CIPHER = 0x23
    PP2_SUBTYPE_SSL_SIG_ALG = 0x24
    PP2_SUBTYPE_SSL_KEY_ALG = 0x25
    PP2_SUBTYPE_SSL_GROUP = 0x26
    PP2_SUBTYPE_SSL_SIG_SCHEME = 0x27
    PP2_SUBTYPE_SSL_CLIENT_CERT = 0x28
    PP2_TYPE_NETNS = 0x30
    PP2_TYPE_MIN_CUSTOM = 0xE0
    PP2_TYPE_MAX_CUSTOM = 0xEF
    PP2_TYPE_MIN_EXPERIMENT = 0xF0
    PP2_TYPE_MAX_EXPERIMENT = 0xF7
    PP2_TYPE_MIN_FUTURE = 0xF8
    PP2_TYPE_MAX_FUTURE = 0xFF


class SSLClient(enum.IntFlag):
    """The flags in the first byte of an SSL TLV (section 2.2.6)."""

    PP2_CLIENT_SSL = 0x01
    PP2_CLIENT_CERT_CONN = 0x02
    PP2_CLIENT_CERT_SESS = 0x04


CLIENT_CERT = SSLClient.PP2_CLIENT_CERT_CONN | SSLClient.PP2_CLIENT_CERT_SESS


class ExtType(enum.IntEnum):
    """The types inside the NOOP TLV where ``proxy-protocol`` puts what no TLV exists for."""

    PP2_TYPE_EXT_COMPRESSION = 0x01
    PP2_TYPE_EXT_SECRET_BITS = 0x02
    PP2_TYPE_EXT_PEERCERT = 0x03
    PP2_TYPE_EXT_DNSBL = 0x04


def read_tlvs(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give each type and value in ``data``.

    Raises:
        ProxyProtocolSyntaxError: if ``data`` ends in the middle of a TLV.
    """
    at = 0
    while at < len(data):
        value = at + 3
        end = value + int.from_bytes(data[at + 1 : value])
        if end > len(data) or value > len(data):
            raise ProxyProtocolSyntaxError(f"the TLV of type {data[at]:#04x} is cut off")
        yield data[at], data[value:end]
        at = end


def pack_tlvs(tlvs: Iterable[tuple[int, bytes]]) -> bytes:
    """Give ``tlvs`` as they are in a header.

    Raises:
        ValueError: if a type doesn't fit in 8 bits, or the length of a value in 16.
    """
    parts: list[bytes] = []
    for kind, value in tlvs:
        if not 0 <= kind <= 0xFF:
            raise ValueError(f"{kind} is no type of a TLV: it must be between 0 and 255")
        if len(value) > 0xFFFF:
            raise ValueError(f"the value of TLV {kind:#04x} has {len(value)} bytes, over 65535")
        parts += (struct.pack("!BH", kind, len(value)), value)
    return b"".join(parts)


class TLV(Mapping[int, bytes], Hashable):
    """TLVs that are looked up by their type.

    ``bytes(tlv)`` has them in their order with their duplicates, like the header; the mapping has
    the first value of each type.

    Args:
        data: TLVs one after another, as in a header.
        init: values by type; each takes the place of those of its type in ``data``.

    Raises:
        ProxyProtocolSyntaxError: if ``data`` ends in the middle of a TLV.
    """

    # What the keys of the mapping are: the bounds of the free ranges name no type.
    NAMES: ClassVar[Mapping[int, int]] = {
        kind: kind for kind in Type if kind < Type.PP2_TYPE_MIN_CUSTOM
    }

    def __init__(self, data: bytes = b"", init: Mapping[int, bytes] | None = None) -> None:
        self._set(tuple(read_tlvs(bytes(data))), init, {})

    def _set(
        self,
        pairs: tuple[tuple[int, bytes], ...],
        init: Mapping[int, bytes] | None,
        fields: Mapping[int, bytes],
    ) -> None:
        """Take ``pairs``, then ``init`` and then ``fields`` in the place of the same types.

        What is new goes before the first TLV of a higher type, so what is in order stays so.
        """
        if isinstance(init, TLV) and not pairs:
            pairs, init = init.pairs, None
        kept = list(pairs)
        for kind, value in {**(init or {}), **fields}.items():
            same = [i for i, pair in enumerate(kept) if pair[0] == kind]
            for i in reversed(same):
                del kept[i]
            higher = (i for i, pair in enumerate(kept) if pair[0] > kind)
            at = same[0] if same else next(higher, len(kept))
            kept.insert(at, (int(kind), bytes(value)))
        self._pairs = tuple(kept)
        self._values = {self.NAMES.get(kind, kind): value for kind, value in reversed(kept)}

    @property
    def pairs(self) -> tuple[tuple[int, bytes], ...]:
        """All TLVs: their types and values in their order."""
        return self._pairs

    @property
    def size(self) -> int:
        """The number of bytes that the TLVs take in a header."""
        return sum(3 + len(value) for _, value in self._pairs)

    def __getitem__(self, type: int) -> bytes:
        return self._values[type]

    def __iter__(self) -> Iterator[int]:
        return iter(dict.fromkeys(self.NAMES.get(kind, kind) for kind, _ in self._pairs))

    def __len__(self) -> int:
        return len(self._values)

    def __bytes__(self) -> bytes:
        return pack_tlvs(self._pairs)

    def _key(self) -> Any:
        # Like in any other mapping, the order makes no difference.
        return sorted(self._pairs)

    def __hash__(self) -> int:
        return hash(frozenset(self._pairs))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TLV):
            return type(self) is type(other) and bool(self._key() == other._key())
        return super().__eq__(other)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({bytes(self)!r})" if self else f"{type(self).__name__}()"

    def _text(self, type: int, encoding: str) -> str | None:
        value = self.get(type)
        if value is None:
            return None
        try:
            return value.decode(encoding)
        except UnicodeDecodeError as exc:
            raise ProxyProtocolSyntaxError(
                f"the value of TLV {int(type):#04x} is no {encoding} text: {value!r}"
            ) from exc


class ProxyProtocolTLV(TLV):
    """The TLVs of a header.

    Args:
        data: TLVs one after another, as in a header.
        init: values by type; each takes the place of those of its type in ``data``.
        alpn: the protocol that the client and the proxy negotiated.
        authority: the host name that the client asked for (SNI).
        crc32c: the checksum of the header.
        unique_id: an identifier of the connection, up to 128 bytes.
        ssl: what the proxy says about its TLS connection with the client.
        netns: the name of the network namespace.
        ext: what ``proxy-protocol`` adds in a NOOP TLV.
        auto_crc32c: have :meth:`with_checksum` fill in the checksum.

    Raises:
        ProxyProtocolSyntaxError: if ``data`` ends in the middle of a TLV.
    """

    def __init__(
        self,
        data: bytes = b"",
        init: Mapping[int, bytes] | None = None,
        *,
        alpn: bytes | None = None,
        authority: str | None = None,
        crc32c: int | None = None,
        unique_id: bytes | None = None,
        ssl: ProxyProtocolSSLTLV | None = None,
        netns: str | None = None,
        ext: ProxyProtocolExtTLV | None = None,
        auto_crc32c: bool = False,
    ) -> None:
        fields: dict[int, bytes] = {}
        if alpn is not None:
            fields[Type.PP2_TYPE_ALPN] = alpn
        if authority is not None:
            fields[Type.PP2_TYPE_AUTHORITY] = authority.encode()
        if crc32c is not None:
            fields[Type.PP2_TYPE_CRC32C] = crc32c.to_bytes(4)
        if ext:
            fields[Type.PP2_TYPE_NOOP] = bytes(ext)
        if unique_id is not None:
            fields[Type.PP2_TYPE_UNIQUE_ID] = unique_id
        if ssl:
            fields[Type.PP2_TYPE_SSL] = bytes(ssl)
        if netns is not None:
            fields[Type.PP2_TYPE_NETNS] = netns.encode("ascii")
        self._auto_crc32c = auto_crc32c
        self._set(tuple(read_tlvs(bytes(data))), init, fields)

    @property
    def size(self) -> int:
        if self._auto_crc32c and Type.PP2_TYPE_CRC32C not in self:
            return super().size + 7
        return super().size

    def __bytes__(self) -> bytes:
        if self._auto_crc32c:
            raise ValueError("the checksum isn't known yet: call with_checksum first")
        return super().__bytes__()

    def __repr__(self) -> str:
        if self._auto_crc32c:
            return f"ProxyProtocolTLV({pack_tlvs(self._pairs)!r}, auto_crc32c=True)"
        return super().__repr__()

    @property
    def alpn(self) -> bytes | None:
        """The protocol that the client and the proxy negotiated."""
        return self.get(Type.PP2_TYPE_ALPN)

    @property
    def authority(self) -> str | None:
        """The host name that the client asked for (SNI)."""
        return self._text(Type.PP2_TYPE_AUTHORITY, "utf-8")

    @property
    def crc32c(self) -> int | None:
        """The checksum of the header."""
        value = self.get(Type.PP2_TYPE_CRC32C)
        if value is None:
            return None
        if len(value) != 4:
            raise ProxyProtocolSyntaxError(f"a CRC-32C of {len(value)} bytes instead of 4")
        return int.from_bytes(value)

    @property
    def unique_id(self) -> bytes:
        """The identifier of the connection, empty if there is none."""
        return self.get(Type.PP2_TYPE_UNIQUE_ID, b"")

    @property
    def ssl(self) -> ProxyProtocolSSLTLV:
        """What the proxy says about its TLS connection with the client."""
        return ProxyProtocolSSLTLV(self.get(Type.PP2_TYPE_SSL, b""))

    @property
    def netns(self) -> str | None:
        """The name of the network namespace."""
        return self._text(Type.PP2_TYPE_NETNS, "ascii")

    @property
    def ext(self) -> ProxyProtocolExtTLV:
        """What ``proxy-protocol`` adds in a NOOP TLV, empty if there is none."""
        return ProxyProtocolExtTLV(self.get(Type.PP2_TYPE_NOOP, b""))

    def with_checksum(self, *before: bytes) -> ProxyProtocolTLV:
        """Give these TLVs with the checksum of the header, if ``auto_crc32c`` was asked for.

        Args:
            before: what the header has before its TLVs.
        """
        if not self._auto_crc32c:
            return self
        tlv = ProxyProtocolTLV(b"", self, crc32c=0)
        return ProxyProtocolTLV(b"", tlv, crc32c=tlv._compute_checksum(before))

    def verify_checksum(self, *before: bytes) -> bool:
        """Say whether the checksum is right. It is if there is none.

        Args:
            before: what the header has before its TLVs.
        """
        return self.crc32c is None or self.crc32c == self._compute_checksum(before)

    def _compute_checksum(self, before: Iterable[bytes]) -> int:
        zeroed = (
            (kind, bytes(4) if kind == Type.PP2_TYPE_CRC32C else value)
            for kind, value in self._pairs
        )
        return crc32c_of(b"".join((*before, pack_tlvs(zeroed))))


class ProxyProtocolSSLTLV(TLV):
    """What a proxy says about its TLS connection with the client (section 2.2.6).

    Args:
        data: the value of an SSL TLV.
        init: values by subtype; each takes the place of those of its type in ``data``.
        has_ssl: whether the client came over TLS.
        has_cert_conn: whether it gave a certificate on this connection.
        has_cert_sess: whether it gave one at least once in this TLS session.
        verified: whether the proxy found that certificate valid.
        version: the version of TLS.
        cn: the Common Name of the certificate's subject.
        cipher: the name of the cipher.
        sig_alg: the algorithm that the certificate is signed with.
        key_alg: the algorithm of the certificate's key.
        group: the key exchange group.
        sig_scheme: the algorithm that the client's side of the handshake is signed with.
        client_cert: the certificate, in DER.

    Raises:
        ProxyProtocolSyntaxError: if ``data`` is neither empty nor the value of an SSL TLV.
    """

    def __init__(
        self,
        data: bytes = b"",
        init: Mapping[int, bytes] | None = None,
        *,
        has_ssl: bool | None = None,
        has_cert_conn: bool | None = None,
        has_cert_sess: bool | None = None,
        verified: bool | None = None,
        version: str | None = None,
        cn: str | None = None,
        cipher: str | None = None,
        sig_alg: str | None = None,
        key_alg: str | None = None,
        group: str | None = None,
        sig_scheme: str | None = None,
        client_cert: bytes | None = None,
    ) -> None:
        data = bytes(data)
        if 0 < len(data) < 5:
            raise ProxyProtocolSyntaxError(f"an SSL TLV of {len(data)} bytes, under 5")
        client, verify = struct.unpack_from("!BL", data) if data else (0, 1)
        if not data and isinstance(init, ProxyProtocolSSLTLV):
            client, verify = init.client, init.verify
        for given, flag in (
            (has_ssl, SSLClient.PP2_CLIENT_SSL),
            (has_cert_conn, SSLClient.PP2_CLIENT_CERT_CONN),
            (has_cert_sess, SSLClient.PP2_CLIENT_CERT_SESS),
        ):
            if given is not None:
                client = client | flag if given else client & ~flag
        if verified is not None:
            verify = 0 if verified else verify or 1
        self._client = int(client)
        self._verify: int = verify
        fields: dict[int, bytes] = {}
        for text, subtype, encoding in (
            (version, Type.PP2_SUBTYPE_SSL_VERSION, "ascii"),
            (cn, Type.PP2_SUBTYPE_SSL_CN, "utf-8"),
            (cipher, Type.PP2_SUBTYPE_SSL_CIPHER, "ascii"),
            (sig_alg, Type.PP2_SUBTYPE_SSL_SIG_ALG, "ascii"),
            (key_alg, Type.PP2_SUBTYPE_SSL_KEY_ALG, "ascii"),
            (group, Type.PP2_SUBTYPE_SSL_GROUP, "ascii"),
            (sig_scheme, Type.PP2_SUBTYPE_SSL_SIG_SCHEME, "ascii"),
        ):
            if text is not None:
                fields[subtype] = text.encode(encoding)
        if client_cert is not None:
            fields[Type.PP2_SUBTYPE_SSL_CLIENT_CERT] = client_cert
        self._set(tuple(read_tlvs(data[5:])), init, fields)

    def __bytes__(self) -> bytes:
        return struct.pack("!BL", self._client, self._verify) + super().__bytes__()

    def _key(self) -> Any:
        return (self._client, self._verify, super()._key())

    def __bool__(self) -> bool:
        return bool(self._pairs) or self._client != 0 or self._verify != 1

    @property
    def client(self) -> SSLClient:
        """The flags."""
        return SSLClient(self._client)

    @property
    def has_ssl(self) -> bool:
        """Whether the client came over TLS."""
        return bool(self._client & SSLClient.PP2_CLIENT_SSL)

    @property
    def has_cert_conn(self) -> bool:
        """Whether the client gave a certificate on this connection."""
        return bool(self._client & SSLClient.PP2_CLIENT_CERT_CONN)

    @property
    def has_cert_sess(self) -> bool:
        """Whether the client gave a certificate at least once in this TLS session."""
        return bool(self._client & SSLClient.PP2_CLIENT_CERT_SESS)

    @property
    def verify(self) -> int:
        """What the proxy's verification of the certificate came to: 0 if nothing was wrong.

        It is 0 for a client that gave no certificate, too: ask :attr:`verified`.
        """
        return self._verify

    @property
    def verified(self) -> bool:
        """Whether the client gave a certificate and the proxy found it valid."""
        return self._verify == 0 and bool(self._client & CLIENT_CERT)

    @property
    def version(self) -> str | None:
        """The version of TLS, like ``"TLSv1.3"``."""
        return self._text(Type.PP2_SUBTYPE_SSL_VERSION, "ascii")

    @property
    def cn(self) -> str | None:
        """The Common Name of the subject of the client's certificate."""
        return self._text(Type.PP2_SUBTYPE_SSL_CN, "utf-8")

    @property
    def cipher(self) -> str | None:
        """The name of the cipher, like ``"ECDHE-RSA-AES128-GCM-SHA256"``."""
        return self._text(Type.PP2_SUBTYPE_SSL_CIPHER, "ascii")

    @property
    def sig_alg(self) -> str | None:
        """The algorithm that the certificate is signed with, like ``"SHA256"``."""
        return self._text(Type.PP2_SUBTYPE_SSL_SIG_ALG, "ascii")

    @property
    def key_alg(self) -> str | None:
        """The algorithm of the certificate's key, like ``"RSA2048"``."""
        return self._text(Type.PP2_SUBTYPE_SSL_KEY_ALG, "ascii")

    @property
    def group(self) -> str | None:
        """The key exchange group, like ``"X25519MLKEM768"``."""
        return self._text(Type.PP2_SUBTYPE_SSL_GROUP, "ascii")

    @property
    def sig_scheme(self) -> str | None:
        """The algorithm of the signature in the handshake, like ``"rsa_pss_rsae_sha256"``."""
        return self._text(Type.PP2_SUBTYPE_SSL_SIG_SCHEME, "ascii")

    @property
    def client_cert(self) -> bytes | None:
        """The client's certificate, in DER."""
        return self.get(Type.PP2_SUBTYPE_SSL_CLIENT_CERT)


class ProxyProtocolExtTLV(TLV):
    """What ``proxy-protocol`` adds to a header in a NOOP TLV, which others skip.

    As the content of a NOOP TLV means nothing to the specification, what isn't understood is
    taken for absent.

    Args:
        data: the value of a NOOP TLV.
        init: values by subtype; each takes the place of those of its type in ``data``.
        compression: the compression of the client's TLS connection.
        secret_bits: the number of secret bits of its cipher.
        peercert: the client's certificate, as :meth:`ssl.SSLSocket.getpeercert` gives it.
        dnsbl: what a DNS blocklist says about the client.
    """

    NAMES: ClassVar[Mapping[int, int]] = {kind: kind for kind in ExtType}
    MAGIC_PREFIX: ClassVar[bytes] = b"\x88\x1by\xc1\xce\x96\x85\xb0"

    def __init__(
        self,
        data: bytes = b"",
        init: Mapping[int, bytes] | None = None,
        *,
        compression: str | None = None,
        secret_bits: int | None = None,
        peercert: PeerCert | None = None,
        dnsbl: str | None = None,
    ) -> None:
        pairs: tuple[tuple[int, bytes], ...] = ()
        if data[: len(self.MAGIC_PREFIX)] == self.MAGIC_PREFIX:
            try:
                pairs = tuple(read_tlvs(bytes(data[len(self.MAGIC_PREFIX) :])))
            except ProxyProtocolSyntaxError:
                pass
        fields: dict[int, bytes] = {}
        if compression is not None:
            fields[ExtType.PP2_TYPE_EXT_COMPRESSION] = compression.encode("ascii")
        if secret_bits is not None:
            fields[ExtType.PP2_TYPE_EXT_SECRET_BITS] = secret_bits.to_bytes(2)
        if peercert is not None:
            fields[ExtType.PP2_TYPE_EXT_PEERCERT] = zlib.compress(json.dumps(peercert).encode())
        if dnsbl is not None:
            fields[ExtType.PP2_TYPE_EXT_DNSBL] = dnsbl.encode()
        self._set(pairs, init, fields)

    def __bytes__(self) -> bytes:
        return self.MAGIC_PREFIX + super().__bytes__()

    def _text(self, type: int, encoding: str) -> str | None:
        try:
            return super()._text(type, encoding)
        except ProxyProtocolSyntaxError:
            return None

    @property
    def compression(self) -> str | None:
        """The compression of the client's TLS connection."""
        return self._text(ExtType.PP2_TYPE_EXT_COMPRESSION, "ascii")

    @property
    def secret_bits(self) -> int | None:
        """The number of secret bits of the client's cipher."""
        value = self.get(ExtType.PP2_TYPE_EXT_SECRET_BITS, b"")
        return int.from_bytes(value) if len(value) == 2 else None

    @property
    def peercert(self) -> PeerCert | None:
        """The client's certificate, as :meth:`ssl.SSLSocket.getpeercert` gives it."""
        value = self.get(ExtType.PP2_TYPE_EXT_PEERCERT)
        if value is None:
            return None
        decompressor = zlib.decompressobj()
        try:
            text = decompressor.decompress(value, MAX_PEERCERT)
            cert = json.loads(text) if decompressor.eof else None
        except (zlib.error, ValueError, RecursionError):
            return None
        return cert if isinstance(cert, dict) else None

    @property
    def dnsbl(self) -> str | None:
        """What a DNS blocklist says about the client."""
        return self._text(ExtType.PP2_TYPE_EXT_DNSBL, "utf-8")

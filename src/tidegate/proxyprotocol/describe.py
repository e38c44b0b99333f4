"""Headers for people, and as JSON for programs."""

from __future__ import annotations

from typing import Any

from ..printable import printable
from .header import Header
from .sock import text_of
from .tlv import ProxyProtocolSSLTLV, Type

__all__ = ["describe", "to_json"]

# What the specification, or the provider that uses it, calls a type.
NAMES = {
    Type.PP2_TYPE_ALPN: "ALPN",
    Type.PP2_TYPE_AUTHORITY: "AUTHORITY",
    Type.PP2_TYPE_CRC32C: "CRC32C",
    Type.PP2_TYPE_NOOP: "NOOP",
    Type.PP2_TYPE_UNIQUE_ID: "UNIQUE_ID",
    Type.PP2_TYPE_SSL: "SSL",
    Type.PP2_SUBTYPE_SSL_VERSION: "VERSION",
    Type.PP2_SUBTYPE_SSL_CN: "CN",
    Type.PP2_SUBTYPE_SSL_CIPHER: "CIPHER",
    Type.PP2_SUBTYPE_SSL_SIG_ALG: "SIG_ALG",
    Type.PP2_SUBTYPE_SSL_KEY_ALG: "KEY_ALG",
    Type.PP2_SUBTYPE_SSL_GROUP: "GROUP",
    Type.PP2_SUBTYPE_SSL_SIG_SCHEME: "SIG_SCHEME",
    Type.PP2_SUBTYPE_SSL_CLIENT_CERT: "CLIENT_CERT",
    Type.PP2_TYPE_NETNS: "NETNS",
}
BINARY = {Type.PP2_TYPE_NOOP, Type.PP2_SUBTYPE_SSL_CLIENT_CERT}
CLOUDS = ("aws_vpce_id", "azure_link_id", "gcp_psc_connection_id")


def describe(header: Header) -> list[str]:
    """Give what a header says, in lines without control characters."""
    lines = [f"version      {header.version}", f"command      {header.command}"]
    if header.source is not None:
        lines.append(f"family       {header.family} {header.protocol}")
        lines.append(f"source       {printable(text_of(header.source) or '(unnamed)')}")
        lines.append(f"destination  {printable(text_of(header.destination) or '(unnamed)')}")
    for kind, value in header.tlvs:
        lines.append(f"TLV {kind:#04x}     {described(kind, value)}")
        if kind == Type.PP2_TYPE_SSL:
            ssl = ProxyProtocolSSLTLV(value)
            lines += [f"    {sub:#04x}     {described(sub, text)}" for sub, text in ssl.pairs]
            lines.append(f"    verified {ssl.verified}")
    for name in CLOUDS:
        if getattr(header, name) is not None:
            lines.append(f"{name} {getattr(header, name)}")
    return lines


def described(kind: int, value: bytes) -> str:
    """Give a TLV's name and its value, as text if it is some."""
    name = name_of(kind)
    if kind == Type.PP2_TYPE_SSL:
        return f"{name}: client {value[0]:#04x}, verify {int.from_bytes(value[1:5])}"
    if kind == Type.PP2_TYPE_CRC32C:
        return f"{name}: {value.hex()}, as it should be"
    text = as_text(kind, value)
    if text is None:
        shown = value.hex() if len(value) <= 32 else f"{value[:32].hex()}..."
        return f"{name}: {len(value)} bytes {shown}".rstrip()
    return f"{name}: {printable(text)}"


def name_of(kind: int) -> str:
    if kind in NAMES:
        return NAMES[Type(kind)]
    if Type.PP2_TYPE_MIN_CUSTOM <= kind <= Type.PP2_TYPE_MAX_CUSTOM:
        return "custom"
    if Type.PP2_TYPE_MIN_EXPERIMENT <= kind <= Type.PP2_TYPE_MAX_EXPERIMENT:
        return "experiment"
    return "unknown"


def as_text(kind: int, value: bytes) -> str | None:
    """Give a value as the text that it is, None if it isn't any."""
    if kind in BINARY:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def to_json(header: Header) -> dict[str, Any]:
    """Give what a header says, in what JSON has."""
    return {
        "version": header.version,
        "command": header.command,
        "family": header.family,
        "protocol": header.protocol,
        "source": header.source,
        "destination": header.destination,
        "tlvs": [tlv_to_json(kind, value) for kind, value in header.tlvs],
        **{name: getattr(header, name) for name in CLOUDS if getattr(header, name) is not None},
    }


def tlv_to_json(kind: int, value: bytes) -> dict[str, Any]:
    result: dict[str, Any] = {"type": kind, "name": name_of(kind), "value": value.hex()}
    text = as_text(kind, value)
    if kind == Type.PP2_TYPE_SSL:
        ssl = ProxyProtocolSSLTLV(value)
        result |= {
            "client": int(ssl.client),
            "verify": ssl.verify,
            "verified": ssl.verified,
            "tlvs": [tlv_to_json(sub, text) for sub, text in ssl.pairs],
        }
    elif text is not None:
        result["text"] = text
    return result

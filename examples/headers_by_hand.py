"""Read and make PROXY protocol headers without a network, and take them from datagrams."""

import asyncio

from tidegate.proxyprotocol import (
    Header,
    ProxyProtocolSyntaxError,
    build,
    parse,
    parse_datagram,
)


def show_pieces():
    """A header comes in pieces, and something follows it."""
    header = Header(
        source=("203.0.113.7", 56324),
        destination=("198.51.100.9", 443),
        tlvs=[(0x02, b"example.com"), (0x05, b"request-1")],
    )
    stream = build(header, crc32c=True) + b"GET / HTTP/1.1\r\n"
    data = b""
    while (parsed := parse(data)) is None:
        data, stream = data + stream[:16], stream[16:]
    header, consumed = parsed
    print("from", header.source, "for", header.authority, "as", header.unique_id)
    print("then", data[consumed:] + stream)


def show_what_is_wrong():
    """It is known as early as possible."""
    try:
        parse(b"PROXY TCP4 203.0.113.07 ")
    except ProxyProtocolSyntaxError as exc:
        print("refused:", exc)


class Datagrams(asyncio.DatagramProtocol):
    """Each datagram begins with a header of its own."""

    def __init__(self, trusted, received):
        self.trusted = trusted
        self.received = received

    def datagram_received(self, data, address):
        if address[0] not in self.trusted:
            return
        try:
            header, consumed = parse_datagram(data)
        except ProxyProtocolSyntaxError:
            return
        self.received(header.source or address, data[consumed:])


async def show_datagrams():
    loop = asyncio.get_running_loop()
    received = loop.create_future()
    server, _ = await loop.create_datagram_endpoint(
        lambda: Datagrams({"127.0.0.1"}, lambda *what: received.set_result(what)),
        local_addr=("127.0.0.1", 0),
    )
    client, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=server.get_extra_info("sockname")
    )
    header = Header(
        protocol="DGRAM", source=("203.0.113.7", 53124), destination=("198.51.100.9", 53)
    )
    client.sendto(build(header) + b"a question")
    print("datagram from {}: {}".format(*await received))
    client.close()
    server.close()


if __name__ == "__main__":
    show_pieces()
    show_what_is_wrong()
    asyncio.run(show_datagrams())

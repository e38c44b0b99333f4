"""The callback API of picows, written the way that copies least."""

from __future__ import annotations

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from . import common

receivers: set[WSTransport] = set()


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            # A frame goes back as it came: picows has no messages, and checks no UTF-8.
            transport.send(frame.msg_type, frame.get_payload_as_memoryview(), frame.fin)


class Receiver(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        receivers.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        receivers.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()


class Trigger(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            payload = frame.get_payload_as_bytes()
            for receiver in receivers:
                receiver.send(frame.msg_type, payload)


def make_listener(request: WSUpgradeRequest) -> WSListener:
    return {b"/receive": Receiver, b"/trigger": Trigger}.get(bytes(request.path), Echo)()


async def main(options: common.Options) -> None:
    server = await ws_create_server(make_listener, common.HOST, options.port, ssl=options.tls)
    common.announce(server, options)
    await server.serve_forever()


if __name__ == "__main__":
    common.run(main)

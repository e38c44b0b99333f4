"""The callback API of picows."""

from __future__ import annotations

import time

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from . import common


class Roundtrip(WSListener):
    def __init__(self, task: common.Task) -> None:
        self.task = task
        self.payload = task.payload.encode() if isinstance(task.payload, str) else task.payload
        self.sent_at = 0.0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.task.begin()
        self.send(transport)

    def send(self, transport: WSTransport) -> None:
        self.sent_at = time.perf_counter()
        transport.send(WSMsgType.TEXT, self.payload)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            frame.get_payload_as_utf8_text()
            if self.task.count(self.sent_at):
                self.send(transport)
            else:
                self.task.print_figures()
                transport.send_close(WSCloseCode.OK)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


class Upload(WSListener):
    def __init__(self, task: common.Task) -> None:
        self.task = task
        self.payload = task.payload
        self.sent_at = 0.0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.task.begin()
        self.send(transport)

    def send(self, transport: WSTransport) -> None:
        self.sent_at = time.perf_counter()
        for _ in range(common.UPLOAD_TURN):
            transport.send(WSMsgType.BINARY, self.payload)
        transport.send(WSMsgType.TEXT, b"?")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            if self.task.count(self.sent_at, common.UPLOAD_TURN):
                self.send(transport)
            else:
                self.task.print_figures()
                transport.send_close(WSCloseCode.OK)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()


async def work(task: common.Task) -> None:
    listener = Roundtrip if task.operation == "roundtrip" else Upload
    transport, _ = await ws_connect(lambda: listener(task), task.url)
    await transport.wait_disconnected()


if __name__ == "__main__":
    common.run(work)

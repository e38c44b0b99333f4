"""An MQTT broker and two clients of it, on WebSockets, with amqtt."""

import asyncio
import json
import sys

import websockets
from amqtt.broker import Broker
from amqtt.client import MQTTClient
from amqtt.mqtt.constants import QOS_1


async def main(port):
    broker = Broker(
        {
            "listeners": {
                "default": {"type": "ws", "bind": f"127.0.0.1:{port}", "max_connections": 10}
            },
            "auth": {"allow-anonymous": True},
            "topic-check": {"enabled": False},
        }
    )
    await broker.start()
    uri = f"ws://127.0.0.1:{port}/"
    clients = [MQTTClient(), MQTTClient()]
    for client in clients:
        await client.connect(uri)
    listener, speaker = clients
    await listener.subscribe([("tides", QOS_1)])
    received = []
    for payload in b"high", b"low" * 10_000:
        await speaker.publish("tides", payload, qos=QOS_1)
        message = await asyncio.wait_for(listener.deliver_message(), 20)
        received.append(len(message.publish_packet.payload.data))
    for client in clients:
        await client.disconnect()
    await broker.shutdown()
    print(json.dumps({"websockets": websockets.__name__, "received": received}))


asyncio.run(main(int(sys.argv[1])))

"""Clients of others, against servers that run on websockets itself."""

from __future__ import annotations

from http import HTTPStatus

import peers


async def test_gql(library):
    def process_request(connection, request):
        assert request.headers["X-Client"] == "gql" or request.path == "/elsewhere"
        if request.path == "/elsewhere":
            return connection.respond(HTTPStatus.NOT_FOUND, "no tides here\n")
        return None

    async with peers.serving(
        peers.graphql,
        subprotocols=["graphql-transport-ws"],
        process_request=process_request,
        process_response=lambda c, request, response: response.headers.update({"X-Server": "gq"}),
    ) as uri:
        result = await library.run("gql_client", uri)
    assert result == {
        "answer": {"tide": "high"},
        "levels": [0, 1, 2],
        "error": "no such field",
        "pings": True,
        "header": "gq",
        "refused": "InvalidStatus",
    }


async def test_realtime(library):
    phoenix = peers.Phoenix()
    async with peers.serving(phoenix) as uri:
        result = await library.run("realtime_client", uri + "realtime/v1")
    assert result == {"received": [1, 2]}
    assert len(phoenix.uris) == 2
    assert all(path.startswith("/realtime/v1/websocket?") for path in phoenix.uris)


async def test_web3(library):
    headers = []

    def process_request(connection, request):
        headers.append(request.headers["X-Client"])

    async with peers.serving(peers.ethereum, process_request=process_request) as uri:
        result = await library.run("web3_client", uri)
    assert headers == ["web3"]
    assert result == {
        "connected": True,
        "height": 16,
        "together": [1337] * 10,
        "blocks": [0, 1, 2],
    }


async def test_openai(library):
    requests = []

    def process_request(connection, request):
        requests.append((request.path, request.headers["Authorization"]))

    async with peers.serving(peers.realtime_model, process_request=process_request) as uri:
        result = await library.run("openai_client", uri)
    assert requests == [("/realtime?model=tide-1", "Bearer secret")]
    assert result == {
        "events": [
            "session.created",
            "session.updated",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
        ],
        "text": "At nine.",
    }


async def test_openai_for_threads(library):
    async with peers.serving(peers.realtime_model) as uri:
        result = await library.run("openai_sync_client", uri)
    assert sorted(result["events"]) == [
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "session.created",
        "session.updated",
    ]
    assert result["text"] == "At nine."


async def test_deepgram(library):
    requests = []

    def process_request(connection, request):
        requests.append((request.path.partition("?")[0], request.headers["Authorization"]))

    async with peers.serving(peers.speech, process_request=process_request) as uri:
        result = await library.run("deepgram_client", uri)
    assert requests == [("/v1/listen", "Token secret")]
    assert result == {
        "heard": ["3200 bytes", "3200 bytes", "3200 bytes"],
        "events": ["open", "close"],
    }


async def test_assemblyai(library):
    def process_request(connection, request):
        if request.path.startswith("/refused"):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")
        assert request.headers["Authorization"] == "secret"
        return None

    async with peers.serving(peers.turns, process_request=process_request) as uri:
        result = await library.run("assemblyai_client", uri)
    assert result == {"id": "tide", "turns": ["3200"] * 3, "errors": [401]}


async def test_surrealdb(library):
    async with peers.serving(peers.surreal, subprotocols=["cbor"]) as uri:
        result = await library.run("surrealdb_client", uri)
    assert result == {"answers": [f"high {n}" for n in range(10)], "large": 3_000_000}


async def test_elevenlabs(library):
    async with peers.serving(peers.voice) as uri:
        result = await library.run("elevenlabs_client", uri)
    assert result == {"audio": "High water is at nine. ", "error": 1008}


async def test_trio(newer_tidegate):
    async with peers.serving(lambda websocket: websocket.send("low water")) as uri:
        result = await newer_tidegate.run("trio_both", uri)
    assert result == {
        "received": ["one high water", "two high water"],
        "echo": "high water",
        "closed": 1000,
        "other": "low water",
    }


async def test_pyppeteer(older_tidegate):
    async with peers.serving(peers.browser) as uri:
        result = await older_tidegate.run("pyppeteer_client", uri)
    assert result["version"] == "Tides/1"
    assert result["title"] == "High water"
    assert "no such method" in result["error"]


async def test_simpleobsws(older_tidegate):
    async with peers.serving(peers.obs) as uri:
        result = await older_tidegate.run("simpleobsws_client", uri)
    assert result == {
        "answer": {"obsVersion": "30.0"},
        "event": ["SceneChanged", {"scene": "tide"}],
        "open": [True, False],
    }

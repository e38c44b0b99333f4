"""Iterating over messages, as those who take it for an asynchronous generator do."""

from __future__ import annotations

import contextlib
import inspect

import pytest

from tidegate.exceptions import ConnectionClosedError

from .connections import pair


async def test_what_asynchronous_generators_have():
    async with pair() as (server, client):
        for message in "one", "two", "three":
            await server.send(message)
        async with contextlib.aclosing(aiter(client)) as messages:
            assert await messages.asend(None) == "one"
            assert await anext(messages) == "two"
        # The iteration is over, the connection isn't.
        with pytest.raises(StopAsyncIteration):
            await anext(messages)
        assert [message async for message in messages] == []
        assert await client.recv() == "three"


async def test_throwing_into_an_iteration():
    async with pair() as (server, client):
        messages = aiter(client)
        with pytest.raises(LookupError, match="enough"):
            await messages.athrow(LookupError("enough"))
        with pytest.raises(StopAsyncIteration):
            await messages.asend(None)
        await server.send("tide")
        assert await anext(aiter(client)) == "tide"


async def test_the_end_of_an_iteration_is_as_it_was():
    async with pair() as (server, client):
        messages = aiter(client)
        await server.send("tide")
        await server.close()
        assert [message async for message in messages] == ["tide"]
    async with pair() as (server, client):
        server.transport.abort()
        with pytest.raises(ConnectionClosedError):
            await aiter(client).asend(None)
    assert not inspect.isasyncgen(messages)

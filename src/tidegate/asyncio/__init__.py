"""WebSocket on asyncio: `client.connect`, `server.serve`, and what they give."""

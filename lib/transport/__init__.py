"""HTTP/1.1 for httpx's client, as lean as our calls: httptools reads the answers, asyncio moves the bytes."""

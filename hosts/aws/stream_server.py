"""Serve one file of api/ on the port of the Lambda Web Adapter. run.sh starts this on AWS Lambda.

python -m hosts.aws.stream_server api/v1/chat/completions.py PORT
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from importlib.util import module_from_spec, spec_from_file_location

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lib.upstreams.choose import close_services, prepare

KEEP_ALIVE_S = 75
"""The adapter closes an idle connection after 4 s, so it never meets a connection that this server closed."""
GRACE_S = 2
"""Lambda leaves an environment this long between SIGTERM and its end."""
CLOSING_S = 1.5
"""The services have this much of that time to give the store the values that it lacks."""


class WorkFirst:
    """Sends the end of an answer after the app's work, and not before.

    The adapter ends the invocation with the answer's last byte. Then Lambda freezes the process: the app's
    work after sending (delete the conversation, return the lease) would wait for the next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_length = False
        held: Message | None = None

        async def pass_on(message: Message) -> None:
            nonlocal has_length, held
            if message["type"] == "http.response.start":
                has_length = any(name.lower() == b"content-length" for name, _ in message["headers"])
            elif not message.get("more_body"):
                held = message
                if has_length:  # The body's last byte is its end.
                    return
                # A stream's client gets its last event now. Only the end of the stream has to wait.
                held = {"type": "http.response.body", "body": b""}
                message = {**message, "more_body": True}
            await send(message)

        try:
            await self._app(scope, receive, pass_on)
        finally:  # The answer is complete, even if the work after it failed.
            if held is not None:
                await send(held)


class Server(uvicorn.Server):
    """Closes the services of the loop at the end, as a box does."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await close_services()


def load(endpoint: str) -> ASGIApp:
    """Load a file by its path. As a module, api/v1/videos.py would hide api/v1/videos/generations.py."""
    spec = spec_from_file_location("endpoint", endpoint)
    if spec is None or spec.loader is None:
        raise ValueError(f"expected a file of api/, got {endpoint!r}")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    app: ASGIApp = module.app
    return app


def config_of(app: ASGIApp, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        WorkFirst(app),
        host="127.0.0.1",
        port=port,
        loop="asyncio",
        http="h11",  # httptools' protocol of uvicorn sends chunks to a client of HTTP/1.0, too.
        ws="none",
        lifespan="off",  # As under Mangum, a process makes its shared objects at their first use.
        log_config=None,  # The log is ours, with one JSON line for each request.
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def main(endpoint: str, port: str) -> None:
    app = load(endpoint)
    prepare()  # Lambda lends a whole processor to the start, and bills the first request.
    Server(config_of(app, int(port))).run()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The floor of a cold start: `python -m tests.bench.cold_floor PORT`, uvicorn, starlette and httpx alone."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from tests.bench.floor import Floor


async def get_ping(_: Request) -> PlainTextResponse:
    return PlainTextResponse("pong")


def main(port: str) -> None:
    app = Starlette(routes=[Route("/ping", get_ping), Mount("/", Floor())])
    # As hosts/box serves.
    config = uvicorn.Config(
        app,
        port=int(port),
        loop="asyncio",
        http="h11",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(sys.argv[1])

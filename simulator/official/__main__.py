"""Run the official API's simulator as a program: `python -m simulator.official --port 0 --pace 0.02`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from simulator.server import base_url_of, listen, make_server

from .app import Official


async def serve(options: argparse.Namespace) -> None:
    official = Official(pace_s=options.pace, region=options.region)
    key = official.add_key()
    listener = listen(options.port)
    sys.stdout.write(json.dumps({"url": base_url_of(listener, "/api/paas/v4"), "key": key}) + "\n")
    sys.stdout.flush()
    await make_server(official.app).serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="simulator.official", description="An imitation of the official API on 127.0.0.1."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--pace", type=float, default=0.02, help="seconds between chunks")
    parser.add_argument("--region", choices=("bigmodel", "zai"), default="bigmodel")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

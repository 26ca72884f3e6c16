"""Run the simulator as a program: `python -m simulator --port 0 --pace 0.02`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from .app import Simulator
from .server import base_url_of, listen, make_server


async def serve(options: argparse.Namespace) -> None:
    simulator = Simulator(strict_rotation=not options.lax, pace_s=options.pace, replay_dir=options.replay)
    refresh_token = simulator.add_account(nickname="demo")
    listener = listen(options.port)
    server = make_server(simulator.app)
    # The socket listens already: the server takes early connections as soon as it has started.
    sys.stdout.write(json.dumps({"url": base_url_of(listener), "refresh_token": refresh_token}) + "\n")
    sys.stdout.flush()
    await server.serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(prog="simulator", description="An imitation of chatglm.cn on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--pace", type=float, default=0.02, help="seconds between increments")
    parser.add_argument("--lax", action="store_true", help="old refresh tokens go on working")
    parser.add_argument("--replay", type=Path, metavar="FOLDER", help="captures for the scene `replay`")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

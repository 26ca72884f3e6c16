"""The arguments of `scripts/serve`, read and checked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from lib.version import VERSION

GRACE_S = 8.0
"""At the end of the server, unfinished answers may take this long to finish. Then they end with an error.
`docker stop` kills a process that is still there after 10 s."""


class Options(msgspec.Struct, frozen=True):
    is_demo: bool
    host: str
    port: int
    workers: int
    grace_s: float


def parse(arguments: Sequence[str] | None) -> Options:
    """Read the arguments, or those of this process for None. End the process if one is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/serve", description="Serve every endpoint of api/ here.")
    parser.add_argument("--version", action="version", version=f"glm-gateway {VERSION}")
    parser.add_argument(
        "--demo",
        action="store_true",
        help="use an imitation of the upstream: no account, no configuration, no network",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--workers", type=_count, default=1, help="processes that share the port and the store (default: 1)"
    )
    parser.add_argument(
        "--grace",
        type=_seconds,
        default=GRACE_S,
        metavar="SECONDS",
        help="time that unfinished answers get at the end of the server (default: %(default)g)",
    )
    parsed = parser.parse_args(arguments)
    return Options(parsed.demo, parsed.host, parsed.port, parsed.workers, parsed.grace)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"expected a number of seconds from 0, got {text!r}")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f"expected a port from 1 to 65535, or 0 for any free port, got {text!r}"
        )
    return int(text)

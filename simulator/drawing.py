"""Drawing (protocol.md §5): the config, what a request may say of the picture, and the pictures."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .accounts import Account
from .conversations import Call
from .endpoints import endpoint

if TYPE_CHECKING:
    from .app import Simulator

ASPECT_RATIOS = ("1:1", "3:4", "4:3", "9:16", "16:9")
STYLES = {"none": "无", "watercolor": "水彩", "oil_painting": "油画", "pixel": "像素"}
"""The endpoint is known, its shape and its entries are our own invention."""
PICTURE_SIZE = (360, 240)


@endpoint("GET", "drawing-api/v1/drawing/config")
def drawing_config(sim: Simulator, call: Call, account: Account) -> Any:  # noqa: ARG001
    return {
        "aspect_ratio": [{"key": ratio, "name": ratio} for ratio in ASPECT_RATIOS],
        "style": [{"key": key, "name": name, "icon": f"{key}.png"} for key, name in STYLES.items()],
        "scene": [{"key": "none", "name": "无"}],
    }


def odd_cogview(cogview: Any) -> Iterator[str]:
    """Name what the web would not have sent; a chat with the agent sends the watermark alone."""
    if not isinstance(cogview, dict):
        yield f"cogview is {cogview!r}"
        return
    if cogview.get("aspect_ratio", "1:1") not in ASPECT_RATIOS:
        yield f"unknown aspect_ratio {cogview.get('aspect_ratio')!r}"
    for name in ("style", "scene"):
        if not isinstance(cogview.get(name, "none"), str) or cogview.get(name) == "":
            yield f"{name} is {cogview.get(name)!r}"


def file_routes(sim: Simulator) -> list[Route]:
    """Serve what `Simulator.file_base` may point to: the CDN's pictures and videos."""

    async def picture(request: Request) -> Response:
        name = request.path_params["name"]
        with sim.lock:
            fault = sim.faults.take("testpath", None)
        if fault is not None and fault.reply is not None:
            return Response(b"", fault.reply.status)
        return Response(make_picture(name), media_type="image/png")

    return [Route("/testpath/{name}", picture, methods=["GET"])]


@lru_cache(maxsize=64)
def make_picture(name: str) -> bytes:
    """Make a PNG of one colour, another one for each name."""
    width, height = PICTURE_SIZE
    row = b"\0" + hashlib.sha256(name.encode()).digest()[:3] * width
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(row * height)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )

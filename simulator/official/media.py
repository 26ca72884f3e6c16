"""images, videos and async-result (official.md §6).

A tag in the prompt says how an order goes: `[scene:order polls=3]` is done at the fourth poll, `[scene:order
fails=1]` ends with FAIL, and `[scene:error code=1301]` is refused.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping

from simulator.records import Call
from simulator.scenes import read_tag
from simulator.steps import Json

from .errors import Refused
from .gate import body_of
from .state import Key, OfficialState, Order
from .table import IMAGE_MODELS, VIDEO_MODELS

MAX_IMAGE_PROMPT = 1000
MAX_VIDEO_PROMPT = 512
_SIZE = re.compile(r"(\d{3,4})x(\d{3,4})")


def images(state: OfficialState, call: Call, key: Key) -> Json:
    body = body_of(call)
    model, prompt, _ = _read_order(state, body, key, IMAGE_MODELS, MAX_IMAGE_PROMPT)
    _refuse_image(model, body)
    for name in sorted(set(body) - {"model", "prompt", "size", "quality", "user_id", "watermark_enabled"}):
        state.note(f"images/generations: unknown field {name}")
    url = f"{state.file_base}/testpath/{uuid.uuid4().hex}.png"
    level = [{"role": "assistant", "level": 3}]
    return {"created": int(time.time()), "data": [{"url": url}], "content_filter": level if prompt else []}


def _refuse_image(model: str, body: Json) -> None:
    step, low, pixels = (32, 1024, 2**22) if model == "glm-image" else (16, 512, 2**21)
    size = _SIZE.fullmatch(str(body.get("size", "1024x1024")))
    width, height = (int(size[1]), int(size[2])) if size else (0, 0)
    fits = all(low <= side <= 2048 and side % step == 0 for side in (width, height))
    known = ("1568x1056", "1056x1568", "1472x1088", "1088x1472", "1728x960", "960x1728")
    if not ((fits and width * height <= pixels) or (model == "glm-image" and body.get("size") in known)):
        raise Refused("1214", f"size {body.get('size')!r}")
    allowed = ("hd",) if model == "glm-image" else ("standard", "hd")
    if body.get("quality", "hd") not in allowed:
        raise Refused("1214", f"quality {body.get('quality')!r}")


def videos(state: OfficialState, call: Call, key: Key) -> Json:
    body = body_of(call)
    model, _, args = _read_order(state, body, key, VIDEO_MODELS, MAX_VIDEO_PROMPT)
    if body.get("fps", 30) not in (30, 60) or body.get("duration", 5) not in (5, 10):
        raise Refused("1214", "fps must be 30 or 60, duration 5 or 10")
    if body.get("quality", "speed") not in ("speed", "quality"):
        raise Refused("1214", "quality must be speed or quality")
    order = Order(
        id=f"{int(time.time())}{uuid.uuid4().int % 10**15:015d}",
        key=key.text,
        kind="video_result",
        model=model,
        polls_left=int(args.get("polls", 1)),
        fails=bool(int(args.get("fails", 0))),
    )
    state.orders[order.id] = order
    request_id = body.get("request_id", order.id)
    return {"id": order.id, "model": model, "request_id": request_id, "task_status": "PROCESSING"}


def async_result(state: OfficialState, call: Call, key: Key) -> Json:
    order = state.orders.get(call.path.rpartition("/")[2])
    if order is None or order.key != key.text:
        raise Refused("1214", "the task does not exist")
    base = {"id": order.id, "model": order.model, "request_id": order.id}
    if order.polls_left > 0:
        order.polls_left -= 1
        return base | {"task_status": "PROCESSING"}
    if order.fails:
        return base | {"task_status": "FAIL"}
    address = f"{state.file_base}/testpath/{order.id}"
    result = [{"url": f"{address}.mp4", "cover_image_url": f"{address}.png"}]
    return base | {"task_status": "SUCCESS", order.kind: result}


def _read_order(
    state: OfficialState, body: Json, key: Key, known: Mapping[str, bool], longest: int
) -> tuple[str, str, dict[str, str]]:
    """Return model, prompt and the arguments of the tag."""
    model, prompt = body.get("model"), body.get("prompt", "")
    if not isinstance(model, str) or model not in known:
        raise Refused("1211")
    state.charge(key, is_free=known[model])
    if not isinstance(prompt, str) or len(prompt) > longest or not (prompt or body.get("image_url")):
        raise Refused("1214", f"prompt: at most {longest} characters")
    name, args = read_tag(prompt) or ("", {})
    if name == "error":
        raise Refused(args.get("code", "1301"))
    return model, prompt, args

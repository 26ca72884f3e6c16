"""POST /v1/images/generations: OpenAI's request, and its answer with URLs or with the images themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from lib.chat.events import ImageMade
from lib.chat.media import ImageForm, ImageRequest
from lib.dialects.json_body import decode_body, invalid_value, unsupported
from lib.errors import InvalidRequest

MAX_IMAGES = 10
"""OpenAI has the same limit."""
MIN_PIXELS = 64
"""Two smaller numbers are a ratio, and not a size."""

_SIZE = re.compile(r"(\d{1,5})\s*[x×*:]\s*(\d{1,5})", re.IGNORECASE)
_FORMS: dict[str, ImageForm] = {"url": "url", "b64_json": "b64_json"}
_ANSWER_BASE64_UNASKED = ("gpt-image", "chatgpt-image")
"""These models of OpenAI have no `response_format`: their clients expect `b64_json` and do not ask for it."""


class _Body(msgspec.Struct):
    """The upstreams have no use for `user`, `background` and others, so the parser ignores them."""

    prompt: str
    model: str | None = None
    n: int | float | None = None
    size: str | None = None
    quality: str | None = None
    style: str | None = None
    response_format: str | None = None
    stream: bool | None = None


class _Image(msgspec.Struct, omit_defaults=True):
    url: str
    revised_prompt: str | None = None


class _Images(msgspec.Struct):
    created: int
    data: list[_Image]


_decoder = msgspec.json.Decoder(_Body)


def parse_image_request(body: bytes) -> ImageRequest:
    """Raise InvalidRequest, and nothing else, for any mistake in the body."""
    wire = decode_body(body, _decoder)
    if not wire.prompt.strip():
        raise invalid_value("prompt", "a description of the image", wire.prompt)
    n = _number(wire.n)
    if wire.stream:
        raise unsupported("stream", "the gateway sends all images in one answer; leave it out")
    model = (wire.model or "").strip()
    sides = _sides(wire.size)
    return ImageRequest(
        prompt=wire.prompt,
        model=model,
        n=n,
        ratio=sides[0] / sides[1] if sides else None,
        size=sides if sides and max(sides) >= MIN_PIXELS else None,
        quality=(wire.quality or "").strip().lower(),
        style=(wire.style or "").strip(),
        form=_form(wire.response_format, model),
    )


def render_images(images: Sequence[ImageMade], *, created: int) -> bytes:
    return msgspec.json.encode(
        _Images(created, [_Image(image.url, image.prompt or None) for image in images])
    )


def texts_around_files(images: Sequence[ImageMade], *, created: int) -> list[bytes]:
    """Return the JSON before, between and after the images' base64: one text more than there are images."""
    texts = [b'{"created":%d,"data":[' % created]
    for image in images:
        texts[-1] += b'{"b64_json":"'
        prompt: dict[str, Any] = {"revised_prompt": image.prompt} if image.prompt else {}
        rest = msgspec.json.encode(prompt)[1:-1]
        texts.append(b'"%b%b},' % (b"," if rest else b"", rest))
    texts[-1] = texts[-1].removesuffix(b",") + b"]}"
    return texts


def _number(n: float | None) -> int:
    if n is None:
        return 1
    if not 1 <= n <= MAX_IMAGES or n != int(n):
        raise invalid_value("n", f"an integer from 1 to {MAX_IMAGES}", n if isinstance(n, int) else str(n))
    return int(n)


def _form(form: str | None, model: str) -> ImageForm:
    if form is None:
        return "b64_json" if model.lower().startswith(_ANSWER_BASE64_UNASKED) else "url"
    if form not in _FORMS:
        raise invalid_value("response_format", "'url' or 'b64_json'", form)
    return _FORMS[form]


def _sides(size: str | None) -> tuple[int, int] | None:
    """Read a size (`1024x1792`) or a ratio (`9:16`). None means that we choose."""
    if size is None or size.strip().lower() in ("", "auto"):
        return None
    match = _SIZE.fullmatch(size.strip())
    if match is None or not int(match[1]) or not int(match[2]):
        raise _wrong_size(size)
    return int(match[1]), int(match[2])


def _wrong_size(size: str) -> InvalidRequest:
    return invalid_value("size", "'auto', a size such as '1024x1024', or a ratio such as '16:9'", size)

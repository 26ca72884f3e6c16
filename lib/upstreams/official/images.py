"""Images of the official API: one call for each, and fetching the results (official documents, 2026-09)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from lib.chat.events import ImageMade, Started
from lib.chat.media import ImageRequest
from lib.errors import GatewayError, InvalidRequest, UpstreamProtocolError
from lib.tasks import each
from lib.upstreams.interface import Call, MadeImages
from lib.upstreams.official import names
from lib.upstreams.official.asking import Limits, decode, post, started
from lib.upstreams.official.gateway import OfficialGateway
from lib.upstreams.official.sizes import COGVIEW, GLM_IMAGE, image_size

LIMITS = Limits(timeout_s=180.0)
AT_ONCE = 3
_HD, _STANDARD = ("hd", "high"), ("standard", "medium", "low")
"""The words of the API, and OpenAI's newer words for about the same."""

log = logging.getLogger("glm_gateway")


class _Image(msgspec.Struct):
    url: str


class _Images(msgspec.Struct):
    data: list[_Image]


class _Made(msgspec.Struct, frozen=True):
    url: str
    started: Started


_decoder = msgspec.json.Decoder(_Images)


@asynccontextmanager
async def open_images(
    gateway: OfficialGateway, request: ImageRequest, call: Call
) -> AsyncIterator[MadeImages]:
    """Make the images, a few at once. If some fail there are fewer; raise if not a single one was made."""
    names.require_key(call.caller, request.model)
    model = names.served_by(request.model, names.IMAGES, names.FREE_IMAGES)
    body = _body(request, model)

    async def make_one(_: int) -> _Made | GatewayError:
        try:
            told = await post(gateway, call, "images/generations", body, model=model, limits=LIMITS)
            found = decode(told.answer, _decoder).data
            if not found or not found[0].url.startswith(("https://", "http://")):
                raise UpstreamProtocolError("The official API answered without an image.", retry="never")
            return _Made(found[0].url, started(told, call, model=model))
        except GatewayError as error:
            return _about_images(error)

    results = await each(range(request.n), make_one, at_once=AT_ONCE)
    made = [result for result in results if isinstance(result, _Made)]
    failures = [result for result in results if isinstance(result, GatewayError)]
    if not made:
        raise failures[0]
    if failures:
        log.warning("fewer images than asked for", extra={"error": failures[0].summary, "made": len(made)})
    yield MadeImages(tuple(ImageMade(image.url) for image in made), made[0].started, "api")


def _body(request: ImageRequest, model: str) -> dict[str, Any]:
    is_glm_image = model == "glm-image"
    body: dict[str, Any] = {"model": model, "prompt": request.prompt}
    size = image_size(GLM_IMAGE if is_glm_image else COGVIEW, request.size, request.ratio)
    if size is not None:
        body["size"] = f"{size[0]}x{size[1]}"
    if not is_glm_image and request.quality in (*_HD, *_STANDARD):  # glm-image has one quality alone.
        body["quality"] = "hd" if request.quality in _HD else "standard"
    return body


def _about_images(error: GatewayError) -> GatewayError:
    """Name a refusal of the content as it is named for all images."""
    if not isinstance(error, InvalidRequest) or error.code != "content_filter":
        return error
    return InvalidRequest(
        error.message,
        code="content_policy_violation",
        param="prompt",
        number=error.number,
        http_status=error.http_status,
    )

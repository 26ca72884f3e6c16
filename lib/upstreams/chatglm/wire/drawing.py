"""Images of chatglm.cn: the fields for its drawing agent, and the images in its answers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from lib.chat.events import ImageMade

CONFIG = "/drawing-api/v1/drawing/config"

ASPECT_RATIOS = {"1:1": 1.0, "3:4": 3 / 4, "4:3": 4 / 3, "9:16": 9 / 16, "16:9": 16 / 9}
"""The ratios that the web application offers (captured 2026-09-30)."""

NO_STYLE = "none"

_NUMBER_IN_NAME = re.compile(r"_(\d{1,4})_\d{1,4}\.\w{2,5}$")
_LINK = re.compile(r"(!?)\[[^\]\n]{0,200}\]\((https?://[^\s()]{1,2000})\)")
_IMAGE_NAME = re.compile(r"\.(?:jpe?g|png|webp|gif)$", re.IGNORECASE)
_STYLE_NAMES = ("value", "key", "style", "code", "id", "name", "title", "label", "display_name")
"""An entry of the style list may have its names in these fields. We send the first one to the upstream."""


class Drawing(msgspec.Struct, frozen=True):
    """The fields that a drawing agent gets beside the prompt (captured 2026-09-30)."""

    aspect_ratio: str = "1:1"
    style: str = NO_STYLE

    def cogview(self) -> dict[str, Any]:
        return {
            "aspect_ratio": self.aspect_ratio,
            "style": self.style,
            "scene": "none",
            "chat_model": "",
            "rm_label_watermark": False,
        }


def nearest_aspect_ratio(ratio: float | None) -> str:
    """Choose by proportion: 2:1 is as far from 1:1 as 1:2 is."""
    wanted = math.log(ratio or 1.0)
    return min(ASPECT_RATIOS, key=lambda name: abs(math.log(ASPECT_RATIOS[name]) - wanted))


def in_order(images: Sequence[ImageMade]) -> list[ImageMade]:
    """Sort by the number in the file's name; an image without a number goes to the end.

    Images arrive as they are done: `_3`, `_0`, `_1`, `_2` (captured 2026-09-30).
    """
    return sorted(images, key=lambda image: _number(image.url))


def linked_images(text: str) -> list[ImageMade]:
    """Find the images that are links in a text, as in some answers of 2024 and 2025."""
    links = ((mark, url) for mark, url in _LINK.findall(text) if mark or _IMAGE_NAME.search(_path(url)))
    return [ImageMade(url) for url in dict.fromkeys(url for _, url in links)]


def read_styles(config: Any) -> dict[str, str]:
    """Collect the styles from a config of any shape: maps each name of a style to the name that we send.

    One observer names the endpoint, and its shape is unknown (2026). So every list under a key with `style`
    in it counts.
    """
    styles: dict[str, str] = {}
    for entry in _style_entries(config, is_about_styles=False, depth=0):
        names = [entry.get(name) for name in _STYLE_NAMES] if isinstance(entry, dict) else [entry]
        known = [name for name in names if isinstance(name, str) and name]
        for name in known:
            styles.setdefault(name.casefold(), known[0])
    return styles


def _style_entries(value: Any, *, is_about_styles: bool, depth: int) -> list[Any]:
    if depth > 6:
        return []
    if isinstance(value, list):
        if is_about_styles:
            return value
        return [
            entry for item in value for entry in _style_entries(item, is_about_styles=False, depth=depth + 1)
        ]
    if not isinstance(value, dict):
        return []
    found: list[Any] = []
    for key, below in value.items():
        found += _style_entries(below, is_about_styles="style" in key.casefold(), depth=depth + 1)
    return found


def _number(url: str) -> float:
    match = _NUMBER_IN_NAME.search(_path(url))
    return float(match[1]) if match else math.inf


def _path(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]

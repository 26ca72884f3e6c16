"""The sizes of images and videos that the official API takes (official documents, 2026-09)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

Size = tuple[int, int]
"""Width and height in pixels."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of one model: some by name, and any others between two limits."""

    named: tuple[Size, ...]
    """The first one is the model's own choice."""
    step: int
    """Both sides are multiples of it."""
    shortest: int
    longest: int
    max_pixels: int

    def takes(self, size: Size) -> bool:
        width, height = size
        fits = all(self.shortest <= side <= self.longest and side % self.step == 0 for side in size)
        return size in self.named or (fits and width * height <= self.max_pixels)


GLM_IMAGE = Sizes(
    named=(
        (1280, 1280), (1568, 1056), (1056, 1568), (1472, 1088), (1088, 1472), (1728, 960), (960, 1728),
    ),
    step=32,
    shortest=1024,
    longest=2048,
    max_pixels=2**22,
)  # fmt: skip
COGVIEW = Sizes(
    named=(
        (1024, 1024), (768, 1344), (864, 1152), (1344, 768), (1152, 864), (1440, 720), (720, 1440),
    ),
    step=16,
    shortest=512,
    longest=2048,
    max_pixels=2**21,
)  # fmt: skip

COGVIDEO: tuple[Size, ...] = (
    (1280, 720), (720, 1280), (1024, 1024), (1920, 1080), (1080, 1920), (2048, 1080), (3840, 2160),
)  # fmt: skip


def image_size(sizes: Sizes, size: Size | None, ratio: float | None) -> Size | None:
    """Return the allowed size that is nearest to the wanted one. None leaves it to the API."""
    if size is not None:
        return size if sizes.takes(size) else _into(sizes, *size)
    return None if ratio is None else _nearest_ratio(sizes.named, ratio)


def nearest_size(known: Iterable[Size], size: Size) -> Size:
    """Return the known size of the nearest proportion; of several, the one with the nearest area."""
    width, height = size

    def distance(candidate: Size) -> tuple[float, float]:
        proportion = abs(math.log(candidate[0] / candidate[1]) - math.log(width / height))
        return round(proportion, 3), abs(math.log(candidate[0] * candidate[1]) - math.log(width * height))

    return min(known, key=distance)


def nearest_seconds(seconds: float) -> int:
    """Choose 5 or 10 seconds: the API makes no others."""
    return 5 if seconds < 7.5 else 10


def _nearest_ratio(named: Iterable[Size], ratio: float) -> Size:
    return min(named, key=lambda size: abs(math.log(size[0] / size[1]) - math.log(ratio)))


def _into(sizes: Sizes, width: int, height: int) -> Size:
    """Scale a size into the limits, keep its proportion as far as they allow, and round it to the step."""
    scale = max(1.0, sizes.shortest / min(width, height))
    scale = min(scale, sizes.longest / max(width, height), math.sqrt(sizes.max_pixels / (width * height)))
    rounded = [_multiple(side * scale / sizes.step + 0.5, sizes) for side in (width, height)]
    if rounded[0] * rounded[1] > sizes.max_pixels:
        rounded = [_multiple(side * scale / sizes.step, sizes) for side in (width, height)]
    return rounded[0], rounded[1]


def _multiple(steps: float, sizes: Sizes) -> int:
    return min(max(int(steps) * sizes.step, sizes.shortest), sizes.longest)

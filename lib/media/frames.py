"""A video's first frame, as the upstream's web application prepares it: 1440 wide, at most 960 high."""

from __future__ import annotations

import warnings
from typing import IO, NamedTuple

from lib.errors import InvalidRequest

WIDTH = 1440
MAX_HEIGHT = 960
MAX_PIXELS = 50_000_000
"""A 50-megapixel picture takes 150 MB in memory once unpacked; a function may have 256."""
JPEG_QUALITY = 92

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


class Fit(NamedTuple):
    """Which rows of a picture become how large a frame."""

    top: int
    bottom: int
    height: int


def fit_frame(source: IO[bytes], target: IO[bytes], *, param: str) -> None:
    """Scale a picture to the width, crop the middle of its height, and write a JPEG. Takes CPU time.

    Raise InvalidRequest for what is no picture, and for one whose pixels would not fit in memory.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            opened = Image.open(source, formats=_FORMATS)
        with opened:
            if opened.width * opened.height > MAX_PIXELS:
                size = f"{opened.width}x{opened.height}"
                raise _invalid(f"a picture of {size} has more than {MAX_PIXELS} pixels", param)
            # A JPEG is unpacked at about the size that is needed, where it is larger.
            opened.draft("RGB", (WIDTH, MAX_HEIGHT))
            image = ImageOps.exif_transpose(opened)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            fit = fit_rows(image.width, image.height)
            box = (0, fit.top, image.width, fit.bottom)
            frame = image.convert("RGB").resize((WIDTH, fit.height), box=box)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _invalid("this is no picture (JPEG, PNG, WebP, GIF or BMP), or a broken one", param) from error
    frame.save(target, "JPEG", quality=JPEG_QUALITY)


def fit_rows(width: int, height: int) -> Fit:
    """Choose the rows; what is cropped is never scaled: a very tall picture would become gigantic."""
    scaled = max(1, round(height * WIDTH / width))
    if scaled <= MAX_HEIGHT:
        return Fit(0, height, scaled)
    kept = min(height, max(1, round(MAX_HEIGHT * width / WIDTH)))
    top = (height - kept) // 2
    return Fit(top, top + kept, MAX_HEIGHT)


def _invalid(what: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid file in '{param}': {what}.", code="invalid_file", param=param)

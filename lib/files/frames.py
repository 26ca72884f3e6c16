"""A video's first frame, as the upstream's web application prepares it: 1440 wide, at most 960 high."""

from __future__ import annotations

import warnings
from typing import IO, Any, NamedTuple

from lib.errors import InvalidRequest

WIDTH = 1440
MAX_HEIGHT = 960
MAX_PIXELS = 20_000_000
"""A larger picture may not fit in memory. At this size the peak is 90 MB for a PNG, 140 for a JPEG, 300 for a
WebP (measured)."""
BAND_PIXELS = 1_000_000
"""So many pixels are converted at once: there is never a second picture of full size."""
JPEG_QUALITY = 92

ORIENTATION = 0x0112
"""EXIF's tag for the rotation of the camera: 1 to 8. From 5 on, width and height are swapped."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

Picture = Any
"""Pillow's Image. Pillow is imported by the functions that use it, because few requests do."""


class Fit(NamedTuple):
    """The rows of a picture that are kept, and the height of the frame."""

    top: int
    bottom: int
    height: int


def fit_frame(source: IO[bytes], target: IO[bytes], *, param: str) -> None:
    """Scale a picture to the width, crop the middle of its height, and write a JPEG. Takes CPU time.

    Raise InvalidRequest if the source is not a picture, or has more than MAX_PIXELS.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # About bombs: our own limit is lower. About EXIF: it is not needed.
            with Image.open(source, formats=_FORMATS) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    size = f"{opened.width}x{opened.height}"
                    raise _invalid(f"a picture of {size} has more than {MAX_PIXELS} pixels", param)
                frame = _frame_of(opened)
    except InvalidRequest:
        raise
    except Exception as error:  # Pillow does not document the errors of its decoders.
        raise _invalid(
            "this is not a picture (JPEG, PNG, WebP, GIF or BMP), or it is broken", param
        ) from error
    frame.save(target, "JPEG", quality=JPEG_QUALITY)


def _frame_of(opened: Picture) -> Picture:
    """Cut, shrink, and turn last: then only the first step works on many pixels."""
    from PIL.Image import Transpose

    orientation = _orientation(opened)
    is_on_its_side = orientation >= 5
    # Pillow unpacks a larger JPEG at about the size that is needed.
    opened.draft("RGB", (MAX_HEIGHT, WIDTH) if is_on_its_side else (WIDTH, MAX_HEIGHT))
    width, height = (opened.height, opened.width) if is_on_its_side else opened.size
    fit = fit_rows(width, height)
    rows = (fit.top, 0, fit.bottom, width) if is_on_its_side else (0, fit.top, width, fit.bottom)
    small = _reduced(opened, rows, factor=max(1, width // WIDTH))
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    if orientation in turns:
        small = small.transpose(turns[orientation])
    return small.resize((WIDTH, fit.height))


def _orientation(opened: Picture) -> int:
    try:
        value = opened.getexif().get(ORIENTATION)
    except Exception:  # noqa: BLE001 - a picture with broken EXIF is still a picture
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _reduced(image: Picture, box: tuple[int, int, int, int], *, factor: int) -> Picture:
    """Copy a part of the picture band by band: in RGB, on white, `factor` times smaller."""
    from PIL import Image

    left, top, right, bottom = box
    width = right - left
    step = max(1, BAND_PIXELS // (width * factor)) * factor
    reduced = Image.new("RGB", (-(-width // factor), -(-(bottom - top) // factor)))
    for row in range(top, bottom, step):
        band = image.crop((left, row, right, min(row + step, bottom)))
        if band.has_transparency_data:
            band = band.convert("RGBA")
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band)
        reduced.paste(band.convert("RGB").reduce(factor), (0, (row - top) // factor))
    return reduced


def fit_rows(width: int, height: int) -> Fit:
    """Choose the rows before scaling: a very tall picture would become gigantic."""
    scaled = max(1, round(height * WIDTH / width))
    if scaled <= MAX_HEIGHT:
        return Fit(0, height, scaled)
    kept = min(height, max(1, round(MAX_HEIGHT * width / WIDTH)))
    top = (height - kept) // 2
    return Fit(top, top + kept, MAX_HEIGHT)


def _invalid(fault: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"Invalid file in '{param}': {fault}.", code="invalid_file", param=param)

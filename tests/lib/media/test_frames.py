"""First frames: 1440 wide, at most 960 high, whatever comes."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib.errors import InvalidRequest
from lib.media.frames import MAX_HEIGHT, WIDTH, fit_frame, fit_rows


def picture(size: tuple[int, int], mode: str = "RGB", kind: str = "PNG", **options: object) -> BytesIO:
    """Make a picture whose upper half is red and whose lower half is blue."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (0, size[1] // 2, size[0], size[1]))
    written = BytesIO()
    image.convert(mode).save(written, kind, **options)
    written.seek(0)
    return written


def fit(source: BytesIO) -> Image.Image:
    target = BytesIO()
    fit_frame(source, target, param="image_url")
    assert not source.closed
    frame = Image.open(target)
    assert frame.format == "JPEG"
    frame.load()
    return frame


@pytest.mark.parametrize(
    ("size", "height"),
    [
        ((1440, 960), 960),
        ((720, 480), 960),
        ((2880, 1000), 500),
        ((100, 100), 960),
        ((1, 1000), 960),
        ((3000, 1), 1),
        ((1080, 1920), 960),
        ((1920, 1080), 810),
    ],
)
def test_a_picture_is_scaled_to_the_width_and_cropped_in_height(size: tuple[int, int], height: int) -> None:
    assert fit(picture(size)).size == (1440, height)


@given(st.integers(1, 20_000), st.integers(1, 20_000))
def test_what_is_kept_has_the_shape_of_the_frame(width: int, height: int) -> None:
    rows = fit_rows(width, height)
    assert 0 <= rows.top < rows.bottom <= height
    assert 1 <= rows.height <= MAX_HEIGHT
    assert abs(rows.top - (height - rows.bottom)) <= 1
    scale = WIDTH / width
    assert abs((rows.bottom - rows.top) * scale - rows.height) <= max(1.0, scale)


def test_the_middle_is_what_is_kept() -> None:
    frame = fit(picture((1440, 2880)))
    assert frame.getpixel((700, 400)) == pytest.approx((254, 0, 0), abs=4)
    assert frame.getpixel((700, 560)) == pytest.approx((0, 0, 254), abs=4)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "JPEG"),
        ("L", "JPEG"),
        ("CMYK", "JPEG"),
        ("P", "GIF"),
        ("1", "PNG"),
        ("I;16", "PNG"),
        ("LA", "PNG"),
        ("RGB", "WEBP"),
        ("RGB", "BMP"),
    ],
)
def test_every_mode_and_format_becomes_a_jpeg(mode: str, kind: str) -> None:
    if mode == "I;16":
        written = BytesIO()
        Image.new("I;16", (30, 20), 30_000).save(written, "PNG")
        written.seek(0)
        assert fit(written).size == (1440, 960)
        return
    assert fit(picture((30, 20), mode, kind)).size == (1440, 960)


def test_what_is_transparent_is_white() -> None:
    written = BytesIO()
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(written, "PNG")
    written.seek(0)
    assert fit(written).getpixel((5, 5)) == (255, 255, 255)


def test_a_photograph_on_its_side_is_put_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert fit(picture((400, 1440), kind="JPEG", exif=exif)).size == (1440, 400)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        picture((300, 200)).getvalue()[:500],
        picture((300, 200), kind="JPEG").getvalue()[:300],
        picture((30, 20), kind="TIFF").getvalue(),
    ],
)
def test_what_is_no_picture_is_the_callers_mistake(data: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        fit_frame(BytesIO(data), BytesIO(), param="input_reference")
    assert (caught.value.code, caught.value.param) == ("invalid_file", "input_reference")


@pytest.mark.parametrize("size", [(10_000, 6_000), (20_000, 20_000)])
def test_a_bomb_is_not_unpacked(size: tuple[int, int]) -> None:
    written = BytesIO()
    Image.new("1", size).save(written, "PNG")
    written.seek(0)
    with pytest.raises(InvalidRequest):
        fit_frame(written, BytesIO(), param="image_url")

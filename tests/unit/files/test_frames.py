"""First frames: 1440 wide, at most 960 high, whatever comes."""

from __future__ import annotations

import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib.errors import InvalidRequest
from lib.files import frames
from lib.files.frames import MAX_HEIGHT, WIDTH, fit_frame, fit_rows


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


@pytest.mark.parametrize("size", [(5_000, 4_100), (20_000, 20_000)])
def test_a_bomb_is_not_unpacked(size: tuple[int, int]) -> None:
    written = BytesIO()
    Image.new("1", size).save(written, "PNG")
    written.seek(0)
    with pytest.raises(InvalidRequest):
        fit_frame(written, BytesIO(), param="image_url")


def test_a_large_picture_is_never_in_memory_twice(tmp_path: Path) -> None:
    """What is unpacked is 77 MB; a copy in another mode would be as much again."""
    Image.new("RGBA", (4400, 4400), (10, 20, 30, 128)).save(tmp_path / "large.png")
    program = """
import resource, sys
from io import BytesIO
from PIL import Image
from lib.files.frames import fit_frame

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

small = BytesIO()
Image.new("RGB", (10, 10)).save(small, "PNG")
small.seek(0)
fit_frame(small, BytesIO(), param="x")
before = peak()
with open(sys.argv[1], "rb") as file:
    fit_frame(file, BytesIO(), param="x")
print(peak() - before)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "large.png")]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert int(run.stdout) < 150


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_picture_is_turned_after_it_is_shrunk(orientation: int) -> None:
    """What was red when it was upright is red at the same side again."""
    upright = Image.open(picture((3000, 2500)))
    undone = {
        5: 5,
        6: 2,
        7: 6,
        8: 4,
        2: 0,
        3: 3,
        4: 1,
    }  # Transpose's own numbers, each undoing an orientation
    stored = upright.transpose(Image.Transpose(undone[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[frames.ORIENTATION] = orientation
    written = BytesIO()
    stored.save(written, "PNG", exif=exif)
    frame = fit(written)
    assert frame.size == (1440, 960)
    assert frame.getpixel((700, 300)) == pytest.approx((254, 0, 0), abs=4)
    assert frame.getpixel((700, 700)) == pytest.approx((0, 0, 254), abs=4)


@pytest.mark.parametrize("mode", ["LA", "P", "1", "CMYK"])
def test_a_large_picture_of_another_mode(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    assert fit(picture((3100, 1000), mode, kind)).size == (1440, 465)


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\2\0\0\0\2x\0\0\0"]
)
def test_broken_exif_does_not_break_its_picture(exif: bytes) -> None:
    assert fit(picture((40, 40), kind="JPEG", exif=exif)).size == (1440, 960)


@pytest.mark.parametrize("error", [struct.error, TypeError, KeyError])
def test_nothing_that_a_decoder_raises_gets_out(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error("hostile")

    monkeypatch.setattr(Image.Image, "getexif", broken)
    assert fit(picture((30, 20))).size == (1440, 960)
    monkeypatch.setattr(Image.Image, "crop", broken)
    with pytest.raises(InvalidRequest):
        fit_frame(picture((30, 20)), BytesIO(), param="image_url")

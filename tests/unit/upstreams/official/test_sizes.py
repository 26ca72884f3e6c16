"""The size that the official API gets is always one that it takes, and near the wanted one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.upstreams.official.sizes import (
    COGVIDEO,
    COGVIEW,
    GLM_IMAGE,
    Size,
    Sizes,
    image_size,
    nearest_seconds,
    nearest_size,
)

SIDES = st.integers(1, 99_999)


@given(sizes=st.sampled_from([GLM_IMAGE, COGVIEW]), width=SIDES, height=SIDES)
def test_any_wanted_size_becomes_one_that_the_model_takes(sizes: Sizes, width: int, height: int) -> None:
    found = image_size(sizes, (width, height), width / height)
    assert found is not None
    assert sizes.takes(found)


@pytest.mark.parametrize(
    ("sizes", "wanted", "size"),
    [
        (COGVIEW, (1024, 1024), (1024, 1024)),
        (COGVIEW, (1024, 1792), (1024, 1792)),
        (COGVIEW, (256, 256), (512, 512)),
        (COGVIEW, (1000, 1000), (1008, 1008)),
        (COGVIEW, (256, 1024), (512, 2048)),
        (COGVIEW, (4096, 4096), (1440, 1440)),
        (GLM_IMAGE, (960, 1728), (960, 1728)),
        (GLM_IMAGE, (512, 512), (1024, 1024)),
        (GLM_IMAGE, (1536, 1024), (1536, 1024)),
        (GLM_IMAGE, (100, 5000), (1024, 2048)),
    ],
)
def test_the_nearest_size_keeps_the_proportion(sizes: Sizes, wanted: Size, size: Size) -> None:
    assert image_size(sizes, wanted, wanted[0] / wanted[1]) == size


@pytest.mark.parametrize(
    ("ratio", "size"), [(1.0, (1024, 1024)), (9 / 16, (768, 1344)), (2.0, (1440, 720)), (0.75, (864, 1152))]
)
def test_a_ratio_alone_takes_a_size_of_the_models_own_list(ratio: float, size: Size) -> None:
    assert image_size(COGVIEW, None, ratio) == size


def test_no_wish_leaves_the_size_to_the_model() -> None:
    assert image_size(GLM_IMAGE, None, None) is None


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        ((1280, 720), (1280, 720)),
        ((720, 1280), (720, 1280)),
        ((1024, 1792), (1080, 1920)),
        ((1792, 1024), (1920, 1080)),
        ((4000, 2250), (3840, 2160)),
        ((500, 500), (1024, 1024)),
    ],
)
def test_a_video_takes_the_size_of_the_nearest_proportion_and_area(wanted: Size, size: Size) -> None:
    assert nearest_size(COGVIDEO, wanted) == size


@pytest.mark.parametrize(("wanted", "seconds"), [(4, 5), (5, 5), (6, 5), (8, 10), (12, 10)])
def test_a_video_has_five_or_ten_seconds(wanted: float, seconds: int) -> None:
    assert nearest_seconds(wanted) == seconds

"""What is asked of the drawing agent, and what is read from its answers and its config."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.events import ImageMade
from lib.upstreams.chatglm.wire.drawing import (
    ASPECT_RATIOS,
    Drawing,
    in_order,
    linked_images,
    nearest_aspect_ratio,
    read_styles,
)
from lib.upstreams.chatglm.wire.models import Target
from lib.upstreams.chatglm.wire.protocol import chat_body


@pytest.mark.parametrize(
    ("ratio", "name"),
    [
        (None, "1:1"),
        (1.0, "1:1"),
        (1.1, "1:1"),
        (1.2, "4:3"),
        (1.5, "4:3"),
        (1.6, "16:9"),
        (1792 / 1024, "16:9"),
        (1024 / 1792, "9:16"),
        (2 / 3, "3:4"),
        (99999.0, "16:9"),
        (1 / 99999, "9:16"),
    ],
)
def test_the_nearest_ratio(ratio: float | None, name: str) -> None:
    assert nearest_aspect_ratio(ratio) == name


@given(st.floats(min_value=1e-5, max_value=1e5))
def test_what_is_turned_on_its_side_gets_the_ratio_on_its_side(ratio: float) -> None:
    width, height = nearest_aspect_ratio(ratio).split(":")
    turned = nearest_aspect_ratio(1 / ratio)
    assert ASPECT_RATIOS[turned] == pytest.approx(int(height) / int(width))


def test_the_request_has_the_captured_form() -> None:
    target = Target(model="glm-5.3-flash", agent_id="a" * 24, drawing=Drawing("3:4", "none"))
    body = msgspec.json.decode(chat_body("a cat", target, assistant_id="a" * 24, conversation_id=""))
    assert body["meta_data"]["cogview"] == {
        "aspect_ratio": "3:4",
        "style": "none",
        "scene": "none",
        "chat_model": "",
        "rm_label_watermark": False,
    }
    assert (body["meta_data"]["chat_mode"], body["meta_data"]["reasoning_effort"]) == ("", "low")


def made(*names: str) -> list[ImageMade]:
    return [ImageMade(f"https://sfile.chatglm.cn/testpath/{name}") for name in names]


def test_images_are_sorted_by_their_number() -> None:
    assert in_order(made("h_3_0.jpg", "h_0_0.jpg", "h_10_0.jpg", "h_2_0.jpg?x=_1_0.jpg")) == made(
        "h_0_0.jpg", "h_2_0.jpg?x=_1_0.jpg", "h_3_0.jpg", "h_10_0.jpg"
    )


def test_images_without_a_number_keep_their_places() -> None:
    assert in_order(made("b.jpg", "a.png", "c_x_0.jpg")) == made("b.jpg", "a.png", "c_x_0.jpg")


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("Done: ![a cat](https://a/b)", ["https://a/b"]),
        ("[图片](https://a/b.JPG?x=1) and [again](https://a/b.JPG?x=1)", ["https://a/b.JPG?x=1"]),
        ("see [our rules](https://a/rules.html)", []),
        ("![a](ftp://a/b.png) ![b](javascript:x) ![c]()", []),
        ("![a](https://a/1.png)![b](http://a/2.webp)", ["https://a/1.png", "http://a/2.webp"]),
        ("nothing", []),
    ],
)
def test_images_that_are_links(text: str, urls: list[str]) -> None:
    assert [image.url for image in linked_images(text)] == urls


@pytest.mark.parametrize(
    "config",
    [
        {"style": ["油画", "水彩"]},
        {"data": {"styles": [{"name": "油画"}, {"name": "水彩"}]}},
        [{"Style_list": [{"title": "油画"}, {"title": "水彩"}, 7, None, {"title": 3}]}],
        {"a": [{"b": {"image_styles": ["油画", "水彩", ""]}}]},
    ],
)
def test_styles_are_found_in_whatever_shape(config: Any) -> None:
    assert read_styles(config) == {"油画": "油画", "水彩": "水彩"}


def test_a_style_has_several_names_and_one_that_is_sent() -> None:
    config = {"style": [{"key": "Oil", "name": "油画"}, {"value": "wc", "key": "x", "label": "水彩"}]}
    assert read_styles(config) == {"oil": "Oil", "油画": "Oil", "wc": "wc", "x": "wc", "水彩": "wc"}


def deep(levels: int) -> Any:
    value: Any = {"style": ["x"]}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize("config", [None, 1, "style", [], {}, {"style": "x"}, {"style": {"a": 1}}, deep(100)])
def test_a_config_without_styles_has_none(config: Any) -> None:
    assert read_styles(config) == {}

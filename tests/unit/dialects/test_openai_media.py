"""OpenAI's image requests and answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from lib.chat.events import ImageMade
from lib.chat.media import ImageRequest
from lib.dialects.openai_media import parse_image_request, render_images, texts_around_files
from lib.errors import InvalidRequest


def parse(**fields: Any) -> ImageRequest:
    return parse_image_request(json.dumps({"prompt": "a cat", **fields}).encode())


def test_a_prompt_is_enough() -> None:
    assert parse() == ImageRequest(prompt="a cat")


def test_all_that_changes_the_image_is_read() -> None:
    fields = {"size": "1792x1024", "quality": " HD ", "style": " 油画 ", "response_format": "b64_json"}
    assert parse(model=" cogview ", n=3, **fields) == ImageRequest(
        prompt="a cat",
        model="cogview",
        n=3,
        ratio=1.75,
        size=(1792, 1024),
        quality="hd",
        style="油画",
        form="b64_json",
    )


@pytest.mark.parametrize(
    "fields", [dict.fromkeys(("n", "size", "quality", "style", "model", "response_format", "stream"))]
)
def test_null_says_nothing(fields: dict[str, None]) -> None:
    assert parse(**fields) == ImageRequest(prompt="a cat")


def test_a_whole_number_of_images_may_be_written_as_a_float() -> None:
    assert parse(n=2.0).n == 2


@pytest.mark.parametrize("n", [0, -1, 11, 1.5, 1e300, True, "2"])
def test_any_other_number_of_images_is_named(n: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(n=n)
    assert caught.value.param == "n"


@pytest.mark.parametrize(
    ("size", "ratio"),
    [("1024x1024", 1.0), (" 512 X 1024 ", 0.5), ("16:9", 16 / 9), ("4×2", 2.0), ("6*2", 3.0), ("", None)],
)
def test_a_size_is_a_ratio(size: str, ratio: float | None) -> None:
    assert parse(size=size).ratio == ratio


@pytest.mark.parametrize(
    "size", ["x", "1024", "1024x", "0x1", "1x0", "1024x1024x3", "-1x1", "١x١x", "1" * 9 + "x1"]
)
def test_what_is_no_size_is_named(size: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse(size=size)
    assert caught.value.param == "size"


@pytest.mark.parametrize("model", ["gpt-image-2", "gpt-image-1-mini", "ChatGPT-image-latest"])
def test_openais_models_without_addresses_answer_base64(model: str) -> None:
    assert parse(model=model).form == "b64_json"
    assert parse(model=model, response_format="url").form == "url"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"prompt": null}', b'{"prompt": ""}', b'{"prompt":"\xff"}']
)
def test_every_wrong_body_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_image_request(body)


def test_addresses_are_answered_with_the_prompt_where_it_is_known() -> None:
    images = [ImageMade("https://a/0.jpg", "a fat cat"), ImageMade("https://a/1.jpg")]
    assert json.loads(render_images(images, created=7)) == {
        "created": 7,
        "data": [{"url": "https://a/0.jpg", "revised_prompt": "a fat cat"}, {"url": "https://a/1.jpg"}],
    }


@pytest.mark.parametrize("prompts", [[""], ['a "fat" cat\\'], ["", "猫\n", ""], ["x"] * 10])
def test_the_texts_around_files_make_valid_json(prompts: list[str]) -> None:
    images = [ImageMade(f"https://a/{number}.jpg", prompt) for number, prompt in enumerate(prompts)]
    texts = texts_around_files(images, created=7)
    assert len(texts) == len(images) + 1
    whole = b""
    for number, text in enumerate(texts):
        whole += text + (base64.b64encode(b"%d" % number) if number < len(images) else b"")
    answer = json.loads(whole)
    assert answer["created"] == 7
    assert [base64.b64decode(image["b64_json"]) for image in answer["data"]] == [
        b"%d" % number for number in range(len(images))
    ]
    assert [image.get("revised_prompt", "") for image in answer["data"]] == prompts


@pytest.mark.parametrize(
    ("size", "pixels"), [("1024x1792", (1024, 1792)), ("9:16", None), ("auto", None), ("1x64", (1, 64))]
)
def test_two_small_numbers_are_a_ratio_and_no_size(size: str, pixels: tuple[int, int] | None) -> None:
    assert parse(size=size).size == pixels

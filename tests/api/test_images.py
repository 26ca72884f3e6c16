"""POST /v1/images/generations over a live server, by hand and by the official SDK."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import BadRequestError, OpenAI

from lib.files.fetcher import Fetcher
from simulator.app import Simulator
from simulator.drawing import make_picture
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import KEY, Client, error_of
from tests.support.waiting import wait_until

IMAGES = "/v1/images/generations"
DRAWING = "65a232c082ff90a2ad2f15e2"


def make(client: Client, prompt: str = "a cat", **fields: Any) -> Any:
    return client.post(IMAGES, {"prompt": prompt, **fields})


def numbers_of(answer: Any) -> list[str]:
    """The number in each image's name."""
    return [image["url"].rsplit("_", 2)[1] for image in answer["data"]]


def cogviews(upstream: Upstream) -> list[Any]:
    return [body["meta_data"]["cogview"] for body in upstream.chats()]


@pytest.fixture
def cdn(upstream: Upstream, environment: pytest.MonkeyPatch) -> str:
    """Let the images be where the simulator really has them, and let the gateway go there."""
    address = urlsplit(upstream.base_url)
    upstream.sim.file_base = f"http://{address.netloc}"
    environment.setenv("FETCH_ALLOW_HOSTS", address.netloc)
    return upstream.sim.file_base


def test_the_official_sdk_makes_an_image(client: Client, upstream: Upstream) -> None:
    with OpenAI(base_url=client.url + "/v1", api_key=KEY, max_retries=0) as sdk:
        made = sdk.images.generate(model="cogview", prompt="a cat", size="1024x1024", n=2)
    assert made.data is not None
    assert [image.url and image.url.startswith("https://sfile.chatglm.cn/") for image in made.data] == [
        True,
        True,
    ]
    assert made.data[0].revised_prompt == "a cat"
    assert upstream.chats()[0]["assistant_id"] == DRAWING


def test_images_come_in_the_order_of_their_numbers(client: Client) -> None:
    answer = make(client, n=4).json()
    assert numbers_of(answer) == ["0", "1", "2", "3"]
    assert isinstance(answer["created"], int)


def test_more_images_than_one_round_makes_take_further_rounds(
    client: Client, upstream: Upstream, account: SimulatedAccount
) -> None:
    answer = make(client, "[scene:images count=2] a cat", n=5).json()
    assert numbers_of(answer) == ["0", "1", "0", "1", "0"]
    assert len({image["url"] for image in answer["data"]}) == 5
    assert len(upstream.chats()) == 3
    assert upstream.sim.account(account.uid).max_overlap == 1


def test_the_conversations_are_cleaned_up(client: Client, sim: Simulator) -> None:
    make(client, "[scene:images count=2] a cat", n=3)
    wait_until(lambda: sim.live_conversations() == [], what="both conversations are deleted")
    assert len(sim.conversations) == 2


def test_a_second_round_that_fails_leaves_the_images_of_the_first(client: Client, sim: Simulator) -> None:
    sim.play("images count=2")
    sim.play("intervene_first")
    answer = make(client, n=4)
    assert answer.status_code == 200
    assert numbers_of(answer.json()) == ["0", "1"]


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        (None, "1:1"),
        ("auto", "1:1"),
        ("1024x1024", "1:1"),
        ("1792x1024", "16:9"),
        ("1024X1792", "9:16"),
        ("1536x1024", "4:3"),
        ("1024x1536", "3:4"),
        ("16:9", "16:9"),
        ("21:9", "16:9"),
    ],
)
def test_a_size_becomes_the_nearest_ratio(
    client: Client, upstream: Upstream, size: str | None, ratio: str
) -> None:
    assert make(client, size=size).status_code == 200
    assert cogviews(upstream) == [
        {
            "aspect_ratio": ratio,
            "style": "none",
            "scene": "none",
            "chat_model": "",
            "rm_label_watermark": False,
        }
    ]


@pytest.mark.parametrize(
    ("style", "sent"),
    [("水彩", "watercolor"), ("watercolor", "watercolor"), ("vivid", "none"), ("unheard of", "unheard of")],
)
def test_a_style_is_sent_by_the_upstreams_name_for_it(
    client: Client, upstream: Upstream, style: str, sent: str
) -> None:
    assert make(client, style=style).status_code == 200
    assert cogviews(upstream)[0]["style"] == sent


def test_styles_that_cannot_be_fetched_stop_no_image(client: Client, upstream: Upstream) -> None:
    upstream.sim.fail("drawing/config", status=500, body={"status": 500, "message": "internal"})
    assert make(client, style="油画").status_code == 200
    assert cogviews(upstream)[0]["style"] == "油画"


def test_an_agent_id_as_model_draws(client: Client, upstream: Upstream) -> None:
    assert make(client, model="65c046a531d3fcb034918abe", prompt="[scene:images] x").status_code == 200
    assert upstream.chats()[0]["assistant_id"] == "65c046a531d3fcb034918abe"


def test_base64_carries_the_very_bytes(client: Client, upstream: Upstream, cdn: str) -> None:
    answer = make(client, n=2, response_format="b64_json")
    assert answer.headers["content-length"] == str(len(answer.content))
    history_id = next(iter(upstream.sim.histories))
    for number, image in enumerate(answer.json()["data"]):
        assert set(image) == {"b64_json", "revised_prompt"}
        assert base64.b64decode(image["b64_json"]) == make_picture(f"{history_id}_{number}_0.jpg")


def test_a_model_of_openai_that_knows_no_addresses_answers_base64(client: Client, cdn: str) -> None:
    with OpenAI(base_url=client.url + "/v1", api_key=KEY, max_retries=0) as sdk:
        made = sdk.images.generate(model="gpt-image-2", prompt="a cat")
    assert made.data is not None
    assert base64.b64decode(made.data[0].b64_json or "").startswith(b"\x89PNG")


def test_the_account_is_free_before_the_images_are_fetched(
    client: Client, sim: Simulator, cdn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch, left = Fetcher.fetch, []

    def watched(self: Fetcher, url: str, *, max_bytes: int) -> Any:
        left.append(sim.live_conversations())
        return fetch(self, url, max_bytes=max_bytes)

    monkeypatch.setattr(Fetcher, "fetch", watched)
    assert make(client, response_format="b64_json").status_code == 200
    assert left == [[]]


def test_an_image_that_cannot_be_fetched_is_the_upstreams_fault(
    client: Client, upstream: Upstream, cdn: str
) -> None:
    upstream.sim.fail("testpath", status=404)
    answer = make(client, response_format="b64_json")
    assert answer.status_code == 502
    assert error_of(answer)["code"] == "upstream_error"


def test_the_image_server_is_guarded_too(client: Client, upstream: Upstream) -> None:
    upstream.sim.file_base = "http://127.0.0.1:1"
    answer = make(client, response_format="b64_json")
    assert answer.status_code == 502
    assert "not a public host" in error_of(answer)["message"]


@pytest.mark.parametrize("scene", ["intervene_first", "intervene"])
def test_what_moderation_withdraws_is_a_bad_request(client: Client, sim: Simulator, scene: str) -> None:
    sdk = OpenAI(base_url=client.url + "/v1", api_key=KEY, max_retries=0)
    with sdk, pytest.raises(BadRequestError) as caught:
        sdk.images.generate(prompt=f"[scene:{scene}] x")
    assert caught.value.code == "content_policy_violation"
    assert "抱歉，这个问题我无法回答" in caught.value.message


@pytest.mark.parametrize(
    ("scene", "words"),
    [("images_none", "finished without an answer"), ("default", "I am the demo simulator")],
)
def test_no_image_is_an_error_with_the_upstreams_words(client: Client, scene: str, words: str) -> None:
    answer = make(client, f"[scene:{scene}] x")
    assert answer.status_code == 502
    assert words in error_of(answer)["message"]


@pytest.mark.parametrize(("scene", "count"), [("images_old", 2), ("images_as_links", 1)])
def test_the_older_forms_of_an_answer_have_images_too(client: Client, scene: str, count: int) -> None:
    assert len(make(client, f"[scene:{scene}] x", n=count).json()["data"]) == count


def test_another_account_draws_where_one_is_throttled(
    client: Client, upstream: Upstream, account: SimulatedAccount, environment: pytest.MonkeyPatch
) -> None:
    other = upstream.add_account()
    environment.setenv("CHATGLM_REFRESH_TOKENS", f"{account.token},{other.token}")
    upstream.sim.play("throttled_429", uid=account.uid)
    upstream.sim.play("throttled_429", uid=account.uid)
    assert make(client).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"size": "big"}, "size"),
        ({"size": "0x100"}, "size"),
        ({"response_format": "png"}, "response_format"),
        ({"stream": True}, "stream"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": 5}, "prompt"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    client: Client, upstream: Upstream, fields: dict[str, Any], param: str
) -> None:
    answer = make(client, **fields)
    assert answer.status_code == 400
    assert error_of(answer)["param"] == param
    assert upstream.chats() == []


def test_fields_that_mean_nothing_up_there_are_accepted(client: Client) -> None:
    fields: dict[str, Any] = {
        "quality": "hd",
        "user": "me",
        "background": "auto",
        "n": None,
        "moderation": "low",
    }
    assert make(client, **fields).status_code == 200


def test_a_drawing_agent_in_chat_answers_with_markdown_images(client: Client, upstream: Upstream) -> None:
    text = client.text("a cat", model=DRAWING)
    assert text.count("![image](https://sfile.chatglm.cn/testpath/") == 4
    streamed = client.stream("a cat", model=DRAWING)
    assert streamed.text.count("![image](https://sfile.chatglm.cn/testpath/") == 4
    assert upstream.chats()[0]["meta_data"]["cogview"] == {"rm_label_watermark": False}

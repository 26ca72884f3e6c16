"""Images by the official API's models, beside the account's."""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from openai import OpenAI

from simulator.drawing import make_picture
from simulator.official.app import Official
from simulator.official.errors import error_body
from simulator.official.server import OfficialServer
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import Client, error_of

IMAGES = "/v1/images/generations"


@pytest.fixture
def files(official: Official, official_server: OfficialServer, environment: pytest.MonkeyPatch) -> Any:
    """Let pictures be where the simulator really has them, and let the gateway go there."""
    address = urlsplit(official_server.base_url).netloc
    before, official.file_base = official.file_base, f"http://{address}"
    environment.setenv("FETCH_ALLOW_HOSTS", address)
    yield official.file_base
    official.file_base = before


def draw(
    client: Client, model: str = "cogview-3-flash", prompt: str = "a cat", **fields: Any
) -> httpx.Response:
    return client.post(IMAGES, {"model": model, "prompt": prompt, **fields})


def bodies(official: Official) -> list[Any]:
    return [call.json for call in official.calls_to("images/generations")]


def test_an_image_is_an_address(official_client: Client, official: Official) -> None:
    answer = draw(official_client, "glm-image")
    assert answer.status_code == 200, answer.text
    [image] = answer.json()["data"]
    assert image["url"].startswith(f"{official.file_base}/testpath/")
    assert answer.headers["x-glm-model"] == "glm-image"
    assert bodies(official) == [{"model": "glm-image", "prompt": "a cat"}]


def test_an_image_itself_is_fetched_by_the_gateway(official_client: Client, files: str) -> None:
    answer = draw(official_client, response_format="b64_json")
    assert answer.status_code == 200, answer.text
    [image] = answer.json()["data"]
    assert b64decode(image["b64_json"]).startswith(make_picture("x")[:8])
    assert files


@pytest.mark.parametrize(
    "url",
    [
        "{server}/testpath/a.png",
        "http://169.254.169.254/latest/meta-data/",
        "http://example.com@127.0.0.1/",
        "file:///etc/passwd",
        "data:image/png;base64,AAAA",
    ],
)
def test_an_image_at_a_private_address_is_not_fetched(
    official_client: Client, official: Official, official_server: OfficialServer, url: str
) -> None:
    address = url.format(server=f"http://{urlsplit(official_server.base_url).netloc}")
    official.fail("images/generations", status=200, body={"data": [{"url": address}]})
    refused = draw(official_client, response_format="b64_json")
    assert (refused.status_code, error_of(refused)["code"]) == (502, "upstream_error")


def test_several_images_are_several_calls(official_client: Client, official: Official) -> None:
    answer = draw(official_client, n=3)
    assert len({image["url"] for image in answer.json()["data"]}) == 3
    assert len(bodies(official)) == 3


def test_fewer_images_if_one_fails_and_an_error_if_all_do(
    official_client: Client, official: Official
) -> None:
    official.fail("images/generations", status=400, body=error_body("1214"))
    assert len(draw(official_client, n=2).json()["data"]) == 1
    official.fail("images/generations", status=400, body=error_body("1214"), times=2)
    assert draw(official_client, n=2).status_code == 400


@pytest.mark.parametrize(
    ("model", "fields", "sent"),
    [
        ("cogview-4", {"size": "1024x1792", "quality": "hd"}, {"size": "1024x1792", "quality": "hd"}),
        ("cogview-4", {"size": "256x256", "quality": "low"}, {"size": "512x512", "quality": "standard"}),
        ("cogview-4", {"size": "16:9"}, {"size": "1344x768"}),
        ("cogview-4", {"size": "auto", "quality": "auto"}, {}),
        ("glm-image", {"size": "512x512", "quality": "standard"}, {"size": "1024x1024"}),
        ("glm-image", {"size": "9:16"}, {"size": "960x1728"}),
    ],
)
def test_the_nearest_size_that_the_model_takes(
    official_client: Client, official: Official, model: str, fields: Any, sent: Any
) -> None:
    assert draw(official_client, model, **fields).status_code == 200
    assert bodies(official) == [{"model": model, "prompt": "a cat", **sent}]


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("dall-e-3", "cogview-3-flash"),
        ("CogView-4", "cogview-4"),
        ("api/cogview-4-250304", "cogview-4-250304"),
    ],
)
def test_without_an_account_every_name_is_served(
    official_client: Client, official: Official, name: str, served: str
) -> None:
    assert draw(official_client, name).status_code == 200
    assert bodies(official)[0]["model"] == served


def test_a_refused_prompt_is_named_as_for_all_images(official_client: Client) -> None:
    refused = draw(official_client, prompt="[scene:error code=1301]")
    error = error_of(refused)
    assert (refused.status_code, error["code"], error["param"]) == (400, "content_policy_violation", "prompt")


@pytest.fixture
def both(official_client: Client, account: SimulatedAccount, environment: pytest.MonkeyPatch) -> Client:
    """Give the owner's client of a gateway with an account and a key."""
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    return official_client


@pytest.mark.parametrize(
    ("model", "is_official"),
    [("cogview-4", True), ("api/cogview-3-flash", True), ("cogview", False), ("web/cogview-4", False)],
)
def test_with_both_the_name_chooses(
    both: Client, official: Official, upstream: Upstream, model: str, *, is_official: bool
) -> None:
    answer = draw(both, model)
    assert answer.status_code == 200
    assert answer.headers["x-glm-upstream"] == ("api" if is_official else "web")
    assert (len(bodies(official)), len(upstream.chats())) == ((1, 0) if is_official else (0, 1))


def test_an_agents_id_may_stand_after_web(both: Client, upstream: Upstream) -> None:
    agent = "65a232c082ff90a2ad2f15e2"
    assert draw(both, f"web/{agent}").status_code == 200
    assert upstream.chats()[0]["assistant_id"] == agent


def test_with_an_account_alone_it_draws_whatever_the_name(client: Client, upstream: Upstream) -> None:
    assert draw(client, "cogview-4").status_code == 200
    assert len(upstream.chats()) == 1
    refused = draw(client, "api/cogview-4")
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    assert "GLM_API_KEYS" in error_of(refused)["message"]


def test_without_an_account_the_web_is_not_there(official_client: Client) -> None:
    refused = draw(official_client, "web/cogview")
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    assert "CHATGLM_REFRESH_TOKENS" in error_of(refused)["message"]


@pytest.mark.parametrize("body", [{"data": []}, {"data": [{"url": "ftp://x"}]}, {"images": []}])
def test_an_answer_without_an_image_is_an_error(
    official_client: Client, official: Official, body: Any
) -> None:
    official.fail("images/generations", status=200, body=body)
    assert draw(official_client).status_code == 502


def test_the_sdk_draws(sdk: OpenAI, files: str) -> None:
    made = sdk.images.generate(model="cogview-3-flash", prompt="a cat", size="1024x1024")
    assert made.data is not None
    assert (made.data[0].url or "").startswith(files)
    made = sdk.images.generate(model="glm-image", prompt="a cat", response_format="b64_json")
    assert made.data is not None
    assert b64decode(made.data[0].b64_json or "")

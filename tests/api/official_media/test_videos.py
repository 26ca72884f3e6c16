"""Videos by the official API's models, beside the account's."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import httpx
import pytest
from openai import OpenAI

from lib.upstreams.official.wire.keys import Key
from simulator.drawing import make_picture
from simulator.official.app import Official
from simulator.official.errors import error_body
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import Client, error_of
from tests.support.live import LiveGateway

VIDEOS, GENERATIONS = "/v1/videos", "/v1/videos/generations"
AT_ONCE = "[scene:order polls=0] a cat"
LATER = "[scene:order polls=99] a cat"

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


def order(client: Client, prompt: str = AT_ONCE, **fields: Any) -> httpx.Response:
    return client.post(VIDEOS, {"model": "cogvideox-flash", "prompt": prompt, **fields})


def ordered(client: Client, prompt: str = AT_ONCE, **fields: Any) -> str:
    answer = order(client, prompt, **fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def orders(official: Official) -> list[Any]:
    return [call.json for call in official.calls_to("videos/generations")]


def polls(official: Official) -> int:
    return sum(call.path.startswith("async-result/") for call in official.calls)


def test_a_video_is_ordered_and_asked_for(
    official_client: Client, official: Official, official_key: str
) -> None:
    answer = order(official_client)
    assert (answer.json()["status"], answer.json()["model"]) == ("queued", "cogvideox-flash")
    assert answer.headers["x-glm-upstream"] == "api"
    assert answer.headers["x-glm-model"] == "cogvideox-flash"
    assert answer.headers["x-glm-account"] == Key(official_key).label
    video_id = answer.json()["id"]
    looked = official_client.get(f"{VIDEOS}/{video_id}")
    assert looked.headers["x-glm-upstream"] == "api"
    seen = looked.json()
    assert (seen["status"], seen["progress"], seen["id"]) == ("completed", 100, video_id)
    assert orders(official) == [{"model": "cogvideox-flash", "prompt": AT_ONCE}]
    content = official_client.get(f"{VIDEOS}/{video_id}/content")
    assert content.status_code == 302
    assert content.headers["location"].endswith(".mp4")
    thumbnail = official_client.get(f"{VIDEOS}/{video_id}/content?variant=thumbnail")
    assert thumbnail.headers["location"].endswith(".png")
    assert polls(official) == 1, "the end is known"


def test_the_older_form_waits_for_the_video(official_client: Client) -> None:
    body = {"model": "cogvideox-3", "prompt": AT_ONCE, "size": "1920x1080", "duration": 10}
    answer = official_client.post(GENERATIONS, body)
    assert answer.status_code == 200, answer.text
    [video] = answer.json()["data"]
    assert video["video_url"].endswith(".mp4")
    assert (video["video_duration"], video["resolution"]) == ("10s", "1920x1080")


def test_one_that_is_not_done_is_in_progress(official_client: Client, official: Official) -> None:
    video_id = ordered(official_client, LATER)
    for _ in range(3):
        assert official_client.get(f"{VIDEOS}/{video_id}").json()["status"] == "in_progress"
    assert polls(official) == 1, "the API is asked once in two seconds"
    early = official_client.get(f"{VIDEOS}/{video_id}/content")
    assert (early.status_code, error_of(early)["code"]) == (404, "video_not_ready")


def test_one_that_failed_says_so(official_client: Client) -> None:
    video_id = ordered(official_client, "[scene:order polls=0 fails=1] a cat")
    seen = official_client.get(f"{VIDEOS}/{video_id}")
    assert seen.status_code == 200
    assert (seen.json()["status"], seen.json()["error"]["code"]) == ("failed", "upstream_error")


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        (
            {"model": "cogvideox-3", "seconds": "8", "size": "1792x1024"},
            {"duration": 10, "size": "1920x1080"},
        ),
        ({"model": "cogvideox-3", "seconds": "4", "size": "720x1280"}, {"duration": 5, "size": "720x1280"}),
        ({"model": "viduq1-text", "seconds": "8", "size": "720x1280"}, {}),
    ],
)
def test_the_nearest_size_and_length_are_ordered(
    official_client: Client, official: Official, fields: Any, sent: Any
) -> None:
    ordered(official_client, **fields)
    assert orders(official) == [{"model": fields["model"], "prompt": AT_ONCE, **sent}]


def test_the_older_form_passes_its_wishes_on(official_client: Client, official: Official) -> None:
    wishes = {"quality": "quality", "fps": 60, "with_audio": True, "image_url": "https://a/b.png"}
    body = {"model": "cogvideox-3", "prompt": LATER, "wait": 0, **wishes}
    assert official_client.post(GENERATIONS, body).status_code == 202
    assert orders(official) == [{"model": "cogvideox-3", "prompt": LATER, **wishes}]
    frames = ["https://a/1.png", "https://a/2.png"]
    body = {"model": "api/cogvideox-3", "prompt": LATER, "wait": 0, "image_url": frames}
    assert official_client.post(GENERATIONS, body).status_code == 202
    assert orders(official)[1]["image_url"] == frames


@pytest.mark.parametrize(
    ("field", "value"),
    [("video_style", "油画"), ("mirror_mode", "水平"), ("conversation_id", "c"), ("quality", "best")],
)
def test_a_wish_that_the_api_does_not_know_is_refused(
    official_client: Client, official: Official, field: str, value: str
) -> None:
    body = {"model": "cogvideox-3", "prompt": LATER, "wait": 0, field: value}
    refused = official_client.post(GENERATIONS, body)
    assert (refused.status_code, error_of(refused)["param"]) == (400, field)
    assert official.calls == []


def test_an_uploaded_frame_is_sent_within_the_order(official_client: Client, official: Official) -> None:
    files = {"input_reference": ("f.png", make_picture("frame"), "image/png")}
    data = {"model": "cogvideox-3", "prompt": "a cat"}
    answer = official_client.request("POST", VIDEOS, data=data, files=files)
    assert answer.status_code == 200, answer.text
    [sent] = orders(official)
    head, _, encoded = sent["image_url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert b64decode(encoded).startswith(b"\xff\xd8")


def test_a_frame_of_more_than_five_megabytes_is_refused(official_client: Client, official: Official) -> None:
    url = "data:image/png;base64," + "A" * (7 * 1024 * 1024)
    refused = order(official_client, model="cogvideox-3", input_reference={"image_url": url})
    assert (refused.status_code, error_of(refused)["code"]) == (400, "invalid_file")
    assert official.calls == []


@pytest.mark.parametrize("status", [500, 503])
def test_an_order_that_breaks_down_is_one_call_and_not_repeated(
    official_client: Client, official: Official, status: int
) -> None:
    official.fail("videos/generations", status=status, body=error_body("500"), times=9)
    refused = order(official_client)
    assert (refused.status_code, error_of(refused)["code"]) == (502, "upstream_error")
    assert refused.headers["x-should-retry"] == "false"
    assert "not ordered again" in error_of(refused)["message"]
    assert len(orders(official)) == 1


def test_an_order_whose_answer_is_lost_is_not_repeated(official_client: Client, official: Official) -> None:
    official.fail("videos/generations", disconnect=True, times=9)
    refused = order(official_client)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (502, "false")
    again = order(official_client, LATER)
    assert again.status_code == 502
    assert len(orders(official)) == 2


def test_a_repeated_order_gets_the_first_ones_video(official_client: Client, official: Official) -> None:
    headers = {"idempotency-key": "one"}
    body = {"model": "cogvideox-flash", "prompt": LATER}
    first, second = (official_client.post(VIDEOS, body, headers=headers).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert len(orders(official)) == 1


def test_a_refused_prompt_is_named_as_for_all_videos(official_client: Client) -> None:
    refused = order(official_client, "[scene:error code=1301]")
    error = error_of(refused)
    assert (refused.status_code, error["code"], error["param"]) == (400, "content_policy_violation", "prompt")


def test_a_second_key_orders_if_the_first_is_refused(
    official_client: Client, official: Official, official_key: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("GLM_API_KEYS", f"{official.add_key(refused='1003')},{official_key}")
    video_id = ordered(official_client)
    assert official_client.get(f"{VIDEOS}/{video_id}").json()["status"] == "completed"


def test_another_keys_video_is_not_found(
    official_client: Client, official: Official, gateway: LiveGateway, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    video_id = ordered(official_client)
    other = Client(official_client._http, gateway.url, official.add_key())
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        refused = other.request(method, f"{VIDEOS}/{video_id}{path}")
        assert (refused.status_code, error_of(refused)["param"]) == (404, "video_id")
    assert polls(official) == 0


def test_a_deleted_video_is_gone(official_client: Client) -> None:
    video_id = ordered(official_client)
    deleted = official_client.request("DELETE", f"{VIDEOS}/{video_id}")
    assert deleted.json() == {"id": video_id, "object": "video.deleted", "deleted": True}
    assert official_client.get(f"{VIDEOS}/{video_id}").status_code == 404


@pytest.fixture
def both(official_client: Client, account: SimulatedAccount, environment: pytest.MonkeyPatch) -> Client:
    """Give the owner's client of a gateway with an account and a key."""
    environment.setenv("CHATGLM_REFRESH_TOKENS", account.token)
    return official_client


@pytest.mark.parametrize(
    ("model", "is_official"),
    [
        ("cogvideox-3", True),
        ("api/cogvideox-flash", True),
        ("cogvideox", False),
        ("web/cogvideox-3", False),
        ("sora-2", False),
    ],
)
def test_with_both_the_name_chooses_and_the_id_knows(
    both: Client, official: Official, upstream: Upstream, model: str, *, is_official: bool
) -> None:
    answer = both.post(GENERATIONS, {"model": model, "prompt": "a cat", "wait": 0}).json()
    assert answer["model"] == model
    assert (len(orders(official)), len(upstream.sim.videos)) == ((1, 0) if is_official else (0, 1))
    seen = both.get(f"{GENERATIONS}/{answer['id']}")
    assert (seen.status_code, seen.json()["model"]) == (200, model)


@pytest.mark.parametrize("name", ["cogvideox", "cogvideox-pro", "sora-2"])
def test_without_an_account_every_name_is_served(
    official_client: Client, official: Official, name: str
) -> None:
    assert order(official_client, LATER, model=name).json()["model"] == name
    assert orders(official)[0]["model"] == "cogvideox-flash"


def test_a_name_of_an_upstream_that_is_not_there_is_not_known(
    official_client: Client, client: Client, environment: pytest.MonkeyPatch
) -> None:
    environment.delenv("CHATGLM_REFRESH_TOKENS")
    refused = order(official_client, model="web/cogvideox")
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")
    environment.delenv("GLM_API_KEYS")
    refused = order(client, model="api/cogvideox-3")
    assert (refused.status_code, error_of(refused)["code"]) == (404, "model_not_found")


def test_an_id_that_none_made_is_not_found(official_client: Client) -> None:
    refused = official_client.get(f"{VIDEOS}/video_abc")
    assert (refused.status_code, error_of(refused)["param"]) == (404, "video_id")


def test_a_task_that_the_api_lost_has_failed(official_client: Client, official: Official) -> None:
    video_id = ordered(official_client)
    official.orders.clear()
    assert official_client.get(f"{VIDEOS}/{video_id}").json()["status"] == "failed"


@pytest.mark.parametrize(
    "body", [{"task_status": "SUCCESS"}, {"task_status": "SUCCESS", "video_result": [{}]}]
)
def test_a_finished_video_without_an_address_has_failed(
    official_client: Client, official: Official, body: Any
) -> None:
    video_id = ordered(official_client)
    [task_id] = official.orders
    official.fail(task_id, status=200, body=body)
    assert official_client.get(f"{VIDEOS}/{video_id}").json()["status"] == "failed"


@pytest.mark.parametrize("body", [{}, {"id": "a/../b"}, {"id": 7}])
def test_an_order_without_an_id_may_have_begun(
    official_client: Client, official: Official, body: Any
) -> None:
    official.fail("videos/generations", status=200, body=body)
    refused = order(official_client)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (502, "false")


def test_the_sdk_makes_a_video(sdk: OpenAI) -> None:
    video = sdk.videos.create_and_poll(model="cogvideox-3", prompt=AT_ONCE, seconds="8", size="1280x720")
    assert (video.status, video.seconds, video.size) == ("completed", "10", "1280x720")
    assert sdk.videos.delete(video.id).deleted

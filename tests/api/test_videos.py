"""Videos over a live server: the older bridges' endpoint, OpenAI's own by hand and by the official SDK."""

from __future__ import annotations

import base64
import struct
import time
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from openai import NotFoundError, OpenAI

from simulator.app import Simulator
from simulator.drawing import make_picture
from simulator.videos import Video, jpeg_size
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import KEY, Client, error_of
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

GENERATIONS = "/v1/videos/generations"
VIDEOS = "/v1/videos"
CREATE = "video-api/v1/chat"
STATUS = "chat/status/{chat_id}"
DELETE = "v1/chat/{chat_id}"
QUICK = "[scene:video] a cat"
"""Done when it is asked for the first time."""
LONG = "[scene:video queue=99] a cat"

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest.fixture
def sdk(client: Client) -> Any:
    with OpenAI(base_url=client.url + "/v1", api_key=KEY, max_retries=2) as opened:
        yield opened


@pytest.fixture
def cdn(upstream: Upstream, environment: pytest.MonkeyPatch) -> str:
    """Let files be where the simulator really has them, and let the gateway go there."""
    address = urlsplit(upstream.base_url)
    upstream.sim.file_base = f"http://{address.netloc}"
    environment.setenv("FETCH_ALLOW_HOSTS", address.netloc)
    return upstream.sim.file_base


def order(client: Client, prompt: str = QUICK, **fields: Any) -> Any:
    return client.post(GENERATIONS, {"model": "cogvideox", "prompt": prompt, **fields})


def begin(client: Client, prompt: str = QUICK, **fields: Any) -> str:
    """Order a video without waiting for it; return its id."""
    answer = order(client, prompt, wait=0, **fields)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def look(client: Client, video_id: str) -> Any:
    return client.get(f"{GENERATIONS}/{video_id}")


def only_video(sim: Simulator) -> Video:
    (video,) = sim.videos.values()
    return video


def orders(upstream: Upstream) -> int:
    return sum(call.method == "POST" for call in upstream.sim.calls_to(CREATE))


# Waiting and asking


def test_a_video_that_is_done_in_time_is_the_answer(client: Client, sim: Simulator) -> None:
    answer = order(client)
    assert answer.status_code == 200
    assert answer.headers["x-glm-upstream"] == "web"
    body = answer.json()
    video = only_video(sim)
    assert body["data"] == [
        {
            "conversation_id": video.conversation_id,
            "cover_url": f"https://sfile.chatglm.cn/testpath/{video.id}_cover.png",
            "video_url": f"https://sfile.chatglm.cn/testpath/{video.id}.mp4",
            "video_duration": "6s",
            "resolution": "1440 × 960",
        }
    ]
    assert (body["status"], body["model"]) == ("completed", "cogvideox")
    assert abs(body["created"] - time.time()) < 60


def test_one_that_is_not_done_in_time_is_answered_with_its_id(client: Client) -> None:
    began_at = time.monotonic()
    answer = order(client, LONG, wait=0.3)
    assert time.monotonic() - began_at < 2
    assert answer.status_code == 202
    body = answer.json()
    assert body["id"].startswith("video_")
    assert (body["object"], body["status"], body["progress"], body["model"]) == (
        "video",
        "queued",
        0,
        "cogvideox",
    )


def test_wait_0_answers_before_the_upstream_was_asked_once(client: Client, upstream: Upstream) -> None:
    begin(client, LONG)
    assert upstream.sim.videos
    assert only_video(upstream.sim).polls == 0


def test_the_hosts_deadline_ends_the_waiting(client: Client, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAX_DURATION_S", "0.5")
    assert order(client, LONG).status_code == 202


def test_the_upstream_is_asked_once_in_two_seconds_however_many_ask(client: Client, sim: Simulator) -> None:
    video_id = begin(client, LONG)
    for _ in range(8):
        assert look(client, video_id).json()["status"] == "queued"
    assert only_video(sim).polls == 1


def test_a_finished_video_is_not_asked_for_again(client: Client, sim: Simulator) -> None:
    video_id = begin(client)
    answers = [look(client, video_id).json() for _ in range(4)]
    assert {answer["status"] for answer in answers} == {"completed"}
    assert only_video(sim).polls == 1


def test_another_instance_with_other_accounts_beside_goes_on(
    client: Client,
    upstream: Upstream,
    account: SimulatedAccount,
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    environment.setenv("STORE_URL", f"sqlite:///{tmp_path}/state.db")
    video_id = begin(client)
    # Other settings are another gateway: all it shares with the first one is the store.
    other = upstream.add_account()
    environment.setenv("CHATGLM_REFRESH_TOKENS", f"{other.token},{account.token}")
    body = look(client, video_id).json()
    assert body["status"] == "completed"
    assert body["data"][0]["conversation_id"].endswith(f"-{account.label}")


# How it may fail


@pytest.mark.parametrize(
    ("scene", "status", "code"),
    [("video_moderated", 400, "content_policy_violation"), ("video_failed", 502, "upstream_error")],
)
def test_a_failure_is_told_to_who_waits_and_to_who_asks(
    client: Client, scene: str, status: int, code: str
) -> None:
    waited = order(client, f"[scene:{scene}] a cat")
    assert (waited.status_code, error_of(waited)["code"]) == (status, code)
    asked = look(client, begin(client, f"[scene:{scene}] a cat")).json()
    assert (asked["status"], asked["error"]["code"]) == ("failed", code)
    assert "生成失败" in asked["error"]["message"]


def test_an_order_that_moderation_refuses_is_a_bad_request(client: Client) -> None:
    answer = order(client, "[scene:video_refused] a cat")
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "content_policy_violation"
    assert "违规" in error_of(answer)["message"]


def test_a_poll_that_fails_is_an_error_and_loses_nothing(client: Client, sim: Simulator) -> None:
    video_id = begin(client)
    sim.fail(STATUS, status=500, body={"status": 500, "message": "internal server error"})
    assert look(client, video_id).status_code == 502
    assert look(client, video_id).json()["status"] == "queued"  # asked again in two seconds, not at once
    wait_until(lambda: look(client, video_id).json()["status"] == "completed")


# Never twice


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 502, "body": "<html>bad gateway</html>", "content_type": "text/html"},
        {"disconnect": True},
        {"status": 200, "body": {"status": 0, "result": None}},
    ],
)
def test_an_order_whose_answer_is_lost_is_not_repeated_by_anybody(
    client: Client, upstream: Upstream, sdk: OpenAI, fault: dict[str, Any]
) -> None:
    upstream.sim.fail(CREATE, **fault)
    with pytest.raises(Exception, match="not known whether a video was begun") as caught:
        sdk.videos.create(prompt=QUICK)
    assert orders(upstream) == 1
    assert getattr(caught.value, "status_code", None) == 502


def test_a_repeated_order_whose_first_was_lost_is_refused(client: Client, upstream: Upstream) -> None:
    upstream.sim.fail(CREATE, disconnect=True)
    assert order(client, wait=0).status_code == 502
    # The first attempt is over, so there is nothing to wait for.
    headers = {"x-stainless-retry-count": "1"}
    again = client.post(GENERATIONS, {"model": "cogvideox", "prompt": QUICK, "wait": 0}, headers=headers)
    assert again.status_code == 502
    assert "not ordered again" in error_of(again)["message"]
    assert orders(upstream) == 1


def test_a_repeated_request_gets_the_video_of_the_first(client: Client, upstream: Upstream) -> None:
    first = begin(client)
    body = {"model": "cogvideox", "prompt": QUICK, "wait": 0}
    again = client.post(GENERATIONS, body, headers={"x-stainless-retry-count": "1"})
    assert again.json()["id"] == first
    assert orders(upstream) == 1
    second_wish = client.post(GENERATIONS, body)
    assert second_wish.json()["id"] != first
    assert orders(upstream) == 2


def test_an_idempotency_key_names_one_video(client: Client, upstream: Upstream) -> None:
    bodies = [{"model": "cogvideox", "prompt": QUICK, "wait": wait} for wait in (0, 0.01, None)]
    answers = [client.post(GENERATIONS, body, headers={"idempotency-key": "k1"}) for body in bodies]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert orders(upstream) == 1


@pytest.mark.parametrize(
    ("path", "other"),
    [
        (GENERATIONS, {"json": {"prompt": QUICK + "!", "wait": 0}}),
        (GENERATIONS, {"json": {"prompt": QUICK, "model": "cogvideox-pro", "wait": 0}}),
        (VIDEOS, {"json": {"prompt": QUICK + "!"}}),
        (VIDEOS, {"data": {"prompt": QUICK}, "files": {"input_reference": ("a.png", make_picture("x"))}}),
    ],
)
def test_an_idempotency_key_is_refused_with_another_body(
    client: Client, upstream: Upstream, path: str, other: dict[str, Any]
) -> None:
    headers = {"idempotency-key": "k1"}
    first = client.post(
        path, {"prompt": QUICK} | ({"wait": 0} if path == GENERATIONS else {}), headers=headers
    )
    assert first.is_success
    refused = client._http.post(
        client.url + path, headers={**headers, "authorization": f"Bearer {KEY}"}, **other
    )
    assert refused.status_code == 409
    assert refused.headers["x-should-retry"] == "false"  # OpenAI's SDKs repeat a 409.
    error = error_of(refused)
    assert (error["type"], error["code"]) == ("invalid_request_error", "idempotency_key_reused")
    assert QUICK not in error["message"]
    assert orders(upstream) == 1


def test_a_client_that_leaves_in_mid_order_finds_its_video_by_repeating(
    client: Client, upstream: Upstream, gateway: LiveGateway
) -> None:
    upstream.sim.fail(CREATE, delay_s=0.3)
    body = {"model": "cogvideox", "prompt": QUICK, "wait": 0}
    with RawClient(gateway.url) as raw:
        raw.post(GENERATIONS, body, authorization=f"Bearer {KEY}")
        wait_until(lambda: orders(upstream) == 1)
        raw.leave()
    wait_until(lambda: upstream.sim.videos)
    again = client.post(GENERATIONS, body, headers={"x-stainless-retry-count": "1"})
    assert again.status_code == 202
    assert orders(upstream) == 1


def test_an_order_that_one_account_refuses_goes_to_another(
    client: Client, upstream: Upstream, account: SimulatedAccount, environment: pytest.MonkeyPatch
) -> None:
    other = upstream.add_account()
    environment.setenv("CHATGLM_REFRESH_TOKENS", f"{account.token},{other.token}")
    throttled = {"status": 10061, "message": "请求过于频繁，请稍后再试"}
    upstream.sim.fail(CREATE, status=429, body=throttled)
    begin(client)
    assert orders(upstream) == 2
    assert len(upstream.sim.videos) == 1


def test_a_throttle_of_the_only_account_is_told(client: Client, upstream: Upstream) -> None:
    upstream.sim.fail(CREATE, status=429, body={"status": 10061, "message": "请求过于频繁，请稍后再试"})
    answer = order(client)
    assert answer.status_code == 429
    assert "x-should-retry" not in answer.headers
    assert orders(upstream) == 1


# Whose it is


def test_an_id_opens_nothing_for_anybody_else(
    client: Client, upstream: Upstream, account: SimulatedAccount, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("API_KEYS", f"{KEY},sk-another")
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    video_id = begin(client)
    stranger = upstream.add_account()
    for credential in ("sk-another", stranger.token, account.token):
        other = Client(client._http, client.url, credential)
        for method, path in (
            ("GET", f"{GENERATIONS}/{video_id}"),
            ("GET", f"{VIDEOS}/{video_id}"),
            ("GET", f"{VIDEOS}/{video_id}/content"),
            ("DELETE", f"{VIDEOS}/{video_id}"),
        ):
            answer = other.request(method, path)
            assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found"), (credential, path)
    assert only_video(upstream.sim).polls == 0
    assert look(client, video_id).json()["status"] == "completed"


def test_an_id_that_was_changed_opens_nothing(client: Client, upstream: Upstream) -> None:
    video_id = begin(client, LONG)
    middle = len(video_id) // 2
    forged = [
        video_id[:middle] + ("A" if video_id[middle] != "A" else "B") + video_id[middle + 1 :],
        video_id[:-4] + "AAAA",
        video_id[:-24],
        video_id + "AAAA",
        "video_",
        "video_AAAA",
        "video_" + "A" * 5000,
        "video_" + base64.urlsafe_b64encode(b"\x96" * 40).decode(),
        "video_é",
        only_video(upstream.sim).id,
        "generations",
    ]
    for video_id in forged:
        assert look(client, video_id).status_code == 404, video_id
    assert only_video(upstream.sim).polls == 0


def test_a_caller_with_its_own_token_finds_its_videos_again(
    gateway: LiveGateway, upstream: Upstream, client: Client, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("ALLOW_PASSTHROUGH", "true")
    mine, another = upstream.add_account(), upstream.add_account()
    video_id = begin(Client(client._http, client.url, mine.token))
    both = Client(client._http, client.url, f"{another.token},{mine.token}")
    assert look(both, video_id).json()["status"] == "completed"


# What it is made of


def test_the_upstreams_words_are_passed_on(client: Client, sim: Simulator) -> None:
    begin(client, video_style="油画", emotional_atmosphere="生动活泼", mirror_mode="推近")
    assert only_video(sim).extra == {
        "video_style": "油画",
        "emotional_atmosphere": "生动活泼",
        "mirror_mode": "推近",
    }


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"video_style": "cartoon"}, "video_style", "卡通3D, 黑白老照片, 油画, 电影感"),
        ({"emotional_atmosphere": "x"}, "emotional_atmosphere", "温馨和谐, 生动活泼, 紧张刺激, 凄凉寂寞"),
        ({"mirror_mode": "x"}, "mirror_mode", "水平, 垂直, 推近, 拉远"),
        ({"audio_id": "epic"}, "audio_id", "<key>-<id>"),
        ({"wait": -1}, "wait", "seconds"),
        ({"prompt": ""}, "prompt", "description"),
        ({"model": "m" * 65}, "model", "64"),
    ],
)
def test_what_is_none_of_the_upstreams_words_is_refused(
    client: Client, upstream: Upstream, fields: dict[str, Any], param: str, words: str
) -> None:
    answer = order(client, **fields)
    assert answer.status_code == 400
    assert error_of(answer)["param"] == param
    assert words in error_of(answer)["message"]
    assert orders(upstream) == 0


def data_url(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def tall_picture() -> bytes:
    head = struct.pack(">IIBBBBB", 100, 400, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x20\x40\x60" * 100) * 400
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def frame_sizes(upstream: Upstream) -> list[tuple[int, int] | None]:
    return [jpeg_size(call.raw) for call in upstream.sim.calls_to("static/upload")]


@pytest.mark.parametrize(("picture", "height"), [(make_picture("x"), 960), (tall_picture(), 960)])
def test_a_first_frame_is_scaled_cropped_and_uploaded(
    client: Client, upstream: Upstream, picture: bytes, height: int
) -> None:
    begin(client, image_url=data_url(picture))
    assert frame_sizes(upstream) == [(1440, height)]
    assert len(only_video(upstream.sim).source_list) == 1


def test_a_first_frame_comes_from_an_address_too(client: Client, upstream: Upstream, cdn: str) -> None:
    begin(client, "", image_url=f"{cdn}/testpath/frame.png")
    assert frame_sizes(upstream) == [(1440, 960)]


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.png", "ftp://x/y", data_url(b"no picture at all")])
def test_a_first_frame_that_cannot_be_had_fails_the_request(
    client: Client, upstream: Upstream, url: str
) -> None:
    answer = order(client, image_url=url)
    assert answer.status_code == 400
    assert (error_of(answer)["code"], error_of(answer)["param"]) == ("invalid_file", "image_url")
    assert orders(upstream) == 0


def test_an_upload_that_fails_orders_nothing(client: Client, upstream: Upstream) -> None:
    upstream.sim.fail("static/upload", status=500, body={"status": 500, "message": "internal"})
    answer = order(client, image_url=data_url(make_picture("x")))
    assert answer.status_code == 502
    assert orders(upstream) == 0
    headers = {"x-stainless-retry-count": "1"}
    body = {"model": "cogvideox", "prompt": QUICK, "image_url": data_url(make_picture("x"))}
    assert client.post(GENERATIONS, {**body, "wait": 0}, headers=headers).status_code == 202


def test_the_pro_model_draws_the_first_frame_itself(client: Client, upstream: Upstream, cdn: str) -> None:
    upstream.sim.play("images")
    begin(client, "a cat", model="cogvideox-pro")
    assert upstream.chats()[0]["meta_data"]["cogview"]["aspect_ratio"] == "4:3"
    assert frame_sizes(upstream) == [(1440, 960)]
    assert len(only_video(upstream.sim).source_list) == 1
    wait_until(lambda: upstream.sim.live_conversations() == [])


def test_an_image_that_moderation_withdraws_makes_no_video(client: Client, upstream: Upstream) -> None:
    upstream.sim.play("intervene_first")
    answer = order(client, "a cat", model="cogvideox-pro")
    assert error_of(answer)["code"] == "content_policy_violation"
    assert orders(upstream) == 0


def test_a_sound_is_added_once_the_video_is_done(client: Client, sim: Simulator) -> None:
    video_id = begin(client, audio_id="epic-669b809d3915c1ddbb3d6705")
    first, second = look(client, video_id).json(), look(client, video_id).json()
    assert first["data"][0]["video_url"].endswith(f"{only_video(sim).id}_epic.mp4")
    assert second["data"] == first["data"]
    assert only_video(sim).sounds == [("epic", "669b809d3915c1ddbb3d6705")]


def test_a_sound_that_fails_is_tried_again(client: Client, sim: Simulator) -> None:
    sim.fail("composite_video", status=500, body={"status": 500, "message": "internal"})
    video_id = begin(client, audio_id="epic-669b809d3915c1ddbb3d6705")
    body = look(client, video_id).json()
    assert (body["status"], body["progress"]) == ("in_progress", 99)
    wait_until(lambda: look(client, video_id).json()["status"] == "completed")


def test_a_conversation_goes_on(client: Client, sim: Simulator) -> None:
    first = order(client, LONG, wait=0).json()
    assert first["conversation_id"] == only_video(sim).conversation_id
    second = order(client, LONG, wait=0, conversation_id=first["conversation_id"]).json()
    assert second["conversation_id"] == first["conversation_id"]
    assert len({video.conversation_id for video in sim.videos.values()}) == 1


# The upstream's record


def test_the_record_is_deleted_after_the_second_completed_answer(client: Client, sim: Simulator) -> None:
    video_id = order(client).json()["id"]
    assert not only_video(sim).deleted
    assert look(client, video_id).json()["status"] == "completed"
    wait_until(lambda: only_video(sim).deleted)
    assert look(client, video_id).json()["status"] == "completed"
    assert only_video(sim).polls == 1


def test_an_answer_that_says_less_than_completed_deletes_nothing(client: Client, sim: Simulator) -> None:
    video_id = begin(client, LONG)
    for _ in range(3):
        look(client, video_id)
    assert not sim.calls_to(only_video(sim).id)[1:]
    assert not only_video(sim).deleted


def test_delete_deletes_at_once(client: Client, sim: Simulator) -> None:
    video_id = begin(client, LONG)
    answer = client.request("DELETE", f"{VIDEOS}/{video_id}")
    assert answer.json() == {"id": video_id, "object": "video.deleted", "deleted": True}
    assert only_video(sim).deleted
    assert look(client, video_id).status_code == 404
    assert client.request("DELETE", f"{VIDEOS}/{video_id}").json()["deleted"] is True
    assert len([call for call in sim.calls if call.method == "DELETE"]) == 1


# OpenAI's own


def test_the_official_sdk_makes_a_video(client: Client, sdk: OpenAI, sim: Simulator) -> None:
    video = sdk.videos.create_and_poll(prompt="[scene:video work=1] a cat", model="sora-2", seconds="4")
    assert (video.status, video.progress, video.model) == ("completed", 100, "sora-2")
    assert (video.seconds, video.size, video.object) == ("6", "1440x960", "video")
    assert video.error is None
    assert video.completed_at is not None
    assert sdk.videos.retrieve(video.id).status == "completed"
    assert sdk.videos.delete(video.id).deleted is True


def test_the_official_sdk_sends_a_first_frame(
    client: Client, sdk: OpenAI, upstream: Upstream, tmp_path: Path
) -> None:
    picture = tmp_path / "frame.png"
    picture.write_bytes(make_picture("frame"))
    video = sdk.videos.create(prompt=QUICK, input_reference=picture)
    assert video.status == "queued"
    assert frame_sizes(upstream) == [(1440, 960)]


def test_the_official_sdk_downloads_a_video(client: Client, sdk: OpenAI, cdn: str, sim: Simulator) -> None:
    video = sdk.videos.create_and_poll(prompt=QUICK)
    name = only_video(sim).id
    assert sdk.videos.download_content(video.id).read() == make_picture(f"{name}.mp4")
    cover = sdk.videos.download_content(video.id, variant="thumbnail")
    assert cover.read() == make_picture(f"{name}_cover.png")


def test_the_official_sdk_reads_a_failure(client: Client, sdk: OpenAI) -> None:
    video = sdk.videos.create_and_poll(prompt="[scene:video_moderated] a cat")
    assert video.status == "failed"
    assert video.error is not None
    assert video.error.code == "content_policy_violation"
    with pytest.raises(NotFoundError):
        sdk.videos.download_content(video.id)


def test_content_is_a_redirect_to_the_upstreams_cdn(client: Client, sim: Simulator) -> None:
    video_id = begin(client)
    answer = client.get(f"{VIDEOS}/{video_id}/content")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"https://sfile.chatglm.cn/testpath/{only_video(sim).id}.mp4"
    assert client.get(f"{VIDEOS}/{video_id}/content?variant=spritesheet").status_code == 400
    assert client.get(f"{VIDEOS}/{video_id}/content?variant=x").status_code == 400


def test_json_does_as_well_as_a_form(client: Client, sim: Simulator) -> None:
    body = {"prompt": QUICK, "input_reference": {"image_url": data_url(make_picture("x"))}}
    assert client.post(VIDEOS, body).json()["status"] == "queued"
    assert client.post(VIDEOS, {"prompt": QUICK, "input_reference": data_url(make_picture("x"))}).is_success
    assert all(video.source_list for video in sim.videos.values())


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"json": {"prompt": QUICK, "input_reference": {"file_id": "file_1"}}}, "unsupported_parameter"),
        ({"json": {}}, "missing_field"),
        ({"content": b"{"}, "invalid_json"),
        ({"files": {"seconds": (None, "4")}}, "missing_field"),
        ({"files": {"prompt": (None, QUICK), "input_reference": ("x.png", b"no picture")}}, "invalid_file"),
        (
            {"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            "invalid_form",
        ),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "invalid_form"),
    ],
)
def test_what_no_video_can_be_made_of_is_refused(
    client: Client, upstream: Upstream, options: dict[str, Any], code: str
) -> None:
    answer = client.request("POST", VIDEOS, **options)
    assert answer.status_code == 400
    assert error_of(answer)["code"] == code
    assert orders(upstream) == 0


def test_a_form_that_is_too_large_is_refused(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MAX_BODY_BYTES", "5000")
    files = {"prompt": (None, QUICK), "input_reference": ("x.png", b"0" * 20_000)}
    assert client.request("POST", VIDEOS, files=files).status_code == 413
    assert orders(upstream) == 0


def test_the_account_takes_no_last_frame(client: Client, upstream: Upstream) -> None:
    refused = order(client, image_url=["https://a/1.png", "https://a/2.png"], wait=0)
    assert (refused.status_code, error_of(refused)["code"]) == (400, "unsupported_parameter")
    assert orders(upstream) == 0

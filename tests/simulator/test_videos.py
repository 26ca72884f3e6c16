"""The simulator's videos and drawing config: as strict as the rest."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from simulator.app import Simulator
from simulator.drawing import make_picture
from simulator.videos import jpeg_size
from tests.simulator.browser import Browser, make_body

CREATE = "/video-api/v1/chat"
STATUS = "/video-api/v1/chat/status/"
UPLOAD = "/video-api/v1/static/upload"
SOUND = "/video-api/v1/static/composite_video"
PLAIN = {"emotional_atmosphere": "", "mirror_mode": "", "video_style": ""}


def call(
    browser: Browser, method: str, path: str, *, referer: str = "https://chatglm.cn/video", **body: Any
) -> Any:
    headers = browser.headers(path, browser.access_token) | {"Referer": referer}
    if "json" not in body:
        del headers["Content-Type"]
    return browser.http.request(method, path, headers=headers, **body).json()


def create(browser: Browser, prompt: str = "[scene:video] a cat", **fields: Any) -> str:
    body = {"conversation_id": "", "prompt": prompt, "advanced_parameter_extra": PLAIN} | fields
    answer = call(browser, "POST", CREATE, json=body)
    assert answer["status"] == 0, answer
    return str(answer["result"]["chat_id"])


def poll(browser: Browser, chat_id: str) -> Any:
    return call(browser, "GET", STATUS + chat_id)["result"]


def jpeg(width: int, height: int) -> bytes:
    written = BytesIO()
    Image.new("RGB", (width, height)).save(written, "JPEG")
    return written.getvalue()


def upload(browser: Browser, data: bytes) -> Any:
    return call(browser, "POST", UPLOAD, files={"file": ("frame.jpg", data, "image/jpeg")})


@pytest.fixture(autouse=True)
def _impatient(sim: Simulator) -> None:
    sim.video_poll_s = 0.0


def test_a_video_waits_works_and_is_done(sim: Simulator, browser: Browser) -> None:
    chat_id = create(browser, "[scene:video queue=1 work=1] a cat")
    polls = [poll(browser, chat_id) for _ in range(4)]
    assert [result["status"] for result in polls] == ["init", "processing", "finished", "finished"]
    assert polls[1]["plan"] == "50%"
    assert polls[2]["video_url"].endswith(f"{chat_id}.mp4")
    assert sim.violations == []


@pytest.mark.parametrize(("scene", "words"), [("video_failed", "失败"), ("video_moderated", "敏感")])
def test_a_video_may_fail(browser: Browser, scene: str, words: str) -> None:
    result = poll(browser, create(browser, f"[scene:{scene}] a cat"))
    assert result["status"] == "fail"
    assert words in result["msg"]


def test_an_order_may_be_refused(sim: Simulator, browser: Browser) -> None:
    body = {"conversation_id": "", "prompt": "[scene:video_refused]", "advanced_parameter_extra": PLAIN}
    assert call(browser, "POST", CREATE, json=body)["status"] != 0
    assert sim.videos == {}


@pytest.mark.parametrize(
    ("fields", "violation"),
    [
        ({"source_list": ["a" * 24]}, "unknown source_id"),
        ({"conversation_id": None}, "conversation_id is None"),
        ({"prompt": ""}, "neither a prompt nor a first frame"),
        ({"prompt": "[scene:unheard_of]"}, "unknown scene"),
        ({"advanced_parameter_extra": {}}, "advanced_parameter_extra"),
        ({"advanced_parameter_extra": PLAIN | {"mirror_mode": "x"}}, "unknown mirror_mode"),
    ],
)
def test_an_odd_order_is_noted(
    sim: Simulator, browser: Browser, fields: dict[str, Any], violation: str
) -> None:
    create(browser, **fields)
    assert [violation in noted for noted in sim.violations] == [True]


def test_an_order_without_a_prompt_is_invalid(browser: Browser) -> None:
    assert "validation_error" in call(browser, "POST", CREATE, json={"conversation_id": ""})


def test_another_pages_referer_is_noted(sim: Simulator, browser: Browser) -> None:
    call(browser, "GET", STATUS + create(browser), referer="https://chatglm.cn/main/alltoolsdetail")
    assert "Referer" in sim.violations[0]


def test_polling_fast_is_noted(sim: Simulator, browser: Browser) -> None:
    sim.video_poll_s = 60.0
    chat_id = create(browser)
    poll(browser, chat_id)
    assert sim.violations == []
    poll(browser, chat_id)
    assert "polled again" in sim.violations[0]


def test_nobody_else_sees_a_video(sim: Simulator, browser: Browser, http: httpx.Client) -> None:
    other = Browser(sim, http, sim.add_account())
    other.refresh()
    chat_id = create(browser)
    assert poll(other, chat_id) is None
    assert poll(browser, chat_id)["status"] == "finished"


def test_a_deleted_video_is_gone(sim: Simulator, browser: Browser) -> None:
    chat_id = create(browser)
    assert call(browser, "DELETE", f"{CREATE}/{chat_id}")["status"] == 0
    assert sim.videos[chat_id].deleted
    assert sim.violations == []
    assert poll(browser, chat_id) is None
    assert "no such video" in sim.violations[0]


def test_a_frame_must_have_the_webs_size(sim: Simulator, browser: Browser) -> None:
    source = upload(browser, jpeg(1440, 960))["result"]
    assert sim.violations == []
    create(browser, source_list=[source["source_id"]])
    assert sim.violations == []
    for data in (jpeg(1440, 961), jpeg(1439, 960), make_picture("x")):
        upload(browser, data)
    assert len(sim.violations) == 3
    assert "validation_error" in call(browser, "POST", UPLOAD, json={})


def test_sound_is_for_finished_videos_and_once(sim: Simulator, browser: Browser) -> None:
    chat_id = create(browser)
    body = {"chat_id": chat_id, "key": "epic", "audio_id": "669b809d3915c1ddbb3d6705"}
    assert call(browser, "POST", SOUND, json=body)["status"] == 500
    poll(browser, chat_id)
    assert call(browser, "POST", SOUND, json=body)["result"]["url"].endswith("_epic.mp4")
    call(browser, "POST", SOUND, json=body | {"audio_id": "x"})
    assert [noted.split(": ")[1].split()[0] for noted in sim.violations] == ["no", "key", "video"]


def test_the_drawing_config_lists_ratios_and_styles(sim: Simulator, browser: Browser) -> None:
    config = browser.get("/drawing-api/v1/drawing/config").json()["result"]
    assert {"key": "16:9", "name": "16:9"} in config["aspect_ratio"]
    assert [style["name"] for style in config["style"]][:2] == ["无", "水彩"]
    assert sim.violations == []


@pytest.mark.parametrize(
    ("cogview", "violation"),
    [
        ({"aspect_ratio": "2:1"}, "unknown aspect_ratio"),
        ({"style": ""}, "style is ''"),
        ({"scene": None}, "scene is None"),
        (None, "cogview is None"),
    ],
)
def test_odd_drawings_are_noted(sim: Simulator, browser: Browser, cogview: Any, violation: str) -> None:
    drawing = "65a232c082ff90a2ad2f15e2"
    path = "/backend-api/assistant/stream"
    headers = browser.headers(path, browser.access_token, assistant_id=drawing)
    browser.http.post(path, json=make_body("a cat", assistant_id=drawing, cogview=cogview), headers=headers)
    assert [violation in noted for noted in sim.violations] == [True]


def test_pictures_are_served_beside_the_api(sim: Simulator, http: httpx.Client) -> None:
    base = str(http.base_url).removesuffix("/chatglm/")
    picture = http.get(f"{base}/testpath/a_0_0.jpg")
    with Image.open(BytesIO(picture.content)) as image:
        assert image.size == (360, 240)
    assert http.get(f"{base}/testpath/b_0_0.jpg").content != picture.content
    sim.fail("testpath", status=404)
    assert http.get(f"{base}/testpath/a_0_0.jpg").status_code == 404
    assert sim.violations == []


def test_the_size_of_a_jpeg_is_found_in_other_bytes() -> None:
    assert jpeg_size(b"--boundary\r\n\r\n" + jpeg(1440, 810) + b"\r\n--") == (1440, 810)
    assert jpeg_size(make_picture("x")) is None

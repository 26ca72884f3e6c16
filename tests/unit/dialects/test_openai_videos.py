"""Video requests and answers, the older bridges' and OpenAI's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Video

from lib.chat.media import JobState, VideoRequest, VideoState
from lib.dialects.openai_videos import (
    parse_creation,
    parse_generation,
    parse_variant,
    render_deleted,
    render_generation,
    render_video,
)
from lib.errors import InvalidRequest


def generation(**fields: Any) -> VideoRequest:
    return parse_generation(json.dumps({"prompt": "a cat", **fields}).encode())


def state(status: JobState = "queued", **fields: Any) -> VideoState:
    known: dict[str, Any] = {"id": "video_1", "model": "cogvideox", "created_at": 7, "conversation_id": "c"}
    return VideoState(status=status, **known | fields)


DONE = {
    "video_url": "https://a/v.mp4",
    "cover_url": "https://a/c.png",
    "duration": "6s",
    "resolution": "1440 × 960",
    "progress": 100,
    "completed_at": 9,
}


def test_a_prompt_is_enough() -> None:
    assert generation() == VideoRequest(prompt="a cat", model="cogvideox")


def test_all_that_the_older_bridges_document_is_read() -> None:
    wanted = generation(
        model="CogVideoX-Pro",
        image_url="https://a/b.png",
        video_style="卡通3D",
        emotional_atmosphere="温馨和谐",
        mirror_mode="水平",
        audio_id="epic-669b809d3915c1ddbb3d6705",
        conversation_id="c",
        wait=1.5,
    )
    assert wanted == VideoRequest(
        prompt="a cat",
        model="CogVideoX-Pro",
        image_url="https://a/b.png",
        video_style="卡通3D",
        emotional_atmosphere="温馨和谐",
        mirror_mode="水平",
        audio=("epic", "669b809d3915c1ddbb3d6705"),
        conversation_id="c",
        wait_s=1.5,
    )
    assert wanted.draws_first_frame


def test_empty_and_null_say_nothing() -> None:
    names = ("model", "image_url", "video_style", "emotional_atmosphere", "mirror_mode", "audio_id", "wait")
    assert generation(**dict.fromkeys(names)) == generation()
    assert generation(**dict.fromkeys(names[:-1], "")) == generation()


@pytest.mark.parametrize(
    ("audio_id", "audio"),
    [
        ("epic-669b809d3915c1ddbb3d6705", ("epic", "669b809d3915c1ddbb3d6705")),
        (" quiet-669b799d7a9ebbe698de2102 ", ("quiet", "669b799d7a9ebbe698de2102")),
        ("a-b-669b799d7a9ebbe698de2102", ("a-b", "669b799d7a9ebbe698de2102")),
    ],
)
def test_a_sound_has_a_key_and_an_id(audio_id: str, audio: tuple[str, str]) -> None:
    assert generation(audio_id=audio_id).audio == audio


@pytest.mark.parametrize(
    "audio_id", ["epic", "-669b809d3915c1ddbb3d6705", "epic-", "epic-66 9b809d", "é\n-12345678"]
)
def test_what_is_no_sound_is_refused(audio_id: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        generation(audio_id=audio_id)
    assert caught.value.param == "audio_id"


def test_a_first_frame_needs_no_words() -> None:
    wanted = parse_generation(b'{"image_url": "https://a/b.png"}')
    assert (wanted.prompt, wanted.image_url) == ("", "https://a/b.png")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"prompt": 1}', b'{"prompt": "x", "wait": "1"}', b'{"prompt": ""}']
)
def test_every_wrong_body_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_generation(body)
    with pytest.raises(InvalidRequest):
        parse_creation(b"{}" if b"wait" in body else body, {}, has_file=False)


def test_openais_request_is_answered_at_once_with_the_size_and_the_seconds_that_it_names() -> None:
    body = json.dumps({"prompt": "a cat", "model": "sora-2", "seconds": "8", "size": "720x1280"}).encode()
    wanted = VideoRequest(
        prompt="a cat",
        model="sora-2",
        image_param="input_reference",
        size=(720, 1280),
        seconds=8.0,
        wait_s=0,
    )
    assert parse_creation(body, {}, has_file=False) == wanted
    form = {"prompt": "a cat", "model": "sora-2", "seconds": "8", "size": "720x1280"}
    assert parse_creation(None, form, has_file=False) == wanted
    assert not wanted.draws_first_frame


@pytest.mark.parametrize(
    "fields",
    [
        {"input_reference[image_url]": "https://a/b.png"},
        {"input_reference": "https://a/b.png"},
    ],
)
def test_a_form_names_a_first_frame_in_two_ways(fields: dict[str, str]) -> None:
    assert parse_creation(None, fields, has_file=False).image_url == "https://a/b.png"


def test_a_forms_file_needs_no_words() -> None:
    assert parse_creation(None, {}, has_file=True).prompt == ""


@pytest.mark.parametrize("reference", ["https://a/b.png", {"image_url": "https://a/b.png"}])
def test_json_names_a_first_frame_in_two_ways(reference: Any) -> None:
    body = json.dumps({"prompt": "a cat", "input_reference": reference}).encode()
    assert parse_creation(body, {}, has_file=False).image_url == "https://a/b.png"


@pytest.mark.parametrize("model", ["m" * 65, "模" * 22])
def test_a_model_must_fit_into_the_id(model: str) -> None:
    assert generation(prompt="x", model="模" * 21).model == "模" * 21
    with pytest.raises(InvalidRequest):
        generation(prompt="x", model=model)


def test_a_kept_file_is_something_that_we_do_not_have() -> None:
    for body, fields in (
        (b'{"prompt": "x", "input_reference": {"file_id": "f"}}', {}),
        (None, {"prompt": "x", "input_reference[file_id]": "f"}),
    ):
        with pytest.raises(InvalidRequest) as caught:
            parse_creation(body, fields, has_file=False)
        assert caught.value.code == "unsupported_parameter"


@pytest.mark.parametrize("status", ["queued", "in_progress", "completed", "failed"])
def test_the_official_types_read_every_state(status: JobState) -> None:
    fields: dict[str, Any] = DONE if status == "completed" else {"progress": 40}
    if status == "failed":
        fields = {"error_code": "upstream_error", "error_message": "no"}
    answer = json.loads(render_video(state(status, **fields)))
    if status == "completed":
        # The types know four sizes, none of which the upstream makes; the SDK itself takes what comes.
        assert answer.pop("size") == "1440x960"
        answer["size"] = "1280x720"
    video = Video.model_validate(answer, strict=True)
    assert (video.id, video.status, video.created_at, video.object) == ("video_1", status, 7, "video")
    assert video.seconds == "6"
    assert (video.error is not None) == (status == "failed")


def test_the_answer_tells_what_the_upstream_made() -> None:
    made = state("completed", **DONE | {"duration": "10秒", "resolution": "1920*1080"})
    answer = json.loads(render_video(made))
    assert (answer["size"], answer["seconds"], answer["completed_at"]) == ("1920x1080", "10", 9)


def test_a_generation_is_pending_then_made_or_failed() -> None:
    assert json.loads(render_generation(state("in_progress", progress=40))) == {
        "id": "video_1",
        "object": "video",
        "status": "in_progress",
        "progress": 40,
        "created_at": 7,
        "model": "cogvideox",
        "conversation_id": "c",
    }
    failed = json.loads(render_generation(state("failed", error_message="no")))
    assert failed["error"] == {"code": "upstream_error", "message": "no"}
    completed = json.loads(render_generation(state("completed", **DONE)))
    assert completed["data"][0]["video_url"] == "https://a/v.mp4"
    assert (completed["created"], completed["status"]) == (7, "completed")


def test_a_deletion_is_told_as_openai_tells_it() -> None:
    assert json.loads(render_deleted("video_1")) == {
        "id": "video_1",
        "object": "video.deleted",
        "deleted": True,
    }


def test_variants() -> None:
    assert [parse_variant(name) for name in (None, "", "video", "thumbnail")] == ["video"] * 3 + ["thumbnail"]
    for name in ("spritesheet", "x"):
        with pytest.raises(InvalidRequest):
            parse_variant(name)


def test_the_older_form_has_what_the_official_api_takes() -> None:
    fields = {"size": "1920x1080", "duration": 10, "quality": "Quality", "fps": 60, "with_audio": True}
    wanted = generation(**fields)
    assert (wanted.size, wanted.seconds, wanted.quality) == ((1920, 1080), 10.0, "quality")
    assert (wanted.fps, wanted.with_audio) == (60.0, True)


@pytest.mark.parametrize("word", ["auto", "", 0, -1, "5s", "١", None])
def test_a_length_and_a_size_that_say_nothing_are_the_upstreams_choice(word: Any) -> None:
    assert generation(duration=word).seconds is None
    assert generation(size=None if word is None else str(word)).size is None


def test_a_video_may_have_a_last_frame_too() -> None:
    wanted = generation(image_url=["https://a/1.png", "https://a/2.png"])
    assert (wanted.image_url, wanted.last_image_url) == ("https://a/1.png", "https://a/2.png")
    assert generation(image_url=["https://a/1.png"]).last_image_url is None


@pytest.mark.parametrize("frames", [[], ["a", "b", "c"]])
def test_no_video_has_other_numbers_of_frames(frames: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        generation(image_url=frames)
    assert caught.value.param == "image_url"

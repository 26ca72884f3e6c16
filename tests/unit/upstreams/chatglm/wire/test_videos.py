"""What the upstream's answers about videos mean."""

from __future__ import annotations

from typing import Any

import pytest

from lib.errors import (
    AccessTokenRefused,
    AccountBusy,
    AccountRefused,
    GatewayError,
    InvalidRequest,
    Throttled,
    UpstreamNotReached,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from lib.upstreams.chatglm.wire.client import Session, UploadedFile
from lib.upstreams.chatglm.wire.refusals import coded_error
from lib.upstreams.chatglm.wire.videos import (
    BegunVideo,
    VideoOrder,
    VideoStatus,
    begin_video,
    has_begun_nothing,
    is_moderation,
    read_status,
    upload_first_frame,
)

FINISHED = {
    "status": "finished",
    "msg": "",
    "plan": "",
    "cover_url": "https://a/c.png",
    "video_url": "https://a/v.mp4",
    "video_duration": "6s",
    "resolution": "1440 × 960",
}


def test_a_finished_video_is_known_by_its_address() -> None:
    assert read_status(FINISHED) == VideoStatus(
        state="completed",
        progress=100,
        cover_url="https://a/c.png",
        video_url="https://a/v.mp4",
        duration="6s",
        resolution="1440 × 960",
    )


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("init", "queued"),
        ("processing", "in_progress"),
        ("process", "in_progress"),
        ("fail", "failed"),
        ("whatever", "failed"),
    ],
)
def test_states(status: Any, state: str) -> None:
    assert read_status({"status": status}).state == state


@pytest.mark.parametrize(
    ("plan", "progress"),
    [
        ("40%", 40),
        ("40", 40),
        (" 12.9 % ", 12),
        (40, 40),
        (40.7, 40),
        ("100%", 99),
        (-3, 0),
        ("排队中", 0),
        ("", 0),
        (None, 0),
        (True, 0),
        ({}, 0),
        ("1000%", 0),
    ],
)
def test_progress_is_read_where_it_is_a_number(plan: Any, progress: int) -> None:
    assert read_status({"status": "processing", "plan": plan}).progress == progress


@pytest.mark.parametrize("result", [None, [], "x", 3, {}, {"status": None}, {"status": ""}, {"status": 3}])
def test_no_status_says_nothing_about_the_video(result: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        read_status(result)


@pytest.mark.parametrize("url", ["", None, 3, "javascript:alert(1)", "/relative"])
def test_a_video_without_an_address_has_failed(url: Any) -> None:
    assert read_status(FINISHED | {"video_url": url}).state == "failed"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("内容包含敏感信息", True),
        ("提示词违规", True),
        ("sensitive content", True),
        ("视频生成失败", False),
        ("", False),
    ],
)
def test_moderation_is_known_by_its_words(words: str, expected: bool) -> None:
    assert is_moderation(words) is expected
    assert read_status({"status": "fail", "msg": words}).is_moderated is expected


def test_a_failure_is_told_in_the_upstreams_words_cut_short() -> None:
    assert read_status({"status": "fail", "msg": "x" * 1000}).words == "x" * 200
    assert read_status({"status": "fail"}).words == "the upstream did not say why"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Throttled(""), True),
        (AccountBusy(""), True),
        (AccountRefused(""), True),
        (InvalidRequest(""), True),
        (AccessTokenRefused("The upstream answered 40102: x."), True),
        (coded_error(10099, "次数已用完"), True),
        (coded_error(40001, "signature"), True),
        (coded_error(400, "bad request"), True),
        (coded_error(500, "internal server error"), False),
        (coded_error(504, "x"), False),
        (coded_error(10025, "x"), False),
        (coded_error(10099, "Internal Server Error"), False),
        (coded_error(10099, "timed out"), False),
        (coded_error(40001, "signature", http_status=400), True),
        (coded_error(40001, "signature", http_status=500), False),
        (coded_error(10061, "请求过于频繁", http_status=429), True),
        (coded_error(10061, "请求过于频繁", http_status=503), False),
        (coded_error(40102, "x", http_status=502), False),
        (InvalidRequest("", http_status=500), False),
        (UpstreamRejected("The upstream answered HTTP 500: no message.", retry="again"), False),
        (UpstreamRejected("The upstream answered 10099: refused", retry="again"), False),
        (UpstreamRejected("", retry="again"), False),
        (UpstreamNotReached(""), True),
        (UpstreamProtocolError(""), False),
        (UpstreamUnreachable(""), False),
        (UpstreamTimeout(""), False),
    ],
)
def test_only_the_upstreams_own_no_is_a_no(error: GatewayError, expected: bool) -> None:
    assert has_begun_nothing(error) is expected


async def test_a_breakdown_that_speaks_of_safety_is_no_moderation() -> None:
    class Broken(Answering):
        async def call(self, method: str, path: str, session: Session, **_: Any) -> Any:
            raise coded_error(500, "安全模块 internal server error")

    with pytest.raises(UpstreamRejected):
        await begin_video(Broken(None), SESSION, VideoOrder(prompt="x"))  # type: ignore[arg-type]


class Answering:
    """An upstream that answers every call with this result."""

    def __init__(self, result: Any) -> None:
        self.result = result

    async def call(self, method: str, path: str, session: Session, **_: Any) -> Any:
        return self.result


FRAME = UploadedFile("frame.jpg", b"", "image/jpeg")
SESSION = Session("token", "device")


@pytest.mark.parametrize("result", [{"source_id": "66a8aa22"}, [{"source_id": "66a8aa22"}]])
async def test_an_upload_answers_with_an_object_or_a_list_of_one(result: Any) -> None:
    assert await upload_first_frame(Answering(result), SESSION, FRAME) == "66a8aa22"  # type: ignore[arg-type]


@pytest.mark.parametrize("result", [None, [], {}, {"source_id": ""}, {"source_id": 3}, {"source_id": "../x"}])
async def test_an_upload_without_an_id_is_an_error(result: Any) -> None:
    with pytest.raises(UpstreamProtocolError):
        await upload_first_frame(Answering(result), SESSION, FRAME)  # type: ignore[arg-type]


@pytest.mark.parametrize("conversation_id", [None, 3, "a/b", ""])
async def test_an_order_is_known_by_its_chat_alone(conversation_id: Any) -> None:
    result = {"chat_id": "66a8aa22", "conversation_id": conversation_id}
    begun = await begin_video(Answering(result), SESSION, VideoOrder(prompt="x"))  # type: ignore[arg-type]
    assert begun == BegunVideo("66a8aa22", "")

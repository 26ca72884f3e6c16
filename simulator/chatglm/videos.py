"""Videos (protocol.md §6): ordering, polling, first frames, sound, deleting.

A tag in the prompt says how a video goes, as in chats: `[scene:video queue=2 work=3]` waits for two polls and
works for three; `video_failed` and `video_moderated` fail at the end, `video_refused` at the order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from simulator.records import Call
from simulator.scenes import read_tag
from simulator.steps import Reply, new_id
from simulator.videos import Video, jpeg_size

from .accounts import Account
from .registry import endpoint, missing_field
from .state import State

STYLES = ("", "卡通3D", "黑白老照片", "油画", "电影感")
ATMOSPHERES = ("", "温馨和谐", "生动活泼", "紧张刺激", "凄凉寂寞")
MIRROR_MODES = ("", "水平", "垂直", "推近", "拉远")
FAILED = "视频生成失败，请稍后再试"
MODERATED = "内容包含敏感信息，生成失败"
REFUSED = {"status": 10031, "message": "您的提示词包含违规内容，请修改后重试", "result": None}
"""The web shows such words; these are our own invention."""
FRAME_WIDTH, MAX_FRAME_HEIGHT = 1440, 960

_HEX24 = re.compile(r"[0-9a-f]{24}")
_DEFAULT_SCENE = ("video", {"queue": "1", "work": "2"})
_SCENES = ("video", "video_failed", "video_moderated", "video_refused")


@endpoint("POST", "video-api/v1/chat")
def create(state: State, call: Call, account: Account) -> Any:
    body = call.json if isinstance(call.json, dict) else {}
    for oddity in (*_odd_call(call), *_odd_order(state, body, account)):
        state.note(f"{call.name}: {oddity}")
    if not isinstance(body.get("prompt"), str):
        return missing_field("prompt")
    scene, args = read_tag(body["prompt"]) or _DEFAULT_SCENE
    if scene not in _SCENES:
        state.note(f"{call.name}: unknown scene {scene!r}")
    if scene == "video_refused":
        return Reply(200, REFUSED)
    video = Video(
        id=new_id(),
        uid=account.uid,
        conversation_id=body.get("conversation_id") or new_id(),
        prompt=body["prompt"],
        source_list=list(body.get("source_list") or ()),
        extra=dict(body.get("advanced_parameter_extra") or {}),
        scene=scene,
        queue=int(args.get("queue", 0)),
        work=int(args.get("work", 0)),
    )
    state.videos[video.id] = video
    return {"chat_id": video.id, "conversation_id": video.conversation_id}


@endpoint("GET", "video-api/v1/chat/status/{chat_id}")
def status(state: State, call: Call, account: Account) -> Any:
    _note_odd_call(state, call)
    video = _find(state, call, account)
    if video is None:
        return None
    since_s = state.now() - video.polled_at
    if since_s < state.video_poll_s:
        state.note(f"{call.name}: polled again after {since_s:.2f} s")
    video.polled_at = state.now()
    video.polls += 1
    base = {"msg": "", "plan": "", "cover_url": "", "video_url": "", "video_duration": "", "resolution": ""}
    if video.polls <= video.queue:
        return base | {"status": "init", "plan": "排队中"}
    if not video.is_over:
        done = video.polls - video.queue
        return base | {"status": "processing", "plan": f"{100 * done // (video.work + 1)}%"}
    if video.scene != "video":
        return base | {"status": "fail", "msg": MODERATED if video.scene == "video_moderated" else FAILED}
    return base | {
        "status": "finished",
        "plan": "100%",
        "cover_url": f"{state.file_base}/testpath/{video.id}_cover.png",
        "video_url": f"{state.file_base}/testpath/{video.id}.mp4",
        "video_duration": "6s",
        "resolution": "1440 × 960",
    }


@endpoint("DELETE", "video-api/v1/chat/{chat_id}")
def delete(state: State, call: Call, account: Account) -> Any:
    _note_odd_call(state, call)
    video = _find(state, call, account)
    if video is not None:
        video.deleted = True


@endpoint("POST", "video-api/v1/static/composite_video")
def composite_video(state: State, call: Call, account: Account) -> Any:
    _note_odd_call(state, call)
    body = call.json if isinstance(call.json, dict) else {}
    video = state.videos.get(str(body.get("chat_id")))
    if video is None or video.uid != account.uid or not video.is_over:
        state.note(f"{call.name}: no finished video {body.get('chat_id')!r}")
        return Reply(200, {"status": 500, "message": "internal server error", "result": None})
    if not body.get("key") or not _HEX24.fullmatch(str(body.get("audio_id"))):
        state.note(f"{call.name}: key {body.get('key')!r}, audio_id {body.get('audio_id')!r}")
    if video.sounds:
        state.note(f"{call.name}: video {video.id} has its sound already")
    video.sounds.append((body["key"], body["audio_id"]))
    return {"url": f"{state.file_base}/testpath/{video.id}_{body['key']}.mp4"}


@endpoint("POST", "video-api/v1/static/upload")
def upload(state: State, call: Call, account: Account) -> Any:
    _note_odd_call(state, call)
    form = call.json if isinstance(call.json, dict) else {}
    if not isinstance(form.get("file"), dict) or set(form) != {"file"}:
        state.note(f"{call.name}: expected a form with one file, got {sorted(form)}")
        return missing_field("file")
    size = jpeg_size(call.raw)
    if size is None or size[0] != FRAME_WIDTH or size[1] > MAX_FRAME_HEIGHT:
        state.note(f"{call.name}: the frame is no JPEG of {FRAME_WIDTH} x at most {MAX_FRAME_HEIGHT}: {size}")
    source_id = new_id()
    state.sources[source_id] = account.uid
    return {"source_id": source_id, "source_url": f"{state.file_base}/testpath/{source_id}.png"}


def _find(state: State, call: Call, account: Account) -> Video | None:
    video = state.videos.get(call.path.rpartition("/")[2])
    if video is None or video.uid != account.uid or video.deleted:
        state.note(f"{call.name}: no such video")
        return None
    return video


def _note_odd_call(state: State, call: Call) -> None:
    for oddity in _odd_call(call):
        state.note(f"{call.name}: {oddity}")


def _odd_call(call: Call) -> Iterator[str]:
    if not call.headers.get("referer", "").endswith("/video"):
        yield f"Referer is {call.headers.get('referer')!r}, not …/video"


def _odd_order(state: State, body: dict[str, Any], account: Account) -> Iterator[str]:
    if not isinstance(body.get("conversation_id"), str):
        yield f"conversation_id is {body.get('conversation_id')!r}"
    if not body.get("prompt") and not body.get("source_list"):
        yield "neither a prompt nor a first frame"
    extra = body.get("advanced_parameter_extra")
    known = {"emotional_atmosphere": ATMOSPHERES, "mirror_mode": MIRROR_MODES, "video_style": STYLES}
    if not isinstance(extra, dict) or set(extra) != set(known):
        yield f"advanced_parameter_extra is {extra!r}"
        return
    for name, values in known.items():
        if extra[name] not in values:
            yield f"unknown {name} {extra[name]!r}"
    for source_id in body.get("source_list") or ():
        if state.sources.get(source_id) != account.uid:
            yield f"unknown source_id {source_id!r}"

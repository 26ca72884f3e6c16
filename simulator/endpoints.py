"""The JSON endpoints of chatglm.cn that chat needs. Each takes a call and returns `result`, or a Reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from .accounts import Account, Bearer
from .conversations import Call
from .steps import Reply

if TYPE_CHECKING:
    from .app import Simulator

Handler = Callable[["Simulator", Call, Account], Any]

AGENTS = {
    "65940acff94777010aa6b796": "main",
    "65a232c082ff90a2ad2f15e2": "drawing",
    "676411c38945bbc58a905d31": "think",
    "65c046a531d3fcb034918abe": "public",
}
"""protocol.md §2.3"""

ANSWER_LOST_AFTER_S = 0.4
"""Later, a deletion may be asked for again: its answer was lost. Nobody misses one that soon."""

_EFFORTS = [
    {"display_name": "快速", "effort": "", "am_effort": "low", "description": ""},
    {"display_name": "深度", "effort": "thinking", "am_effort": "high", "description": "处理复杂任务"},
    {
        "display_name": "极致",
        "effort": "deep_thinking",
        "am_effort": "max",
        "description": "全力推理，耗时更长",
    },
]
AVAILABLE_MODELS = {
    "default": dict.fromkeys(("agent", "am", "guest", "non_vip", "svip", "vip"), "glm-5.3-flash"),
    "models": [
        {
            "display_name": "GLM-5.3",
            "selected_model": "glm-5.3",
            "display_tag": [],
            "description": "",
            "am_description": "",
            "am_switch": True,
            "chat_switch": True,
            "reasoning_efforts": _EFFORTS,
        },
        {
            "display_name": "GLM-Flash",
            "selected_model": "glm-5.3-flash",
            "display_tag": ["new"],
            "description": "5.3-Flash，回复速度快",
            "am_description": "5.3-Flash，积分消耗大幅降低",
            "am_switch": True,
            "chat_switch": True,
            "reasoning_efforts": _EFFORTS,
        },
    ],
}
"""Captured 2026-09-29; the second model was abbreviated there and is filled in after the first."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    handle: Handler
    bearer: Bearer
    takes_stale: bool = False
    """Whether a signature that is right but for its time will do: who asks for the time may not have it."""


ENDPOINTS: list[Endpoint] = []


def endpoint(
    method: str, path: str, *, bearer: Bearer = "access", takes_stale: bool = False
) -> Callable[[Handler], Handler]:
    def register(handle: Handler) -> Handler:
        ENDPOINTS.append(Endpoint(method, path, handle, bearer, takes_stale))
        return handle

    return register


def missing_field(*path: str) -> Reply:
    """Answer as flask-pydantic does, whose shape the capture has (HTTP 400 is that library's default)."""
    error = {"loc": list(path), "msg": "field required", "type": "value_error.missing"}
    return Reply(400, {"validation_error": {"body_params": [error]}})


def _field(call: Call, name: str) -> Any:
    return call.json.get(name) if isinstance(call.json, dict) else None


@endpoint("POST", "user-api/user/refresh", bearer="refresh")
def refresh(sim: Simulator, call: Call, account: Account) -> Any:
    if call.json != {}:
        sim.note(f"{call.name}: body is {call.json!r}, not {{}}")
    access_token, refresh_token = sim.book.rotate(account)
    return {
        "user_id": account.uid,
        "access_token": access_token,
        "refresh_token": refresh_token,
        "is_guest": account.guest,
        "mode": 1,
    }


@endpoint("GET", "user-api/user/info")
def user_info(sim: Simulator, call: Call, account: Account) -> Any:  # noqa: ARG001
    return {
        "_id": account.uid,
        "nickname": account.nickname,
        "is_guest": account.guest,
        "member_info": {"is_member": False, "level": "non_vip"},
        "block_info": {"blocked": account.blocked, "sensitive_level": 3 if account.blocked else 0},
    }


@endpoint("GET", "member-api/member/member_info")
def member_info(sim: Simulator, call: Call, account: Account) -> Any:  # noqa: ARG001
    return {"left_score": max(0, 1000 - account.chats), "score_rule": {"daily": 1000}}


@endpoint("GET", "agent-api/operation/detail")
def operation_detail(sim: Simulator, call: Call, account: Account) -> Any:  # noqa: ARG001
    if call.query.get("tag") != "available_models":
        sim.note(f"{call.name}: unknown tag {call.query.get('tag')!r}")
        return None
    return AVAILABLE_MODELS


@endpoint("GET", "operation-api/config/cur_ts", bearer="none", takes_stale=True)
def cur_ts(sim: Simulator, call: Call, account: Account) -> Any:  # noqa: ARG001
    return {"cur_ts": int(sim.now() * 1000)}


@endpoint("POST", "mainchat-api/stream/stop_stream")
def stop_stream(sim: Simulator, call: Call, account: Account) -> Any:
    history_id = _field(call, "history_id")
    if not history_id:
        sim.note(f"{call.name}: history_id missing")
        return missing_field("history_id")
    for generation in account.generations:
        if generation.cue.history_id == history_id:
            generation.conversation.stopped = True
            generation.stop()
    if sim.histories.get(history_id) != account.uid:
        sim.note(f"{call.name}: unknown history_id {history_id!r}")
    return None


@endpoint("POST", "mainchat-api/stream/update_status")
def update_status(sim: Simulator, call: Call, account: Account) -> Any:
    history_id = _field(call, "history_id")
    if not history_id:
        sim.note(f"{call.name}: history_id missing")
        return missing_field("history_id")
    if sim.histories.get(history_id) != account.uid:
        sim.note(f"{call.name}: unknown history_id {history_id!r}")
    return None


@endpoint("POST", "mainchat-api/conversation/bulk_delete")
def bulk_delete(sim: Simulator, call: Call, account: Account) -> Any:
    ids = _field(call, "conversation_ids")
    if not isinstance(ids, list) or not ids:
        sim.note(f"{call.name}: conversation_ids missing")
        return missing_field("conversation_ids")
    return _delete(sim, call, account, ids)


@endpoint("POST", "backend-api/assistant/conversation/delete")
def delete_conversation(sim: Simulator, call: Call, account: Account) -> Any:
    conversation_id = _field(call, "conversation_id")
    if not conversation_id:
        sim.note(f"{call.name}: conversation_id missing")
        return missing_field("conversation_id")
    return _delete(sim, call, account, [conversation_id])


def _delete(sim: Simulator, call: Call, account: Account, ids: list[str]) -> Any:
    assistant_id = _field(call, "assistant_id")
    if not assistant_id:
        sim.note(f"{call.name}: assistant_id missing")
        return missing_field("assistant_id")
    for conversation_id in ids:
        conversation = sim.conversations.get(conversation_id)
        if conversation is None or conversation.uid != account.uid:
            sim.note(f"{call.name}: unknown conversation {conversation_id!r}")
            continue
        if conversation.assistant_id != assistant_id:
            sim.note(f"{call.name}: conversation {conversation_id} belongs to another assistant")
            continue
        if (
            conversation.deleted_at is not None
            and monotonic() < conversation.deleted_at + ANSWER_LOST_AFTER_S
        ):
            sim.note(f"{call.name}: conversation {conversation_id} deleted twice")
        if any(running.conversation is conversation and running.is_open for running in account.generations):
            sim.note(f"{call.name}: conversation {conversation_id} deleted while the stream was open")
        conversation.deleted_at = monotonic()
    return None


@endpoint("POST", "mainchat-api/conversation/recent_list")
def recent_list(sim: Simulator, call: Call, account: Account) -> Any:
    page, size = _field(call, "page") or 1, _field(call, "page_size") or 20
    own = [chat for chat in sim.conversations.values() if chat.uid == account.uid and not chat.deleted]
    own.sort(key=lambda chat: chat.updated_at, reverse=True)
    shown = own[(page - 1) * size : page * size]
    return {
        "has_more": len(own) > page * size,
        "conversation_list": [
            {
                "conversation_id": chat.id,
                "assistant_id": chat.assistant_id,
                "title": chat.turns[0].prompt[:12] if chat.turns else "",
                "history_total": len(chat.turns),
                "meta_data": {"if_plus_model": False, "is_networking": False, "title_modified": True},
                "status": 0,
                "update_time": int(chat.updated_at),
                "project_id": "",
            }
            for chat in shown
        ],
    }

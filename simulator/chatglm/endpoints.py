"""The JSON endpoints of chatglm.cn that a chat needs."""

from __future__ import annotations

from time import monotonic
from typing import Any

from simulator.records import Call

from .accounts import Account
from .catalogue import AVAILABLE_MODELS
from .registry import endpoint, missing_field
from .state import State


def _field(call: Call, name: str) -> Any:
    return call.json.get(name) if isinstance(call.json, dict) else None


@endpoint("POST", "user-api/user/refresh", bearer="refresh")
def refresh(state: State, call: Call, account: Account) -> Any:
    if call.json != {}:
        state.note(f"{call.name}: body is {call.json!r}, not {{}}")
    access_token, refresh_token = state.book.rotate(account)
    return {
        "user_id": account.uid,
        "access_token": access_token,
        "refresh_token": refresh_token,
        "is_guest": account.guest,
        "mode": 1,
    }


@endpoint("GET", "user-api/user/info")
def user_info(state: State, call: Call, account: Account) -> Any:  # noqa: ARG001
    return {
        "_id": account.uid,
        "nickname": account.nickname,
        "is_guest": account.guest,
        "member_info": {"is_member": False, "level": "non_vip"},
        "block_info": {"blocked": account.blocked, "sensitive_level": 3 if account.blocked else 0},
    }


@endpoint("GET", "member-api/member/member_info")
def member_info(state: State, call: Call, account: Account) -> Any:  # noqa: ARG001
    return {"left_score": max(0, 1000 - account.chats), "score_rule": {"daily": 1000}}


@endpoint("GET", "agent-api/operation/detail")
def operation_detail(state: State, call: Call, account: Account) -> Any:  # noqa: ARG001
    if call.query.get("tag") != "available_models":
        state.note(f"{call.name}: unknown tag {call.query.get('tag')!r}")
        return None
    return AVAILABLE_MODELS


@endpoint("GET", "operation-api/config/cur_ts", bearer="none", takes_stale=True)
def cur_ts(state: State, call: Call, account: Account) -> Any:  # noqa: ARG001
    return {"cur_ts": int(state.now() * 1000)}


@endpoint("POST", "mainchat-api/stream/stop_stream")
def stop_stream(state: State, call: Call, account: Account) -> Any:
    history_id = _field(call, "history_id")
    if not history_id:
        state.note(f"{call.name}: history_id missing")
        return missing_field("history_id")
    for generation in account.generations:
        if generation.cue.history_id == history_id:
            generation.conversation.stopped = True
            generation.stop()
    if state.histories.get(history_id) != account.uid:
        state.note(f"{call.name}: unknown history_id {history_id!r}")
    return None


@endpoint("POST", "mainchat-api/stream/update_status")
def update_status(state: State, call: Call, account: Account) -> Any:
    history_id = _field(call, "history_id")
    if not history_id:
        state.note(f"{call.name}: history_id missing")
        return missing_field("history_id")
    if state.histories.get(history_id) != account.uid:
        state.note(f"{call.name}: unknown history_id {history_id!r}")
    return None


@endpoint("POST", "mainchat-api/conversation/bulk_delete")
def bulk_delete(state: State, call: Call, account: Account) -> Any:
    ids = _field(call, "conversation_ids")
    if not isinstance(ids, list) or not ids:
        state.note(f"{call.name}: conversation_ids missing")
        return missing_field("conversation_ids")
    return _delete(state, call, account, ids)


@endpoint("POST", "backend-api/assistant/conversation/delete")
def delete_conversation(state: State, call: Call, account: Account) -> Any:
    conversation_id = _field(call, "conversation_id")
    if not conversation_id:
        state.note(f"{call.name}: conversation_id missing")
        return missing_field("conversation_id")
    return _delete(state, call, account, [conversation_id])


def _delete(state: State, call: Call, account: Account, ids: list[str]) -> Any:
    assistant_id = _field(call, "assistant_id")
    if not assistant_id:
        state.note(f"{call.name}: assistant_id missing")
        return missing_field("assistant_id")
    for conversation_id in ids:
        conversation = state.conversations.get(conversation_id)
        if conversation is None or conversation.uid != account.uid:
            state.note(f"{call.name}: unknown conversation {conversation_id!r}")
            continue
        if conversation.assistant_id != assistant_id:
            state.note(f"{call.name}: conversation {conversation_id} belongs to another assistant")
            continue
        if (
            conversation.deleted_at is not None
            and monotonic() < conversation.deleted_at + state.answer_lost_after_s
        ):
            state.note(f"{call.name}: conversation {conversation_id} deleted twice")
        if any(running.conversation is conversation and running.is_open for running in account.generations):
            state.note(f"{call.name}: conversation {conversation_id} deleted while the stream was open")
        conversation.deleted_at = monotonic()
    return None


@endpoint("POST", "mainchat-api/conversation/recent_list")
def recent_list(state: State, call: Call, account: Account) -> Any:
    page, size = _field(call, "page") or 1, _field(call, "page_size") or 20
    own = [chat for chat in state.conversations.values() if chat.uid == account.uid and not chat.deleted]
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

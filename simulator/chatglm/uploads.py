"""Uploads of files for a chat, by both endpoints (protocol.md §4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from simulator.records import Call, StoredFile
from simulator.steps import Json, Reply, new_id

from .accounts import Account
from .registry import endpoint, missing_field
from .state import State

MAX_FILE_BYTES = 100 * 1024 * 1024
TOO_LARGE = {"status": 60010, "message": "文件大小超过限制", "result": None}
"""The words are our own invention."""


def odd_references(state: State, files: tuple[Json, ...], account: Account) -> Iterator[str]:
    """Name each file of a chat that the account does not have, or that it has with other properties."""
    for file in files:
        stored = state.files.get(str(file.get("file_id")))
        if stored is None or stored.uid != account.uid:
            yield f"unknown file_id {file.get('file_id')!r}"
            continue
        kind, url = ("image", "image_url") if stored.is_image else ("file", "file_url")
        named = (file.get("kind"), file.get(url), file.get("file_name"), file.get("file_size"))
        known = (kind, stored.url, stored.name, stored.size)
        if named != known:
            yield f"file {stored.id} is referred to as {named}, and is {known}"


@endpoint("POST", "productivity-api/file/chat_upload")
def chat_upload(state: State, call: Call, account: Account) -> Any:
    form = call.json if isinstance(call.json, dict) else {}
    if form.get("from") != "chat":
        state.note(f"{call.name}: from is {form.get('from')!r}")
    if form.get("assistant_id") not in state.agents:
        state.note(f"{call.name}: unknown assistant_id {form.get('assistant_id')!r}")
    stored = _store(state, call, account, form)
    if not isinstance(stored, StoredFile):
        return stored
    result = {
        "file_id": stored.id,
        "file_url": stored.url,
        "file_name": stored.name,
        "file_size": stored.size,
    }
    return [result] if state.uploads_answer_lists else result


@endpoint("POST", "backend-api/assistant/file_upload")
def file_upload(state: State, call: Call, account: Account) -> Any:
    stored = _store(state, call, account, call.json if isinstance(call.json, dict) else {})
    if not isinstance(stored, StoredFile):
        return stored
    return {
        "source_id": stored.id,
        "file_url": stored.url,
        "file_name": stored.name,
        "file_size": stored.size,
        "width": 0,
        "height": 0,
        "maxReadPercent": 100,
    }


def _store(state: State, call: Call, account: Account, form: Json) -> Any:
    file = form.get("file")
    if not isinstance(file, dict):
        state.note(f"{call.name}: no form with a file: {call.headers.get('content-type')!r}")
        return missing_field("file")
    for oddity in _odd_file(call, file):
        state.note(f"{call.name}: {oddity}")
    if file["size"] > MAX_FILE_BYTES:
        return Reply(200, TOO_LARGE)
    stored = StoredFile(
        id=new_id(),
        uid=account.uid,
        path=call.path,
        name=file["file_name"],
        content_type=file["content_type"],
        size=file["size"],
        sha256=file["sha256"],
    )
    state.files[stored.id] = stored
    return stored


def _odd_file(call: Call, file: Json) -> Iterator[str]:
    if "content-length" not in call.headers:
        yield "sent in chunks, without a length"
    if not file["size"]:
        yield "the file is empty"
    name = PurePosixPath(file["file_name"])
    if not name.suffix or name.name != file["file_name"] or not file["file_name"].isprintable():
        yield f"a browser's file has another name than {file['file_name']!r}"
    if "/" not in file["content_type"]:
        yield f"the file's Content-Type is {file['content_type']!r}"

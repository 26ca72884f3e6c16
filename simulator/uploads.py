"""Uploads of files for a chat, both endpoints (protocol.md §4): what came is measured, and forgotten."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from .accounts import Account
from .conversations import Call
from .endpoints import endpoint, missing_field
from .steps import Json, Reply, new_id

if TYPE_CHECKING:
    from .app import Simulator

MAX_FILE_BYTES = 100 * 1024 * 1024
TOO_LARGE = {"status": 60010, "message": "文件大小超过限制", "result": None}
"""The words are our own invention."""

_BOUNDARY = re.compile(r'multipart/form-data; *boundary="?([^";]{1,70})"?')
_DISPOSITION = re.compile(r'form-data; name="([^"]*)"(?:; filename="([^"]*)")?')


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that an account has up here, without its bytes."""

    id: str
    uid: str
    path: str
    """The endpoint that took it."""
    name: str
    content_type: str
    size: int
    sha256: str

    @property
    def url(self) -> str:
        return f"https://sfile.chatglm.cn/testpath/{self.id}{PurePosixPath(self.name).suffix}"

    @property
    def is_image(self) -> bool:
        return self.content_type.startswith("image/")


def read_form(content_type: str, raw: bytes) -> Json | None:
    """Read a multipart body, byte by byte as RFC 7578 has it: texts, and of files their measures.

    None where the body is no form, or is one that a strict reader would not take.
    """
    found = _BOUNDARY.fullmatch(content_type)
    if found is None:
        return None
    line = b"--" + found[1].encode("latin-1")
    if not raw.startswith(line + b"\r\n") or not raw.endswith(b"\r\n" + line + b"--\r\n"):
        return None
    form: Json = {}
    for piece in raw[len(line) + 2 : -len(line) - 6].split(b"\r\n" + line + b"\r\n"):
        head, blank, content = piece.partition(b"\r\n\r\n")
        fields = dict(_fields_of(head))
        disposition = _DISPOSITION.fullmatch(fields.get("content-disposition", ""))
        if not blank or disposition is None or disposition[1] in form:
            return None
        name, file_name = disposition.groups()
        if file_name is None:
            form[name] = content.decode()
            continue
        form[name] = {
            "file_name": file_name.replace("%22", '"'),
            "content_type": fields.get("content-type", ""),
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    return form


def _fields_of(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()


def odd_references(sim: Simulator, files: tuple[Json, ...], account: Account) -> Iterator[str]:
    """Name what a chat refers to and the account does not have, or has otherwise."""
    for file in files:
        stored = sim.files.get(str(file.get("file_id")))
        if stored is None or stored.uid != account.uid:
            yield f"unknown file_id {file.get('file_id')!r}"
            continue
        kind, url = ("image", "image_url") if stored.is_image else ("file", "file_url")
        told = (file.get("kind"), file.get(url), file.get("file_name"), file.get("file_size"))
        known = (kind, stored.url, stored.name, stored.size)
        if told != known:
            yield f"file {stored.id} is referred to as {told}, and is {known}"


@endpoint("POST", "productivity-api/file/chat_upload")
def chat_upload(sim: Simulator, call: Call, account: Account) -> Any:
    form = call.json if isinstance(call.json, dict) else {}
    if form.get("from") != "chat":
        sim.note(f"{call.name}: from is {form.get('from')!r}")
    if form.get("assistant_id") not in sim.agents:
        sim.note(f"{call.name}: unknown assistant_id {form.get('assistant_id')!r}")
    stored = _store(sim, call, account, form)
    if not isinstance(stored, StoredFile):
        return stored
    result = {
        "file_id": stored.id,
        "file_url": stored.url,
        "file_name": stored.name,
        "file_size": stored.size,
    }
    return [result] if sim.uploads_answer_lists else result


@endpoint("POST", "backend-api/assistant/file_upload")
def file_upload(sim: Simulator, call: Call, account: Account) -> Any:
    stored = _store(sim, call, account, call.json if isinstance(call.json, dict) else {})
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


def _store(sim: Simulator, call: Call, account: Account, form: Json) -> Any:
    file = form.get("file")
    if not isinstance(file, dict):
        sim.note(f"{call.name}: no form with a file: {call.headers.get('content-type')!r}")
        return missing_field("file")
    for oddity in _odd_file(call, file):
        sim.note(f"{call.name}: {oddity}")
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
    sim.files[stored.id] = stored
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

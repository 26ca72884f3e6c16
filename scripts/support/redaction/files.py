"""Reads a raw capture of the gateway, and writes the redacted one beside it."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from lib.upstreams.chatglm.captures import FORMAT, SUFFIX, spelled
from scripts.support.redaction.answer import redact

REDACTED_SUFFIX = ".capture.jsonl"
_HEAD_FIELDS = ("glm_capture", "redacted", "recorded_at", "request_id", "status", "content_type")
"""These fields of the head stay. The two ids get new names, and an unknown field is dropped."""


def redact_file(raw: Path) -> Path:
    """Write `NAME.capture.jsonl` for `NAME.raw.jsonl`. Raise ValueError if the file is not a raw capture."""
    if not raw.name.endswith(SUFFIX):
        raise ValueError(f"{raw.name} is not a raw capture: expected a name that ends with {SUFFIX}")
    try:
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in _redacted(_read(raw))]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{raw.name} is not a raw capture of format {FORMAT}") from error
    target = raw.with_name(raw.name.removesuffix(SUFFIX) + REDACTED_SUFFIX)
    unfinished = target.with_name(target.name + ".unfinished")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write("".join(lines).encode())
    unfinished.replace(target)
    return target


def _read(raw: Path) -> list[dict[str, Any]]:
    # Not splitlines: it also splits at U+2028 and U+0085, and JSON does not escape these.
    lines = raw.read_text(encoding="utf-8").rstrip("\n").split("\n")
    records = [json.loads(line) for line in lines]
    if records[0]["glm_capture"] != FORMAT or records[0]["redacted"] is not False:
        raise ValueError(records[0]["glm_capture"])
    return records


def _redacted(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    head, *pieces, last = records
    chunks = [
        base64.b64decode(piece["base64"]) if "base64" in piece else piece["text"].encode() for piece in pieces
    ]
    answer = redact(b"".join(chunks), Random(secrets.randbits(128)))
    ids = {"conversation_id": answer.conversation_id, "history_id": answer.history_id}
    yield {name: head[name] for name in _HEAD_FIELDS} | {"redacted": True} | ids
    done = 0
    for piece, chunk in zip(pieces, chunks, strict=True):
        yield {"at_ms": float(piece["at_ms"]), **spelled(answer.body[done : done + len(chunk)])}
        done += len(chunk)
    yield {"at_ms": float(last["at_ms"]), "end": str(last["end"])}

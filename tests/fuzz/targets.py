"""What is fuzzed: a name, and a check that raises for an input that breaks a promise."""

from __future__ import annotations

from tests.fuzz import clients, files, upstream
from tests.fuzz.fuzzer import Check

TARGETS: dict[str, Check] = {
    "chat": clients.chat,
    "citations": upstream.citations,
    "claims": upstream.claims,
    "envelope": upstream.envelope,
    "form": clients.form,
    "headers": clients.headers,
    "images": clients.images,
    "inflate": files.inflate,
    "inline": files.inline,
    "kinds": files.kinds,
    "names": files.names,
    "records": upstream.records,
    "redaction": upstream.redaction,
    "reply": upstream.reply,
    "sse": upstream.sse,
    "token_check": clients.token_check,
    "video_id": clients.video_id,
    "videos": clients.videos,
}

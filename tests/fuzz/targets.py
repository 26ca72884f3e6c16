"""What is fuzzed: a name, and a check that raises for an input that breaks a promise."""

from __future__ import annotations

from tests.fuzz import clients, dialects, files, official, readers, upstream
from tests.fuzz.fuzzer import Check

TARGETS: dict[str, Check] = {
    "audio": official.audio,
    "chat": clients.chat,
    "citations": upstream.citations,
    "claims": upstream.claims,
    "completions": dialects.completions,
    "contents": dialects.contents,
    "embeddings": official.embeddings,
    "envelope": upstream.envelope,
    "form": clients.form,
    "headers": clients.headers,
    "images": clients.images,
    "inflate": files.inflate,
    "inline": files.inline,
    "json_answer": readers.json_answer,
    "kinds": files.kinds,
    "messages": dialects.messages,
    "names": files.names,
    "official": official.official,
    "query": dialects.query,
    "records": upstream.records,
    "redaction": upstream.redaction,
    "reply": upstream.reply,
    "rerank": official.rerank,
    "response_id": dialects.response_id,
    "responses": dialects.responses,
    "sse": upstream.sse,
    "surrogates": dialects.surrogates,
    "token_check": clients.token_check,
    "tokens": dialects.tokens,
    "tool_calls": readers.tool_calls,
    "video_id": clients.video_id,
    "videos": clients.videos,
}

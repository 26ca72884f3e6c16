"""Checks of what reads the upstream's words, and records that may be anybody's: whatever comes, it holds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Any
from zlib import crc32

import msgspec

from lib.chat.answer import Answer
from lib.chat.events import Citation, Failed, Finished, ReplyEvent, Rewritten, Started, TextDelta, Withdrawn
from lib.chat.request import ChatRequest, Message, TextPart
from lib.dialects.interface import Rendering
from lib.dialects.openai_chat import render, renderer
from lib.dialects.openai_chat_request import AskedChat
from lib.dialects.openai_errors import error_body
from lib.errors import AccountRefused, GatewayError
from lib.flows.plan import plan
from lib.sse import EventSplitter
from lib.upstreams.chatglm import catalogue
from lib.upstreams.chatglm.accounts import cooldowns
from lib.upstreams.chatglm.accounts.account import parse_account, token_expiry
from lib.upstreams.chatglm.accounts.chain import CHAINS, NOTES
from lib.upstreams.chatglm.decoder.citations import MarkerReader, Sources
from lib.upstreams.chatglm.decoder.stream import ReplyDecoder
from lib.upstreams.chatglm.wire.drawing import in_order, linked_images, read_styles
from lib.upstreams.chatglm.wire.refusals import read_envelope
from lib.upstreams.chatglm.wire.videos import read_status
from lib.upstreams.interface import Abilities
from scripts.support.redaction.answer import redact
from tests.unit.upstreams.chatglm.decoder.upstream_events import final_text, streamed_text

NOW = 1_790_000_000.0
CHAT = ChatRequest(model="glm", messages=(Message("user", (TextPart("?"),)),))
_UNUSUAL_KEY = re.compile(
    r"turn\d{5}|turn\d+[a-z]{17}|turn\d+[a-z]+\d{5}|(?:turn\d+[a-z]+\d+){12}|【[^】]{200}"
)
"""What is held back for the rest of a marker has a limit; what is longer may be cut in two."""
SAID = "SAID 秘密".encode()
"""In the seeds of what is redacted: no word that may be kept."""
MAX_MESSAGE = 2000
"""Characters of an error."""
SHORT = 3000
"""Bytes up to which an input is also fed one by one."""


def chunkings(data: bytes) -> Iterable[list[bytes]]:
    """Cut the input in several ways, which depend on nothing but the input."""
    yield [data]
    chance = Random(crc32(data))
    for most in (2, 12):
        cuts = sorted(chance.randint(0, len(data)) for _ in range(most))
        yield [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]
    if len(data) <= SHORT:
        yield [data[at : at + 1] for at in range(len(data))]


def check_message(error: GatewayError) -> None:
    """Hold that an error can be told, and quotes little of what came."""
    assert set(json.loads(error_body(error))["error"]) == {"message", "type", "param", "code"}
    assert len(error.message) < MAX_MESSAGE


def sse(data: bytes) -> None:
    told = [_payloads(chunks) for chunks in chunkings(data)]
    assert all(payloads == told[0] for payloads in told), "the chunks make a difference"
    assert sum(map(len, told[0])) <= len(data)


def _payloads(chunks: list[bytes]) -> list[bytes]:
    splitter = EventSplitter()
    return [payload for chunk in chunks for payload in splitter.feed(chunk)] + splitter.end()


def reply(data: bytes) -> None:
    """One reply of the upstream: decoded however it is cut, limited, and rendered both ways."""
    continues = bool(crc32(data) & 1)
    batches = [_decoded(chunks, continues) for chunks in chunkings(data)]
    told = [[event for batch in batched for event in batch] for batched in batches]
    comparable = [[without_identity(event) for event in events] for events in told]
    assert all(events == comparable[0] for events in comparable), "the chunks make a difference"
    events = told[0]
    check_end(events)
    if b"\\" not in data and b"finish" not in data:
        assert not isinstance(events[-1], Finished) or events[-1].reason != "stop", "a cut stream is no stop"
    _check_rendered(events)
    _check_limited(batches, Random(crc32(data)))


def _decoded(chunks: list[bytes], continues: bool) -> list[list[ReplyEvent]]:
    decoder = ReplyDecoder(continues_conversation=continues)
    told: list[list[ReplyEvent]] = []
    try:
        told.extend(map(decoder.feed, chunks))
        told.append(decoder.end())
    except GatewayError as error:
        told.append([Failed(error)])
    return told


def without_identity(event: ReplyEvent) -> Any:
    if isinstance(event, Failed):
        return type(event.error), event.error.message, event.error.code, event.error.retry
    return event


def check_end(events: Sequence[ReplyEvent]) -> None:
    ends = [isinstance(event, Finished | Failed) for event in events]
    assert ends.count(True) == 1, "one end"
    assert ends[-1], "and nothing after it"


def _check_rendered(events: Sequence[ReplyEvent]) -> None:
    asked, how, started = (
        AskedChat(chat=CHAT, include_usage=True),
        Rendering(created=1, model="m"),
        Started("a", "glm"),
    )
    opened = renderer(asked, how)
    frames = b"".join(opened.feed([event]) for event in (started, *events))
    streamed = _streamed(frames)
    last = events[-1]
    if isinstance(last, Failed):
        assert b"[DONE]" not in frames, "what failed is not done"
        check_message(last.error)
        return
    answer = json.loads(render(asked, Answer([started, *events]), how))
    content = answer["choices"][0]["message"]["content"]
    assert content == final_text(events)
    if not any(isinstance(event, Rewritten | Withdrawn) for event in events):
        assert streamed == content, "what is streamed, joined, is the whole"


def _streamed(frames: bytes) -> str:
    """Read a stream as a client does that splits it into lines."""
    text = ""
    for line in frames.decode().splitlines():
        assert not line or line.startswith("data: "), "a line of its own"
        if line and line != "data: [DONE]":
            for choice in json.loads(line.removeprefix("data: ")).get("choices", ()):
                text += choice["delta"].get("content", "")
    return text


def _check_limited(batches: Sequence[Sequence[Sequence[ReplyEvent]]], chance: Random) -> None:
    """Limits cut a reply in the same place, and end it once, in whatever batches it comes."""
    whole = streamed_text(event for batch in batches[0] for event in batch)
    at = chance.randint(0, len(whole))
    stop = tuple(filter(None, (whole[at : at + chance.randint(1, 3)], "\n\nObservation:")))
    max_tokens = chance.choice((None, 1, 5, 100))
    silent = chance.random() < 0.2
    told = [_limited(batched, stop, max_tokens, silent=silent) for batched in batches]
    texts = {streamed_text(events) for events in told}
    assert len(texts) == 1, "the batches make a difference"
    for events in told:
        assert sum(isinstance(event, Finished | Failed) for event in events) == 1, "one end"
        assert isinstance(events[-1], Finished | Failed), "and nothing after it"


def _limited(
    batches: Sequence[Sequence[ReplyEvent]], stop: tuple[str, ...], max_tokens: int | None, *, silent: bool
) -> list[ReplyEvent]:
    asked = msgspec.structs.replace(CHAT, stop=stop, max_tokens=max_tokens)
    limits = plan(asked, Abilities(silent=silent)).stages
    told: list[ReplyEvent] = []
    for batch in batches:
        if not limits.is_done:
            told += limits.feed(batch)
    return told


_MISCOUNTED = re.compile(r"【\d{1,4}†(?:source|来源|源)】")
"""An answer with pages that markers count through loses a marker without a page."""


def citations(data: bytes) -> None:
    """The first line names sources, the rest is a text."""
    named, _, text = data.decode("utf-8", "replace").partition("\n")
    if _UNUSUAL_KEY.search(text) or _UNUSUAL_KEY.search(named):
        return
    told = []
    for cuts in (0, 1, 5, 400):
        sources = Sources()
        for key in named.split(","):
            sources.add(f"https://example.org/{key}", key, key or None)
        chance = Random(crc32(data) + cuts)
        at = sorted(chance.randint(0, len(text)) for _ in range(cuts))
        reader = MarkerReader(sources)
        pieces = [text[start:end] for start, end in pairwise([0, *at, len(text)])]
        events = [event for piece in pieces if piece for event in reader.feed(piece)] + reader.end()
        told.append(_joined(events))
    assert all(events == told[0] for events in told), "the cuts make a difference"
    if not any(isinstance(event, Citation) for event in told[0]):
        kept = _MISCOUNTED.sub("", text) if "" in named.split(",") else text
        assert "".join(event for event in told[0] if isinstance(event, str)) == kept


def _joined(events: Sequence[TextDelta | Citation]) -> list[str | Citation]:
    joined: list[str | Citation] = []
    for event in events:
        if isinstance(event, TextDelta) and joined and isinstance(joined[-1], str):
            joined[-1] += event.text
        else:
            joined.append(event.text if isinstance(event, TextDelta) else event)
    return joined


def envelope(data: bytes) -> None:
    """The first byte is the status, the rest the body of an answer that is no stream."""
    status = (200, 200, 200, 401, 403, 429, 500, 502)[data[0] % 8] if data else 200
    try:
        answer = read_envelope(status, "application/json", data[1:])
    except GatewayError as error:
        check_message(error)
        return
    assert (status, answer.number) == (200, 0)
    _read_result(answer.result)


def _read_result(result: Any) -> None:
    """Whatever an answer holds is read without a fault, or refused as the upstream's."""
    styles = read_styles(result)
    assert all(isinstance(word, str) for style in styles.items() for word in style)
    if isinstance(result, str):
        in_order(linked_images(result))
    try:
        status = read_status(result)
    except GatewayError:
        return
    assert 0 <= status.progress <= 100
    json.loads(msgspec.json.encode(status))


def claims(data: bytes) -> None:
    """A token: what somebody sent as one, or what the upstream answered."""
    token = data.decode("utf-8", "surrogateescape")
    expiry = token_expiry(token, now=NOW)
    assert math.isfinite(expiry)
    try:
        account = parse_account(token)
    except AccountRefused as error:
        check_message(error)
        return
    assert len(account.label) == 8
    assert len(token) < 12 or token not in repr(account)
    account.device_id.encode("ascii")
    assert account.expires_at is None or math.isfinite(account.expires_at)


def records(data: bytes) -> None:
    """A record of the store, which another version may have written, or somebody else."""
    text = data.decode("utf-8", "replace")
    cool_downs = cooldowns.RECORDS.decode(text) or cooldowns.CoolDowns()
    account = parse_account("a.b.c")
    cool_downs.of(account, NOW)
    cool_downs.lasts_until()
    assert cooldowns.RECORDS.decode(cooldowns.RECORDS.encode(cool_downs)) == cool_downs
    chain = CHAINS.decode(text)
    assert chain is None or CHAINS.decode(CHAINS.encode(chain)) == chain
    note = NOTES.decode(text)
    assert note is None or NOTES.decode(NOTES.encode(note)) == note
    models = catalogue.LISTS.decode(text)
    assert models is None or catalogue.LISTS.decode(catalogue.LISTS.encode(models)) == models


def redaction(data: bytes) -> None:
    """A recorded answer: nothing that was said is left in it, and each line stays as long as it was."""
    redacted = redact(data, Random(1))
    assert [*map(len, redacted.body.split(b"\n"))] == [*map(len, data.split(b"\n"))]
    assert SAID not in redacted.body, "what was said is still there"

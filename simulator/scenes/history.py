"""Forms of 2024 and 2025, mixtures of forms, and odd framing."""

from __future__ import annotations

import json
from collections.abc import Iterator

from simulator.steps import Cue, Json, Script, Step, cut, frame, text_item, think_item

from .registry import scene

_STORY = "从前有一座山。Once upon a time there was a hill, and on it a temple: “1, 2, 3”."


def _snapshots(cue: Cue, *, increase: bool | None) -> Iterator[Step]:
    script = Script(cue)
    yield script.opening()
    thinks = bool(cue.chat_mode)
    if thinks:
        thought = "先想一想。Think first."
        cue.thought.append(thought)
        for end in range(2, len(thought) + 1, 4):
            item = think_item(thought[:end]) | {"status": "init"}
            yield script.event(script.part("k", item), increase=increase)
        yield script.finish_part("k", think_item(thought) | {"status": "finish"})
    so_far = ""
    # The empty and the one-character snapshot come first: they mislead a guess.
    for piece in ["", *cut(_STORY)]:
        so_far += piece
        cue.said.append(piece)
        item = text_item(so_far) | {"status": "init"}
        yield script.event(script.part("t", item), increase=increase)
    settled = script.part("t", text_item(_STORY) | {"status": "finish"}, status="finish")
    yield script.event(settled, increase=increase)
    yield script.event(settled, status="finish", increase=increase)


@scene()
def snapshots(cue: Cue) -> Iterator[Step]:
    """Send cumulative snapshots with the flag false; items have a status (2024)."""
    yield from _snapshots(cue, increase=False)


@scene()
def snapshots_unflagged(cue: Cue) -> Iterator[Step]:
    """Send cumulative snapshots without the flag (2024)."""
    yield from _snapshots(cue, increase=None)


@scene()
def finished_parts_only(cue: Cue) -> Iterator[Step]:
    """Show finished parts only, as anonymous streams do."""
    script = Script(cue)
    yield script.opening()
    for line in ("One finished part.", "Another one. 又一段。"):
        cue.said.append(line)
        yield script.finish_part(line, text_item(line))
    yield script.finish()


@scene()
def mixed(cue: Cue) -> Iterator[Step]:
    """Send reasoning as unflagged snapshots and text as flagged increments (2026, as some describe it)."""
    yield from _mixed(cue, increase=True)


@scene()
def mixed_unflagged(cue: Cue) -> Iterator[Step]:
    """Send reasoning as snapshots and text as increments, nothing flagged."""
    yield from _mixed(cue, increase=None)


def _mixed(cue: Cue, *, increase: bool | None) -> Iterator[Step]:
    script = Script(cue)
    thought, words = "拆解用户请求：今天深圳天气", ["好的，", "深圳今天", "多云间晴天，", "气温26", "~33℃。"]
    yield script.opening()
    for end in (6, 7, len(thought)):
        yield script.event(script.part("k", think_item(thought[:end])), increase=None)
    cue.thought.append(thought)
    yield script.finish_part("k", think_item(thought))
    yield from script.increments("text", words, logic_id="t", increase=increase)
    yield script.finish_part("t", text_item("".join(words)))
    yield script.finish()


@scene()
def captured(cue: Cue) -> Iterator[Step]:
    """Replay the capture of 2026-09-26: reduced envelope, no flags."""
    pieces = ["1", ",", " ", "2", ",", " ", "3", ",", " ", "4, 5"]
    ids = {"id": cue.history_id, "conversation_id": cue.conversation_id}

    def event(content: str, part_status: str, status: str = "init") -> Json:
        part = {"id": cue.history_id, "logic_id": "L1", "role": "assistant", "status": part_status}
        return ids | {"status": status, "parts": [part | {"content": [text_item(content)]}]}

    yield frame(ids | {"status": "init", "parts": []})
    for piece in pieces:
        cue.said.append(piece)
        yield frame(event(piece, "init"))
    yield frame(event("".join(pieces), "finish"))
    yield frame(event("".join(pieces), "finish", "finish"))


@scene()
def increments_unflagged(cue: Cue) -> Iterator[Step]:
    """Send increments without the flag, equal neighbours among them."""
    pieces = ["好", "好", "好", "，", "", "“", "1", ",", ",", " ", "2", "”", " and", " and", " so on."]
    script = Script(cue)
    yield script.opening()
    yield from script.increments("text", pieces, logic_id="t", increase=None)
    yield script.event(script.part("t", text_item("".join(pieces)), status="finish"), increase=None)
    yield script.event(
        script.part("t", text_item("".join(pieces)), status="finish"), status="finish", increase=None
    )


@scene()
def process_status(cue: Cue) -> Iterator[Step]:
    """Use the statuses `process` and `processing` for events and parts under way."""
    script = Script(cue)
    yield script.opening() | {"status": "process"}
    for number, piece in enumerate(["Working", " on", " it."]):
        cue.said.append(piece)
        status = ("process", "processing")[number % 2]
        yield script.event(script.part("t", text_item(piece), status=status), status=status, increase=True)
    yield script.finish_part("t", text_item(cue.answer))
    yield script.finish()


@scene()
def unknown_items(cue: Cue) -> Iterator[Step]:
    """Mix in unknown items, fields, events and nulls."""
    script = Script(cue)
    words = ["What is unknown", " is to be ignored."]
    yield script.opening()
    yield script.event(script.part("x1", {"type": "ppt", "ppt": {"pages": [1, 2]}}), increase=True)
    yield from script.increments("text", words[:1], logic_id="t")
    yield script.event(script.part("x2", {"type": "mcp_call", "mcp_call": {"name": "map"}}), future_field=[1])
    yield script.event(script.part("x3", {"type": "file", "file": [{"file_id": "f"}]}, {"odd": True}))
    yield script.event(script.part("x4", {"type": "video", "video": None}, meta_data=None, recipient=None))
    yield script.event(last_error=None, parts=[], meta_data={"answer_type": "new_kind"})
    yield b'event: heartbeat\ndata: {"status": "init"}\n\n'
    yield from script.increments("text", words[1:], logic_id="t")
    yield script.finish_part("t", text_item("".join(words)))
    yield script.finish()


@scene()
def junk_lines(cue: Cue) -> Iterator[Step]:
    """Mix in empty data, text that is no JSON, comments, other field names, any spacing, CR LF."""
    script = Script(cue)
    pieces = ["No space, ", "one space, ", "two spaces, ", "CR LF. ", "没有 event 行。"]
    yield _spaced(script.opening(), "data:")
    yield b"data:\n\n"
    yield b": a comment\n\n"
    forms = ["data:", "data: ", "data:  ", "crlf", "bare"]
    for piece, form in zip(pieces, forms, strict=True):
        cue.said.append(piece)
        yield _spaced(script.event(script.part("t", text_item(piece)), increase=True), form)
        yield b"event: message\ndata: \n\n"
        yield b"data: ping\n\n"
        yield b"id: 7\nretry: 1000\n\n"
    yield b'data: {"status": "fin\n\n\n\n\n'
    yield b'data: [1, 2]\n\ndata: null\n\ndata: 7\n\ndata: "finish"\n\n'
    yield script.finish_part("t", text_item(cue.answer))
    yield script.finish()


def _spaced(event: Json, form: str) -> bytes:
    body = frame(event).removeprefix(b"event: message\ndata: ").removesuffix(b"\n\n")
    match form:
        case "crlf":
            return b"event: message\r\ndata: " + body + b"\r\n\r\n"
        case "bare":
            return b"data: " + body + b"\n\n"
        case _:
            return b"event: message\n" + form.encode() + body + b"\n\n"


@scene()
def escaped(cue: Cue) -> Iterator[Step]:
    r"""Write every character outside ASCII as \uXXXX, with surrogate pairs."""
    script = Script(cue)
    pieces = ["Grüße ", "世界 ", "👋🏽", " 𝒢"]
    cue.said.extend(pieces)
    events = [script.opening()]
    events += [script.event(script.part("t", text_item(piece)), increase=True) for piece in pieces]
    events += [script.finish_part("t", text_item(cue.answer)), script.finish()]
    for event in events:
        yield f"event: message\ndata: {json.dumps(event)}\n\n".encode()

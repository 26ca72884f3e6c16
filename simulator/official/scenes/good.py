"""Answers of the official API that go well."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.agent.model import Move, decide
from simulator.official.chunks import DONE, new_call_id
from simulator.official.reading import naming_text
from simulator.scenes import sample_text, strip_tags
from simulator.steps import Pause, Step

from .registry import Ask, scene

SOURCES = [
    {
        "icon": "https://example.com/icon.png",
        "title": f"Result {number}",
        "link": f"https://example.com/{number}",
        "media": "example.com",
        "publish_date": "2026-11-01",
        "content": f"In short, {number}.",
        "refer": f"ref_{number}",
    }
    for number in (1, 2)
]


def _search_of(ask: Ask) -> list[dict[str, str]]:
    """Return the sources if the request searches the web and asks for them."""
    for tool in ask.body.get("tools") or ():
        search = tool.get("web_search") or {}
        if tool["type"] == "web_search" and search.get("enable", True) and search.get("search_result"):
            return SOURCES
    return []


@scene()
def default(ask: Ask) -> Iterator[Step]:
    """Act on tools and `[agent: …]`, think if thinking is on, give sources if they are asked for.

    `ids=call|negative|date` is the form of the ids, `arguments=object` an object in place of a string (§3).
    """
    move = decide(ask.reading)
    thought = f"Step {move.step}: the user wrote “{_said(ask)[:60]}”."
    if ask.thinks:
        yield from ask.script.write(thought, kind="reasoning_content")
    if sources := _search_of(ask):
        yield ask.script.chunk({"content": ""}, web_search=sources)
    if move.calls:
        yield from _call(ask, move, thought if ask.thinks else "")
        return
    text = (
        move.words if _has_task(ask) else f"You said: “{_said(ask)}”. I am the simulated {ask.script.model}."
    )
    limit = ask.body.get("max_tokens")
    pieces = list(ask.script.write(text, step=ask.count("step", 0)))
    if isinstance(limit, int) and len(pieces) > 2 * limit:
        yield from pieces[: 2 * limit]
        yield from ask.script.finish("length")
        return
    yield from pieces
    yield from ask.script.finish()


def _call(ask: Ask, move: Move, thought: str) -> Iterator[Step]:
    if move.words:
        yield from ask.script.write(move.words)
    fragments = ask.count("fragments", 7) if ask.body.get("tool_stream") and ask.is_streamed else 0
    for number, call in enumerate(move.calls):
        call_id = new_call_id(ask.args.get("ids", "call"))
        if thought:
            ask.reasonings[call_id] = thought
        yield from ask.script.call(
            call, number, call_id=call_id, fragments=fragments, form=ask.args.get("arguments", "")
        )
    yield from ask.script.finish("tool_calls")


def _has_task(ask: Ask) -> bool:
    return ask.reading.wants_json or "[agent:" in naming_text(ask.body["messages"]) or bool(ask.reading.tools)


def _said(ask: Ask) -> str:
    words = [item.text for item in ask.reading.items if item.kind == "words"]
    return strip_tags(words[-1]).strip() if words else ""


@scene()
def text(ask: Ask) -> Iterator[Step]:
    """Answer `sample_text(chars, seed)` in pieces of `step`; `think` characters of reasoning come first."""
    step, seed = ask.count("step", 5), ask.count("seed", 1)
    if thinks := ask.count("think", 0):
        yield from ask.script.write(sample_text(thinks, seed + 1), kind="reasoning_content", step=step)
    yield from ask.script.write(sample_text(ask.count("chars", 500), seed), step=step)
    yield from ask.script.finish()


@scene()
def slow(ask: Ask) -> Iterator[Step]:
    """Wait `first` seconds, then `gap` seconds between `count` words."""
    yield Pause(ask.number("first", 0.5))
    for number in range(ask.count("count", 5)):
        yield from ask.script.write(f"word{number} ", step=99)
        yield Pause(ask.number("gap", 0.05))
    yield from ask.script.finish()


@scene()
def boxed(ask: Ask) -> Iterator[Step]:
    """Leave the tags of 4.5v in the content: thinking, and the box around the answer (§3)."""
    yield from ask.script.write("<think>short</think>The answer is <|begin_of_box|>42<|end_of_box|>.", step=4)
    yield from ask.script.finish()


@scene()
def odd_lines(ask: Ask) -> Iterator[Step]:
    """Mix comments, empty deltas, and `finish_reason` of null and "" into a good answer."""
    yield b": keep-alive\n\n"
    yield ask.script.chunk({"content": "\n"}, finish_reason=None)
    yield ask.script.chunk({}, finish_reason="")
    yield from ask.script.write("Good.", step=2)
    yield b":\n\n"
    yield from ask.script.finish()


@scene()
def finished_twice(ask: Ask) -> Iterator[Step]:
    """Give `finish_reason` with the last words and again with the usage."""
    yield from ask.script.write("Once", step=9)
    yield ask.script.chunk({"content": " and twice."}, finish_reason="stop")
    yield from ask.script.finish()


@scene()
def late_done(ask: Ask) -> Iterator[Step]:
    """Give the reason and the usage, then no `[DONE]` for `s` seconds."""
    yield from ask.script.write("All is said.", step=4)
    yield ask.script.chunk({"content": ""}, finish_reason="stop", usage=ask.script.usage())
    yield Pause(ask.number("s", 0.2))
    yield DONE

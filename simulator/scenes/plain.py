"""Answers that go well, in the form of 2026."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from simulator.steps import PACE, Cue, Script, Step, cut, text_item, think_item

from .registry import scene, strip_tags
from .samples import sample_text


@scene()
def echo(cue: Cue) -> Iterator[Step]:
    """Answer the prompt as it came; `strip=1` without scene tags, `step` characters at a time."""
    text = strip_tags(cue.prompt) if cue.args.get("strip") else cue.prompt
    script = Script(cue)
    yield script.opening()
    yield from script.write("text", text, step=cue.count("step", 0))
    yield script.finish()


@scene()
def text(cue: Cue) -> Iterator[Step]:
    """Answer `sample_text(chars, seed)`, `step` characters an event.

    `think` characters of reasoning come first; `batch` events are sent in one write; `times` repeats the
    text, and so makes megabytes at little cost.
    """
    step, batch = cue.count("step", 5), cue.count("batch", 1)
    pieces = cut(sample_text(cue.count("chars", 2000), cue.count("seed", 1)), step) * cue.count("times", 1)
    script = Script(cue)
    yield script.opening()
    if cue.count("think", 0):
        yield from script.write(
            "think", sample_text(cue.count("think", 0), cue.count("seed", 1) + 1), step=step
        )
    frames = script.increments("text", pieces, logic_id="text")
    if batch > 1:
        waiting = list(frames)
        for start in range(0, len(waiting), batch):
            yield b"".join(waiting[start : start + batch])
            yield PACE
    else:
        for increment in frames:
            yield increment
            yield PACE
    yield script.finish_part("text", text_item("".join(pieces)))
    yield script.finish()


@scene()
def increments_equal_neighbours(cue: Cue) -> Iterator[Step]:
    """Send equal increments in a row, also ones that repeat the beginning of the text."""
    pieces = ["1", ",", ",", " ", " ", "1", "1", ",", "1", "哈", "哈", "哈", "1,", "1,", "\n", "\n"]
    script = Script(cue)
    yield script.opening()
    yield from script.write("text", "".join(pieces), pieces=pieces)
    yield script.finish()


@scene()
def several_text_parts(cue: Cue) -> Iterator[Step]:
    """Answer in three text parts; the terminal event repeats them all."""
    script = Script(cue)
    yield script.opening()
    for line in ("First part of the answer.", "Second part, 第二部分。", "Third and last part."):
        yield from script.write("text", line)
    yield script.finish(*script.settled.values())


@scene()
def parts_out_of_order(cue: Cue) -> Iterator[Step]:
    """Send two parts with interleaved events; their logic_ids sort the other way round."""
    script = Script(cue)
    first, second = f"f{uuid.uuid4()}"[:36], f"0{uuid.uuid4()}"[:36]
    yield script.opening()
    head = ["Came ", "first, "]
    tail = ["came ", "second."]
    yield from script.increments("text", head, logic_id=first)
    yield from script.increments("text", tail[:1], logic_id=second)
    yield script.finish_part(first, text_item("".join(head)))
    yield from script.increments("text", tail[1:], logic_id=second)
    yield script.finish_part(second, text_item("".join(tail)))
    yield script.finish(script.settled[second], script.settled[first])


@scene()
def terminal_only(cue: Cue) -> Iterator[Step]:
    """Say everything in the terminal event."""
    content = "All of this came with the terminal event. 全部在最后。"
    script = Script(cue)
    cue.said.append(content)
    yield script.opening()
    yield script.finish(script.part("only", text_item(content), status="finish"))


@scene()
def terminal_extends(cue: Cue) -> Iterator[Step]:
    """Say more in the terminal event than was sent before."""
    script = Script(cue)
    yield script.opening()
    yield from script.increments("text", ["The beginning", " was sent,"], logic_id="t")
    cue.said.append(" the end came late.")
    yield script.finish(script.part("t", text_item(cue.answer), status="finish"))


@scene()
def rewritten(cue: Cue) -> Iterator[Step]:
    """Settle on a text that does not extend the increments."""
    script = Script(cue)
    yield script.opening()
    yield from script.increments("text", ["The answer", " is", " 41."], logic_id="t")
    cue.said[:] = ["The answer is 42, to be exact."]
    yield script.finish_part("t", text_item(cue.answer))
    yield script.finish()


@scene()
def think_beside_text(cue: Cue) -> Iterator[Step]:
    """Carry reasoning and text as two items of one part."""
    script = Script(cue)
    yield script.opening()
    thoughts, words = ["Two items", " in one part."], ["Text beside", " the reasoning."]
    cue.thought.extend(thoughts)
    cue.said.extend(words)
    for thought in thoughts:
        yield script.event(script.part("both", think_item(thought), text_item("")), increase=True)
    for word in words:
        yield script.event(script.part("both", think_item(""), text_item(word)), increase=True)
    yield script.finish_part("both", think_item(cue.reasoning), text_item(cue.answer))
    yield script.finish()


@scene()
def think_then_text(cue: Cue) -> Iterator[Step]:
    """Reason in one part, answer in the next; the terminal event repeats both."""
    script = Script(cue)
    yield script.opening()
    yield from script.write("think", "The user wants a short answer. 简短即可。")
    yield from script.write("text", "Here it is. 好的。")
    yield script.finish(*script.settled.values())


@scene()
def think_only(cue: Cue) -> Iterator[Step]:
    """Reason, and then finish without any text."""
    script = Script(cue)
    yield script.opening()
    yield from script.write("think", "I thought about it and had nothing to say.")
    yield script.finish()

"""Answers that go well, in the form of 2026."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterator
from functools import lru_cache

from simulator.dialogue import user_texts
from simulator.steps import PACE, Cue, Pause, Script, Split, Step, cut, frame, text_item, think_item

from .registry import scene, strip_tags

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ASKS_FOR_FIRST = re.compile(
    r"\b(?:say|said|ask(?:ed)?|message)\b.*\bfirst\b|\bfirst\b.*\b(?:say|said|ask)|第一"
)
_MAX_QUOTE = 80
_WORDS = (  # noqa: SIM905 - a list of forty strings is no easier to read
    "the of a model answer stream token river light is and to in under moon, time. small again: "
    '你好 世界 春天 模型 回答，以及 河流。 一个 `code` **bold** "quoted" back\\slash <tag> & 🙂 é ß\n\n- \n'
).split(" ")


@lru_cache(maxsize=16)
def sample_text(chars: int, seed: int = 1) -> str:
    """Make a text of exactly that many characters, the same for the same arguments."""
    words = random.Random(seed).choices(_WORDS, k=chars)
    return " ".join(words)[:chars]


def _model_name(cue: Cue) -> str:
    return "glm-5.3" if cue.model == "moe_53" else "glm-5.3-flash"


def _quote(text: str) -> str:
    """Return the last line of what a person said, shortened."""
    lines = [line.strip() for line in strip_tags(text).splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return line if len(line) <= _MAX_QUOTE else line[: _MAX_QUOTE - 1] + "…"


def _earlier_texts(cue: Cue) -> list[str]:
    """Return what the person said before, in this conversation or in a flattened history."""
    return [text for turn in cue.turns for text in user_texts(turn.prompt)] + user_texts(cue.prompt)[:-1]


def _friendly_english(cue: Cue, said: str) -> str:
    earlier = _earlier_texts(cue)
    if earlier and _ASKS_FOR_FIRST.search(said):
        memory = f"The first thing you said here was: “{_quote(earlier[0])}”\n\n"
    elif earlier:
        memory = f"This is turn {len(earlier) + 1} of our conversation, and I remember the earlier ones. "
    else:
        memory = ""
    return (
        f"Hello! {memory}You said: “{said}”\n\n"
        "I am the demo simulator of glm-gateway, so no model was asked, but everything on the way was real: "
        "the signed request, the token, the stream and its clean-up.\n\n"
        "A few things you can try:\n\n"
        "1. ask with `stream: true` and watch the words arrive;\n"
        "2. pass the answer's id as `conversation_id` and ask what you said first;\n"
        "3. write `[scene:web_search]` in your message to see sources.\n\n"
        f"Served as `{_model_name(cue)}`. Have fun!"
    )


def _friendly_chinese(cue: Cue, said: str) -> str:
    earlier = _earlier_texts(cue)
    if earlier and _ASKS_FOR_FIRST.search(said):
        memory = f"你在这里说的第一句话是：“{_quote(earlier[0])}”\n\n"
    elif earlier:
        memory = f"这是我们对话的第 {len(earlier) + 1} 轮，前面的内容我都记得。"
    else:
        memory = ""
    return (
        f"你好！{memory}你刚才说：“{said}”\n\n"
        "我是 glm-gateway 的演示模拟器，并没有真正的模型在回答；"
        "但一路上的签名、令牌、流式传输和清理都是真的。\n\n"
        "可以试试：\n\n"
        "1. 加上 `stream: true`，看文字逐字到达；\n"
        "2. 把回答的 id 作为 `conversation_id` 传回来，问我你第一句说了什么；\n"
        "3. 在消息里写 `[scene:web_search]`，看看引用来源。\n\n"
        f"本次由 `{_model_name(cue)}` 提供服务，祝你玩得开心！"
    )


def _reasoning(said: str) -> str:
    if _CHINESE.search(said):
        return f"用户说的是“{said}”。我只是模拟器，不需要真的推理，友好地回应，并说明自己是演示即可。"
    return (
        f"The user wrote “{said}”. I am only a simulator, so there is nothing to work out: "
        "greet them, say what I am, and show what they can try."
    )


@scene()
def default(cue: Cue) -> Iterator[Step]:
    """Chat in a friendly way, in the prompt's language; think first when the mode says so."""
    said = _quote(user_texts(cue.prompt)[-1])
    script = Script(cue)
    yield script.opening()
    if cue.chat_mode:
        yield from script.write("think", _reasoning(said))
    friendly = _friendly_chinese if _CHINESE.search(said) else _friendly_english
    yield from script.write("text", friendly(cue, said))
    yield script.finish()


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
    """Send equal increments in a row, also ones that begin like what was said before."""
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
    """Send two parts whose logic_ids sort the other way round, with their events interleaved."""
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
    """Settle on a text that is not an extension of what was sent."""
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


@scene()
def slow(cue: Cue) -> Iterator[Step]:
    """Wait `first` seconds before the first content, then `gap` seconds between `count` increments."""
    script = Script(cue)
    yield script.opening()
    yield Pause(cue.number("first", 0.5))
    pieces = [f"word {number} " for number in range(cue.count("count", 10))]
    for increment in script.increments("text", pieces, logic_id="t"):
        yield increment
        yield Pause(cue.number("gap", 0.05))
    yield script.finish_part("t", text_item("".join(pieces)))
    yield script.finish()


@scene()
def big_event(cue: Cue) -> Iterator[Step]:
    """Put `chars` characters in a single increment."""
    content = sample_text(cue.count("chars", 1_000_000), cue.count("seed", 1))
    script = Script(cue)
    yield script.opening()
    yield from script.write("text", content, pieces=[content])
    yield script.finish()


@scene()
def many_tiny(cue: Cue) -> Iterator[Step]:
    """Send `count` increments of one character each, `batch` of them in a write."""
    content = sample_text(cue.count("count", 5000), cue.count("seed", 1))
    script = Script(cue)
    yield script.opening()
    frames = list(script.increments("text", cut(content, 1), logic_id="t"))
    batch = cue.count("batch", 50)
    for start in range(0, len(frames), batch):
        yield b"".join(frames[start : start + batch])
    yield script.finish_part("t", text_item(content))
    yield script.finish()


def _whole(cue: Cue, content: str) -> bytes:
    """Return all the bytes of an answer at once."""
    script = Script(cue)
    frames = [frame(script.opening()), *script.increments("text", cut(content, 10), logic_id="t")]
    frames += [frame(script.finish_part("t", text_item(content))), frame(script.finish())]
    return b"".join(frames)


@scene()
def utf8_split(cue: Cue) -> Iterator[Step]:
    """Send every byte on its own, so that characters of several bytes are cut."""
    yield Split(_whole(cue, "Grüße, 世界! 👩‍👩‍👧 ﷽ – naïve 𝒢𝓁𝓂 “ok” \u2028 end"), 1)


@scene()
def one_byte(cue: Cue) -> Iterator[Step]:
    """Send a plain answer byte by byte, or `size` bytes at a time."""
    yield Split(_whole(cue, "One byte at a time."), cue.count("size", 1))

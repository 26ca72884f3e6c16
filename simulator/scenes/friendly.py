"""The answer without a tag: act on the prompt's tools, or talk a little in the language of the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator

from simulator.agent.prompt import read_prompt
from simulator.agent.tasks import write_listing
from simulator.dialogue import user_texts
from simulator.steps import Cue, Script, Step

from .agents import play_agent
from .registry import scene, strip_tags

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ASKS_FOR_FIRST = re.compile(
    r"\b(?:say|said|ask(?:ed)?|message)\b.*\bfirst\b|\bfirst\b.*\b(?:say|said|ask)|第一"
)
_MAX_QUOTE = 80


def _model_name(cue: Cue) -> str:
    return "glm-5.3" if cue.model == "moe_53" else "glm-5.3-flash"


def _quote(text: str) -> str:
    """Return the last line of a text, shortened."""
    lines = [line.strip() for line in strip_tags(text).splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return line if len(line) <= _MAX_QUOTE else line[: _MAX_QUOTE - 1] + "…"


def _earlier_texts(cue: Cue) -> list[str]:
    """Return the earlier texts of the user, in this conversation or in a flattened history."""
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
        "3. write `[scene:weather]` in your message to see sources.\n\n"
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
        "3. 在消息里写 `[scene:weather]`，看看引用来源。\n\n"
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
    """Act if the prompt has tools or a form of output; else chat in the language of the prompt."""
    reading = read_prompt(cue.prompt, [(turn.prompt, turn.answer) for turn in cue.turns])
    if reading.choice != "none" or reading.wants_json:
        yield from play_agent(cue)
        return
    script = Script(cue)
    yield script.opening()
    if listing := write_listing(reading.items[-1].text if reading.items else "", cue.prompt):
        yield from script.write("text", listing)
        yield script.finish()
        return
    said = _quote(user_texts(cue.prompt)[-1])
    if cue.chat_mode:
        yield from script.write("think", _reasoning(said))
    friendly = _friendly_chinese if _CHINESE.search(said) else _friendly_english
    yield from script.write("text", friendly(cue, said))
    yield script.finish()

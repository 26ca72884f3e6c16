"""Decide the next answer of the model: some calls, or the final words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .conversation import Result
from .directives import PlannedCall, PlannedStep, Task, Typed, fill_holes, read_directive
from .examples import make_example
from .prompt import ASKS_AGAIN, Reading
from .syntaxes import Call
from .tasks import find_folder, plan_request, understand
from .tools import Tool

MAX_QUOTE = 400
"""A final answer quotes so many characters of a result."""


@dataclass(frozen=True, slots=True)
class Move:
    """One answer of the model: words, then calls; or words only."""

    words: str = ""
    calls: tuple[Call, ...] = ()
    step: int = 1
    """The number of this step in the task, from 1."""
    is_final: bool = False


def decide(reading: Reading) -> Move:
    task, results = _find_task(reading)
    number, step = _next_step(task.steps, len(results))
    texts = [result.text for result in results]
    calls = [_make_call(call, reading, texts, number) for call in step.calls]
    if reading.choice == "none":
        calls = []
    elif reading.choice == "named":
        calls = [call for call in calls if call.tool == reading.named][:1] or [_forced(reading)]
    elif reading.choice == "required" and not calls:
        calls = [_forced(reading)]
    if calls:
        words = str(fill_holes(step.words, texts, number))
        return Move(words, tuple(calls[:1] if reading.one_block else calls), number)
    return Move(_final_words(task, reading, results), (), number, is_final=True)


def _find_task(reading: Reading) -> tuple[Task, list[Result]]:
    """Find the newest task in the user's words, and the results since.

    A directive counts however old it is. A plain request counts only in the newest turn of words: the texts
    that clients put before it are full of files and commands.
    """
    is_newest, has_words = True, False
    for index in range(len(reading.items) - 1, -1, -1):
        item = reading.items[index]
        if item.kind == "words":
            task = _directive_in(item.text) or (_plain_task(item.text, reading) if is_newest else None)
            if task is not None:
                return task, _results_since(reading, index)
            has_words |= not ASKS_AGAIN.search(item.text)
        is_newest &= not (has_words and item.kind == "assistant")
    return Task(()), _results_since(reading, _last_words(reading))


def _directive_in(words: str) -> Task | None:
    try:
        return read_directive(words)
    except ValueError as error:
        return Task((), answer=f"I cannot read the directive: {error}")


def _plain_task(words: str, reading: Reading) -> Task | None:
    request = understand(words)
    if request is None:
        return None
    everything = "\n".join(item.text for item in reading.items if item.kind in ("system", "words"))
    call = plan_request(request, reading.tools, find_folder(everything))
    return Task((PlannedStep((call,)),) if call else ())


def _last_words(reading: Reading) -> int:
    return max((index for index, item in enumerate(reading.items) if item.kind == "words"), default=-1)


def _results_since(reading: Reading, index: int) -> list[Result]:
    return [item.result for item in reading.items[index + 1 :] if item.result is not None]


def _next_step(steps: Sequence[PlannedStep], done: int) -> tuple[int, PlannedStep]:
    """Return number and rest of the first step that has no result for each of its calls."""
    for number, step in enumerate(steps, 1):
        if done < len(step.calls):
            return number, PlannedStep(step.calls[done:], step.words if not done else "")
        done -= len(step.calls)
    return len(steps) + 1, PlannedStep()


def _make_call(planned: PlannedCall, reading: Reading, results: list[str], number: int) -> Call:
    tool = _find(planned.tool, reading)
    if tool is None:
        return Call(planned.tool, {name: _plain(value) for name, value in planned.arguments.items()})
    known = {
        name: _typed(fill_holes(value, results, number), tool, name)
        for name, value in planned.arguments.items()
    }
    return Call(tool.name, _complete(tool, known))


def _find(name: str, reading: Reading) -> Tool | None:
    """Find a tool; the gateway shows the names of the upstream's own tools with the prefix `client_`."""
    return reading.find_tool(name) or reading.find_tool(f"client_{name}")


def _complete(tool: Tool, known: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in tool.required if name not in known]
    return {**known, **{name: make_example(tool.schema_of(name), name=name) for name in missing}}


def _typed(value: Any, tool: Tool, argument: str) -> Any:
    """Read a bare word by the schema: `5` is a number only if the argument is one."""
    if isinstance(value, Typed) and not tool.is_text(argument):
        try:
            return json.loads(value)
        except ValueError:
            return str(value)
    return _plain(value)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Typed) else value


def _forced(reading: Reading) -> Call:
    """Call a tool because the prompt demands it: the named one, a final one, or the first."""
    tool = _find(reading.named, reading) or next(
        (tool for tool in reading.tools if tool.name.startswith("final")), None
    )
    tool = tool or next(iter(reading.tools), None) or Tool(reading.named or "unknown")
    return Call(tool.name, _complete(tool, {}))


def _final_words(task: Task, reading: Reading, results: Sequence[Result]) -> str:
    answer = fill_holes(task.answer, [result.text for result in results], len(task.steps) + 1)
    if not reading.wants_json:
        if answer is None:
            return _summary(results)
        return str(answer) if isinstance(answer, str) else _json(answer)
    if answer is None:
        answer = {"answer": _summary(results)} if reading.schema is None else make_example(reading.schema)
    return str(answer) if isinstance(answer, Typed) else _json(answer)


def _summary(results: Sequence[Result]) -> str:
    if not results:
        return "I have nothing to do: the request names no task that I know."
    lines = [
        f"{result.tool or 'The action'} {'failed' if result.failed else 'gave'}: “{_quote(result.text)}”"
        for result in results
    ]
    return "\n".join(["Done.", *lines])


def _quote(text: str) -> str:
    return text if len(text) <= MAX_QUOTE else f"{text[:MAX_QUOTE]}…"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

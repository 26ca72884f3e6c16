"""The prompt's sections about tools and structured output, and the history in the taught syntax."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import msgspec

from lib.chat.request import ChatRequest, JsonFormat, Message, ToolCall
from lib.chat.steps import at_once
from lib.tools.budgets import Budgets
from lib.tools.catalogue import examples_of, list_tools
from lib.tools.history import tell
from lib.tools.syntax import Replayed, Syntax, SyntaxName, syntax_named
from lib.tools.toolbox import Declared, Lesson, Toolbox, declared_tools, encoded
from lib.tools.words import ACTIONS, LIST, OUTPUT, free_tag

MAX_IDENTICAL = 3
"""So many identical calls in a row are a loop, and a nudge only prolongs it (tools.md §3.4, 10)."""


class ToolPrompt(msgspec.Struct, frozen=True):
    """Everything that a request with tools or structured output needs."""

    messages: tuple[Message, ...]
    """Without calls, and without messages of the role `tool`: those are the user's, as text."""
    actions: str
    """The section about tools; empty: there are none, or they are off."""
    output: str
    """The section about structured output."""
    reminder: str
    """The last line of the request's text, before a closing role marker."""
    toolbox: Toolbox
    """For the reader."""

    def closing(self, *, with_actions: bool = True) -> str:
        """Return the end of the prompt. A conversation that knows the section already can go without it."""
        sections = (self.actions if with_actions else "", self.output)
        return "".join(f"{section}\n\n" for section in sections if section) + self.reminder


def describe(
    chat: ChatRequest, *, syntax: SyntaxName = "blocks", new_from: int = 0, budgets: Budgets | None = None
) -> ToolPrompt:
    """Prepare a request. `new_from`: the first message that the upstream's conversation does not know."""
    return at_once(describing(chat, syntax=syntax, new_from=new_from, budgets=budgets))


def describing(
    chat: ChatRequest, *, syntax: SyntaxName = "blocks", new_from: int = 0, budgets: Budgets | None = None
) -> Generator[int, None, ToolPrompt]:
    """Prepare a request step by step. Each step tells how many characters it has read."""
    limits = budgets or Budgets()
    uses_tools = bool(chat.tools) or any(message.tool_calls for message in chat.messages)
    form = syntax_named(syntax, free_tag(_all_texts(chat)) if uses_tools else "bridge_run")
    tools = declared_tools(chat)
    messages = yield from tell(
        chat.messages[new_from:],
        chat.messages[:new_from],
        syntax=form,
        tools={tool.name: tool for tool in tools},
        budgets=limits,
    )
    names = chat.tool_choice.names
    allowed = [tool for tool in tools if not names or tool.name in names]
    is_on = bool(allowed) and chat.tool_choice.mode != "none"
    examples = _examples(allowed, form) if is_on else [""]
    reminder = _reminder(chat, allowed, form) if is_on else ""
    box = Toolbox(
        tools,
        choice=chat.tool_choice,
        tag=form.tag,
        label=form.label,
        is_parallel=chat.parallel_tool_calls,
        is_looping=_is_looping(chat.messages),
        expects_json=chat.json_format is not None,
        lesson=Lesson(form.unit, examples[0], reminder),
    )
    return ToolPrompt(
        messages=messages,
        actions=_actions(allowed, form, examples, limits) if is_on else "",
        output=_output(chat.json_format, form, has_tools=is_on) if chat.json_format is not None else "",
        reminder=reminder,
        toolbox=box,
    )


def _all_texts(chat: ChatRequest) -> str:
    """Everything that the request brings: a tag that occurs in it cannot be told from a call."""
    said = [text for message in chat.messages for text in (message.text, *_arguments_of(message))]
    declared = [f"{tool.name} {tool.description} {encoded(tool.schema)}" for tool in chat.tools]
    return "\n".join((*said, *declared))


def _arguments_of(message: Message) -> list[str]:
    return [f"{call.name} {call.arguments}" for call in message.tool_calls]


def _actions(tools: Sequence[Declared], form: Syntax, examples: list[str], budgets: Budgets) -> str:
    lines = [
        ACTIONS,
        "You work for a program that runs actions on the user's machine and sends you their results.",
        f"To run an action, write a {form.unit} like this, starting on a new line:",
        "",
        examples[-1],
        "",
        *(f"- {rule}" for rule in form.rules),
        "",
        "Example. The user asks for something that needs an action.",
        "Weak answer: I will now do that, and then tell you the result.",
        "Good answer:",
        examples[0],
        "",
        f"{LIST} (name, what it does, arguments as JSON Schema)",
        *list_tools(tools, budgets),
    ]
    return "\n".join(lines)


def _examples(tools: Sequence[Declared], form: Syntax) -> list[str]:
    chosen = examples_of(tools)
    return [form.write(Replayed(tool.shown, arguments, tool)) for tool, arguments in chosen]


def _reminder(chat: ChatRequest, tools: Sequence[Declared], form: Syntax) -> str:
    names = ", ".join(tool.shown for tool in tools)
    choice = chat.tool_choice
    if choice.mode == "required" and len(choice.names) == 1:
        return f"(This answer must contain exactly one {form.unit}, with the tool {names}.)"
    to_act = f"To act, write a {form.mention} with one of: {names}."
    limit = "" if chat.parallel_tool_calls else f" (At most one {form.unit}.)"
    if choice.mode == "required":
        return f"({to_act}) (This answer must contain at least one {form.mention}.){limit}"
    return f"({to_act} Otherwise answer the user.){limit}"


def _output(wanted: JsonFormat, form: Syntax, *, has_tools: bool) -> str:
    lines = [OUTPUT]
    if has_tools:
        lines.append(f"An answer without a {form.unit} is one JSON value and nothing else:")
    else:
        lines.append("Answer with one JSON value and nothing else:")
    lines.append(
        "no words before or after it, no code fence, valid JSON from the first character to the last."
    )
    if wanted.schema is None:
        lines.append("The value is a JSON object.")
    else:
        lines.append("The value satisfies this JSON Schema:")
        lines.append(encoded(wanted.schema))
    return "\n".join(lines)


def _is_looping(messages: Sequence[Message]) -> bool:
    """Tell whether the last turns of the assistant's are the same calls again and again."""
    turns = [message.tool_calls for message in messages if message.role == "assistant"][-MAX_IDENTICAL:]
    if len(turns) < MAX_IDENTICAL or not turns[-1]:
        return False
    return all(_same(turn, turns[-1]) for turn in turns)


def _same(one: Sequence[ToolCall], other: Sequence[ToolCall]) -> bool:
    return [(call.name, call.arguments) for call in one] == [(call.name, call.arguments) for call in other]

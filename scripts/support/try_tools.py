"""Try tool calls on the owner's own account: which of the taught syntaxes the model uses best."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import Sequence

import msgspec

from hosts.box.environment import use_local_store
from lib.chat.caller import Caller
from lib.chat.events import Failed, TextDelta, ToolCallDelta
from lib.chat.request import ChatRequest, Message, TextPart, Tool
from lib.errors import ConfigurationError, GatewayError
from lib.flows.chat import open_reply
from lib.settings import Settings
from lib.trace import Trace
from lib.upstreams.choose import ProcessServices
from lib.upstreams.interface import Call

SYNTAXES = ("blocks", "calls", "dsml")
PAUSE_S = 2.0
"""The upstream dislikes bursts."""

TOOLS = (
    Tool(
        name="read_file",
        description="Read a file of the project.",
        schema={
            "type": "object",
            "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
            "required": ["path"],
        },
    ),
    Tool(
        name="write_file",
        description="Write a file of the project.",
        schema={
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
    ),
    Tool(
        name="plan",
        description="Replace the plan of the work.",
        schema={
            "type": "object",
            "properties": {
                "steps": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "title": {"type": "string"},
                            "files": {"type": "array", "items": {"type": "string"}},
                            "done": {"type": "boolean"},
                        },
                        "required": ["title", "files", "done"],
                    },
                }
            },
            "required": ["steps"],
        },
    ),
)
TURNS = (
    ("read_file", "Show me the first 40 lines of src/app.py."),
    ("read_file", "Read setup.cfg. What does it say about the tests?"),
    ("read_file", "Open 'docs/a file with spaces.md'."),
    ("write_file", 'Create hello.txt with the two lines: say "hi" and C:\\new\\table.'),
    ("write_file", "Create src/roman.py: Roman numerals in both directions with tests, about 80 lines."),
    ("write_file", "Create index.html: a page with a form, inline CSS and a script, about 80 lines."),
    ("write_file", "Create data.json: five people with nested addresses and lists of tags."),
    ("plan", "Plan the work: three steps, each with two files, the first one done."),
    ("plan", "Plan a release in five steps; each touches CHANGELOG.md and one more file."),
    ("plan", "Replace the plan by one single step without files."),
)


class Tally(msgspec.Struct):
    """The outcome of one syntax."""

    usable: int = 0
    other: int = 0
    """A call of another tool than the turn asks for."""
    narrated: int = 0
    """Text without a call."""
    failed: int = 0
    notices: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def turns(self) -> int:
        return self.usable + self.other + self.narrated + self.failed


async def try_turn(services: ProcessServices, model: str, wanted: str, words: str, tally: Tally) -> str:
    """Ask one turn and count its outcome; return it in words."""
    chat = ChatRequest(model=model, messages=(Message("user", (TextPart(words),)),), tools=TOOLS)
    trace = Trace()
    caller = Caller(services.settings.refresh_tokens, is_owner=True)
    called, said, problem = [], "", ""
    try:
        call = Call(services=services, caller=caller, trace=trace)
        async with open_reply(chat, call) as reply:
            async for batch in reply:
                called += [event.name for event in batch if isinstance(event, ToolCallDelta) and event.name]
                said += "".join(event.text for event in batch if isinstance(event, TextDelta))
                problem = next((event.error.message for event in batch if isinstance(event, Failed)), "")
    except GatewayError as error:
        problem = error.message
    tally.notices += trace.notices
    if problem:
        tally.failed += 1
        return f"failed: {problem}"
    if wanted in called:
        tally.usable += 1
        return f"called {', '.join(called)}"
    if called:
        tally.other += 1
        return f"called {', '.join(called)}"
    tally.narrated += 1
    return f"no call: {said[:60]!r}"


async def try_all(settings: Settings, syntaxes: Sequence[str], model: str, turns: int, pause_s: float) -> int:
    tallies: dict[str, Tally] = {}
    # One gateway for all syntaxes: a second one would use the refresh token, which is rotated by then.
    services = ProcessServices(settings)
    try:
        for syntax in syntaxes:
            services.settings = msgspec.structs.replace(settings, tool_syntax=syntax)
            tallies[syntax] = Tally()
            for number, (wanted, words) in enumerate(TURNS[:turns], 1):
                outcome = await try_turn(services, model, wanted, words, tallies[syntax])
                print(f"{syntax} {number}/{turns} {wanted}: {outcome}", flush=True)
                await asyncio.sleep(pause_s)
    finally:
        await services.aclose()
    print(summary(tallies))
    return 0 if any(tally.usable for tally in tallies.values()) else 1


def summary(tallies: dict[str, Tally]) -> str:
    lines = ["", "syntax  usable  other  text only  failed  notices"]
    for syntax, tally in tallies.items():
        notices = ", ".join(f"{kind} {count}" for kind, count in sorted(tally.notices.items())) or "none"
        share = f"{tally.usable}/{tally.turns}"
        lines.append(
            f"{syntax:7} {share:>6}  {tally.other:5}  {tally.narrated:9}  {tally.failed:6}  {notices}"
        )
    best = max(tallies, key=lambda syntax: tallies[syntax].usable)
    if tallies[best].usable:
        lines.append(f"Most usable calls: TOOL_SYNTAX={best}")
    else:
        lines.append("No syntax gave a usable call.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/doctor --tools", description="Try tool calls on your own account."
    )
    parser.add_argument("--syntax", choices=SYNTAXES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--turns", type=int, default=len(TURNS), help=f"turns per syntax, 1 to {len(TURNS)}")
    parser.add_argument("--model", default="", help="the model's name (default: CHATGLM_DEFAULT_MODEL)")
    parser.add_argument("--pause", type=float, default=PAUSE_S, metavar="SECONDS", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not os.environ.get("CHATGLM_REFRESH_TOKENS"):
        print("error: set CHATGLM_REFRESH_TOKENS to your own refresh token first.", file=sys.stderr)
        return 2
    # The upstream rotates the token: the new one is kept where scripts/serve keeps it.
    use_local_store(os.environ)
    try:
        settings = Settings.from_env(os.environ)
    except ConfigurationError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    turns = max(1, min(options.turns, len(TURNS)))
    return asyncio.run(
        try_all(settings, options.syntax or SYNTAXES, options.model, turns, max(0.0, options.pause))
    )


if __name__ == "__main__":
    sys.exit(main())

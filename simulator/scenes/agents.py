"""A model that reads the gateway's prompt and calls tools; `simulator.agent` lists the arguments."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

from simulator.agent.mistakes import IMAGINED, MISTAKES, destroyed_name, narrate, spoil
from simulator.agent.model import Move, decide
from simulator.agent.prompt import Reading, read_prompt
from simulator.agent.syntaxes import SYNTAXES, Call, write_calls
from simulator.steps import PACE, Cue, Json, Script, Step, cut

from .registry import scene

_PART_CHARACTERS = 6
"""glm-5.3 sends parts of 4 to 8 characters (field.md §1.1, 8)."""


def play_agent(cue: Cue) -> Iterator[Step]:
    """Answer as the model of `simulator.agent` does."""
    reading = read_prompt(cue.prompt, [(turn.prompt, turn.answer) for turn in cue.turns])
    move = decide(reading)
    script = Script(cue)
    yield script.opening()
    if cue.chat_mode and cue.args.get("where") != "think":
        yield from script.write("think", f"Step {move.step}. {len(reading.tools)} tools are there.")
    mistake = _mistake_of(cue, move)
    if mistake:
        cue.erred = True
        move = spoil(move, mistake, reading)
    if cue.args.get("narrates"):
        move = narrate(move)
    yield from _play_move(script, reading, move, mistake)


def _play_move(script: Script, reading: Reading, move: Move, mistake: str) -> Iterator[Step]:
    args = script.cue.args
    if move.calls and mistake == "destroyed":
        yield from _destroyed(script, move)
    elif move.calls and args.get("syntax") == "upstream":
        if move.words:
            yield from _write(script, move.words)
        for call in move.calls:
            yield from _intercepted(script, call.tool, call.json, args.get("shape", "plain"))
        yield from _write(script, f"The tool {move.calls[0].tool} is not available to me.")
    else:
        yield from _written(script, reading, move, mistake)
        if mistake == "cut":
            yield script.error(10025, "stream request error")
            return
    yield script.finish()


def _written(script: Script, reading: Reading, move: Move, mistake: str) -> Iterator[Step]:
    args = script.cue.args
    syntax = args.get("syntax", "taught")
    text = move.words
    if move.calls:
        syntax = reading.taught if syntax == "taught" else syntax
        calls = write_calls(move.calls, syntax=syntax, tag=reading.tag)
        text = f"{text}\n{calls}" if text else calls
    if mistake == "cut":
        yield from script.increments("text", cut(text[: len(text) * 2 // 3], 5), logic_id="cut")
        return
    if move.calls and args.get("tail"):
        text += _invented(move.calls[0])
    if move.calls and args.get("where") == "think":
        yield from script.write("think", f"I should act.\n{text}", step=script.cue.count("step", 0))
        return
    yield from _write(script, text)


def _write(script: Script, text: str) -> Iterator[Step]:
    if not script.cue.args.get("parts"):
        yield from script.write("text", text, step=script.cue.count("step", 0))
        return
    for piece in cut(text, _PART_CHARACTERS):
        yield from script.write("text", piece, pieces=[piece])


def _mistake_of(cue: Cue, move: Move) -> str:
    """Return the mistake that is due: at its step, and until it was made often enough in a row."""
    mistake = cue.args.get("mistake", "")
    if mistake not in MISTAKES:
        return ""
    made = 0
    for turn in reversed(cue.turns):
        if not turn.erred:
            break
        made += 1
    at = cue.args.get("at", "1")
    is_due = at == "all" or int(at) == move.step or (mistake == "invalid_json" and move.is_final)
    applies = bool(move.calls) or mistake == "invalid_json"
    return mistake if is_due and applies and made < cue.count("mistakes", 1) else ""


def _invented(call: Call) -> str:
    return (
        f"\n<bridge_result>\naction 1: {call.tool}\nThis result is invented.\n</bridge_result>\n"
        "The action succeeded, as the invented result shows."
    )


# Calls that the upstream's own layer takes


def _intercepted(script: Script, name: str, arguments: str, shape: str) -> Iterator[Step]:
    """Send the call as parts; the upstream's layer takes it for its own and fails (capture of 2026-08-25).

    The other shapes are those of field.md §1.1, 3 and 4.
    """
    taken: Json = {"id": f"call_{uuid.uuid4().hex[:8]}", "name": name, "arguments": arguments}
    if shape == "object":
        taken["arguments"] = json.loads(arguments)
    call = {"type": "tool_calls", "tool_calls": [taken] if shape == "list" else taken}
    logic_id = str(uuid.uuid4())
    if shape == "inside":
        result = {"type": "tool_result", "tool_result": {"id": taken["id"], "content": "unknown tool call"}}
        yield script.event(
            script.part(logic_id, call, result, meta_data={"show_type": "mc_tool_call"}, status="finish")
        )
        return
    status = "error" if shape == "call_failed" else "init"
    yield script.event(script.part(logic_id, call, meta_data={"show_type": "mc_tool_call"}, status=status))
    yield PACE
    yield script.event(
        script.part(
            str(uuid.uuid4()),
            {"type": "tool_result", "tool_calls": taken},
            role="tool",
            model="all-tools",
            status="error",
            meta_data={"show_type": "mc_tool_result2"},
        )
    )


def _destroyed(script: Script, move: Move) -> Iterator[Step]:
    """Send a call with a name that the upstream's layer has mangled; imagination follows."""
    for number, call in enumerate(move.calls, script.cue.count("form", 0)):
        yield from _intercepted(script, destroyed_name(call, number), "{}", "inside")
    yield from _write(script, IMAGINED)


# The scenes


@scene(sticky=True)
def agent(cue: Cue) -> Iterator[Step]:
    """Act on the prompt's tools and `[agent: …]`; see `simulator.agent`."""
    yield from play_agent(cue)


def _preset(name: str, about: str, **args: str) -> None:
    """Register the agent with some arguments set; those of the tag win."""

    def play(cue: Cue) -> Iterator[Step]:
        cue.args = {**args, **cue.args}
        yield from play_agent(cue)

    play.__doc__ = about
    scene("finish", name=name, sticky=True)(play)


for _syntax in (*SYNTAXES, "upstream"):
    _preset(f"agent_{_syntax}", f"Act, with calls in the syntax `{_syntax}`.", syntax=_syntax)
for _mistake in MISTAKES:
    _preset(
        f"agent_{_mistake}", f"Act, with the mistake `{_mistake}` once; repair it if asked.", mistake=_mistake
    )
_preset("agent_invents", "Act, and invent a result after the block.", tail="1")
_preset("agent_narrates", "Announce every call, and never make one.", narrates="1")
_preset("agent_thinks", "Write the blocks into the reasoning, and no text.", where="think")
_preset("agent_parts", "Act, with a part of its own for every few characters, as glm-5.3 does.", parts="1")

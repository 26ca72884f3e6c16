"""chat/completions: check the request, choose a scene, stream it or add it up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

from simulator.player import Player
from simulator.records import Call
from simulator.scenes import read_tag
from simulator.steps import Abort, Head, Json, Pace, Pause, Reply, Step

from .chunks import Script, encode_chunk, join_chunks
from .errors import Refused
from .gate import Answer, body_of
from .reading import naming_text, read_request
from .requests import breaks_the_schema_reader, find_model, odd_fields, odd_messages, refuse_wrong
from .scenes import SCENES, Ask
from .state import Key, OfficialState
from .table import Model


async def complete(state: OfficialState, call: Call, key: Key) -> Answer:
    body = body_of(call)
    model = find_model(body)
    state.charge(key, is_free=model.is_free)
    refuse_wrong(body, model, state.region)
    _take_request_id(state, body)
    for oddity in chain(odd_fields(body, model), odd_messages(body["messages"], model, state.reasonings)):
        state.note(f"chat/completions: {oddity}")
    with ExitStack() as stack:
        stack.enter_context(state.running(key, model.id, model.in_flight))
        if breaks_the_schema_reader(body):
            return _broken_schema(body)
        steps = _choose_steps(state, key, body, model)
        first = next(steps, None)
        if isinstance(first, Reply):
            return first
        steps = steps if first is None else chain([first], steps)
        if body.get("stream"):
            return Stream(steps, state=state, stack=stack.pop_all())
        return await _add_up(steps, state)


def _take_request_id(state: OfficialState, body: Json) -> None:
    request_id = body.get("request_id")
    if request_id is not None:
        if request_id in state.request_ids:
            raise Refused("1231")
        state.request_ids.add(request_id)


def _broken_schema(body: Json) -> Reply:
    """Answer as glm-5.2 did on 2026-07-01: 1234, or a stream of nothing."""
    if body.get("stream"):
        return Reply(200, b"", "text/event-stream")
    raise Refused("1234")


def _choose_steps(state: OfficialState, key: Key, body: Json, model: Model) -> Iterator[Step]:
    queued = state.take_scene(key)
    tag = read_tag(naming_text(body["messages"]) if queued is None else f"[scene:{queued}]")
    name, args = tag or ("default", {})
    if name not in SCENES:
        state.note(f"chat/completions: unknown scene {name!r}")
        name = "default"
    prompt_tokens = sum(len(str(message.get("content") or "")) for message in body["messages"]) // 3 + 1
    ask = Ask(
        body=body,
        reading=read_request(body),
        script=Script(model.id, prompt_tokens),
        args=args,
        thinks=_thinks(body, model),
        reasonings=state.reasonings,
    )
    return SCENES[name].play(ask)


def _thinks(body: Json, model: Model) -> bool:
    if model.thinking == "always":
        return True
    if model.thinking == "never" or body.get("reasoning_effort") in ("none", "minimal"):
        return False
    return bool((body.get("thinking") or {}).get("type", "enabled") == "enabled")


class Stream(Player):
    """A streamed answer; it counts as in flight until it ends."""

    def __init__(self, steps: Iterator[Step], *, state: OfficialState, stack: ExitStack) -> None:
        super().__init__(steps, pace_s=lambda: state.pace_s)
        self._stack = stack

    def encode(self, event: Json) -> bytes:
        return encode_chunk(event)

    def end(self) -> None:
        self._stack.close()

    async def conclude(self) -> None:
        if self.client_gone:
            return
        await self._send_head()
        self.end()
        await self._close()


async def _add_up(steps: Iterator[Step], state: OfficialState) -> Reply | None:
    """Play the steps in silence; an answer that would be cut has no whole, so the connection breaks."""
    chunks: list[Json] = []
    for step in steps:
        match step:
            case dict():
                chunks.append(step)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Pace():
                await asyncio.sleep(state.pace_s)
            case Abort():
                return None
            case Head() | _:
                pass
    if not chunks:
        return Reply(200, b"")
    whole = join_chunks(chunks)
    if "error" in whole:
        return Reply(200, whole)
    return Reply(200, whole) if whole["choices"][0]["finish_reason"] else None

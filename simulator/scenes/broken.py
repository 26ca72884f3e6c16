"""Streams that fall silent, break off, or call themselves something else."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.steps import Abort, Cue, Head, Pause, Script, Step, frame

from .registry import scene

MAX_SILENCE_S = 120.0


@scene("cut")
def early_close(cue: Cue) -> Iterator[Step]:
    """Close properly after some text, without a terminal event."""
    script = Script(cue)
    yield script.opening()
    yield from script.increments("text", ["The connection", " closes"], logic_id="t")


@scene("cut")
def zero_bytes(cue: Cue) -> Iterator[Step]:
    """Answer 200 and nothing more."""
    _ = cue
    yield Head()


@scene("cut", silent=True)
def silence(cue: Cue) -> Iterator[Step]:
    """Send the first event, then nothing for `s` seconds (the outage of 2026-09-28)."""
    yield Script(cue).opening()
    yield Pause(cue.number("s", MAX_SILENCE_S))


@scene("cut", silent=True)
def silence_before_headers(cue: Cue) -> Iterator[Step]:
    """Send not even headers for `s` seconds."""
    yield Pause(cue.number("s", MAX_SILENCE_S))


@scene("cut", silent=True)
def silence_after_headers(cue: Cue) -> Iterator[Step]:
    """Send headers, then nothing for `s` seconds."""
    yield Head()
    yield Pause(cue.number("s", MAX_SILENCE_S))


@scene("cut", silent=True)
def stall(cue: Cue) -> Iterator[Step]:
    """Send some text, then nothing for `s` seconds."""
    script = Script(cue)
    yield script.opening()
    yield from script.increments("text", ["Some text", " and then"], logic_id="t")
    yield Pause(cue.number("s", MAX_SILENCE_S))


@scene("cut", silent=True)
def keepalive_only(cue: Cue) -> Iterator[Step]:
    """Send the first event (unless `opening=0`), then empty data every `gap` seconds, for `s` seconds."""
    if cue.count("opening", 1):
        yield Script(cue).opening()
    gap_s = max(cue.number("gap", 1.0), 0.001)
    for _ in range(int(cue.number("s", MAX_SILENCE_S) / gap_s)):
        yield b"event: message\ndata:\n\n"
        yield Pause(gap_s)


@scene()
def no_content_type(cue: Cue) -> Iterator[Step]:
    """Stream a good answer without a Content-Type."""
    yield Head(content_type=None)
    yield from _answer(cue)


@scene()
def wrong_content_type(cue: Cue) -> Iterator[Step]:
    """Stream a good answer under the Content-Type `type`."""
    yield Head(content_type=cue.args.get("type", "text/plain; charset=utf-8"))
    yield from _answer(cue)


def _answer(cue: Cue) -> Iterator[Step]:
    script = Script(cue)
    yield script.opening()
    yield from script.write("text", "The body is a good stream.")
    yield script.finish()


@scene("cut")
def abort(cue: Cue) -> Iterator[Step]:
    """Break the connection in the middle of an event; `hard=1` resets it."""
    script = Script(cue)
    yield script.opening()
    yield from script.increments("text", ["The connection", " breaks"], logic_id="t")
    whole = frame(script.event(script.part("t", {"type": "text", "text": "世界"}), increase=True))
    yield whole[: whole.index("世".encode()) + 1]
    yield Abort(hard=bool(cue.args.get("hard")))


@scene("cut")
def abort_first(cue: Cue) -> Iterator[Step]:
    """Break the connection right after the headers."""
    yield Head()
    yield Abort(hard=bool(cue.args.get("hard")))
    _ = cue

"""Good answers that are slow, large, or cut into small pieces."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.steps import Cue, Pause, Script, Split, Step, cut, frame, text_item

from .registry import scene
from .samples import sample_text


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

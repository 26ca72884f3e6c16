"""An answer about the files of a message."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.steps import Cue, Script, Step

from .registry import scene


@scene()
def files(cue: Cue) -> Iterator[Step]:
    """List the files of the message: kind, name, size and sha256."""
    script = Script(cue)
    lines = [
        f"{'image' if file.is_image else 'file'} {file.name} {file.size} {file.sha256}\n"
        for file in cue.files
    ]
    yield script.opening()
    yield from script.write("text", "".join(lines) or "No files.\n")
    yield script.finish()

"""The scenes of the documents' examples: their answers look like what they mean."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.steps import Cue, Script, Step

from .registry import scene
from .tools import search

WEATHER = [
    {
        "title": title,
        "url": f"https://example.com/{slug}",
        "host_name": "example.com",
        "index": index,
        "snippet": f"<p>{title}</p>",
        "match_key": f"turn0search{index}",
    }
    for index, (title, slug) in enumerate([("Weather in Shenzhen", "weather"), ("Heat warnings", "heat")])
]


@scene()
def weather(cue: Cue) -> Iterator[Step]:
    """Search the web for the weather, and answer with two sources."""
    script = Script(cue)
    yield script.opening()
    yield from search(script, "weather in Shenzhen today", WEATHER)
    said = "Shenzhen is sunny today【turn0search0】, with 26 to 33 °C. "
    said += "A heat warning holds until evening【turn0search1】."
    yield from script.write("text", said)
    yield script.finish()


@scene()
def describe(cue: Cue) -> Iterator[Step]:
    """Say which files came, in a sentence."""
    script = Script(cue)
    named = [
        f"{'an image' if file.is_image else 'a document'}, {file.name}, of {file.size:,} bytes"
        for file in cue.files
    ]
    yield script.opening()
    yield from script.write("text", f"I see {' and '.join(named)}." if named else "I see no file.")
    yield script.finish()

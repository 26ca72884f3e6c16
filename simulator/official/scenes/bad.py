"""Answers of the official API that go wrong (official.md §3.1, §4, §5)."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.official.chunks import DONE
from simulator.official.errors import CHINESE_RESET, ERRORS, error_body
from simulator.steps import Abort, Head, Pause, Reply, Step

from .registry import Ask, scene

MAX_SILENCE_S = 120.0
RESET = "2026-12-01 08:00:00"


def _some_words(ask: Ask) -> Iterator[Step]:
    yield from ask.script.write("Some words,", step=4)


@scene("error")
def sensitive(ask: Ask) -> Iterator[Step]:
    """End with `sensitive` after some words; `first=1` before any."""
    if not ask.count("first", 0):
        yield from _some_words(ask)
    yield from ask.script.finish("sensitive")


@scene("error")
def network_error(ask: Ask) -> Iterator[Step]:
    """End with `network_error` after some words; `first=1` before any."""
    if not ask.count("first", 0):
        yield from _some_words(ask)
    yield from ask.script.finish("network_error")


@scene("error")
def window_exceeded(ask: Ask) -> Iterator[Step]:
    """End with `model_context_window_exceeded` after some words; `first=1` before any."""
    if not ask.count("first", 0):
        yield from _some_words(ask)
    yield from ask.script.finish("model_context_window_exceeded")


@scene()
def length(ask: Ask) -> Iterator[Step]:
    """End with `length`; `words=0` thinks until the limit and says nothing."""
    if ask.count("words", 1):
        yield from _some_words(ask)
    else:
        yield from ask.script.write("Thinking eats the limit.", kind="reasoning_content")
    yield from ask.script.finish("length")


@scene("error")
def wordless(ask: Ask) -> Iterator[Step]:
    """End with `stop` and not one word."""
    yield from ask.script.finish("stop")


@scene("error")
def error_object(ask: Ask) -> Iterator[Step]:
    """Send an error object of `code` in the stream after some words; `first=1` before any."""
    if not ask.count("first", 0):
        yield from _some_words(ask)
    yield error_body(ask.args.get("code", "1230"))
    if ask.count("done", 0):
        yield DONE


@scene("http")
def json_instead(ask: Ask) -> Iterator[Step]:
    """Answer HTTP 200 with an error in JSON, streamed or not."""
    yield Reply(200, error_body(ask.args.get("code", "1230")))


@scene("cut")
def empty_stream(ask: Ask) -> Iterator[Step]:
    """Answer 200 and nothing more, as for a schema with a union; `done=1` sends `[DONE]` alone."""
    yield Head()
    if ask.count("done", 0):
        yield DONE


@scene("cut")
def cut_off(ask: Ask) -> Iterator[Step]:
    """Close the stream properly after some words: no finish, no `[DONE]`."""
    yield from _some_words(ask)


@scene("cut")
def abort(ask: Ask) -> Iterator[Step]:
    """Break the connection after some words; `first=1` before any, `hard=1` by a reset."""
    if ask.count("first", 0):
        yield Head()
    else:
        yield from _some_words(ask)
    yield Abort(hard=bool(ask.count("hard", 0)))


@scene("cut", silent=True)
def silence(ask: Ask) -> Iterator[Step]:
    """Send headers, unless `headers=0`, then nothing for `s` seconds."""
    if ask.count("headers", 1):
        yield Head()
    yield Pause(ask.number("s", MAX_SILENCE_S))


@scene("cut", silent=True)
def stall(ask: Ask) -> Iterator[Step]:
    """Send some words, then nothing for `s` seconds."""
    yield from _some_words(ask)
    yield Pause(ask.number("s", MAX_SILENCE_S))


@scene("http")
def error(ask: Ask) -> Iterator[Step]:
    """Refuse with `code` (default 1302) and its HTTP status; `chinese=1` and `number=1` change its form."""
    code = ask.args.get("code", "1302")
    body = error_body(code, reset=ask.args.get("reset", RESET).replace("_", " "))
    if ask.count("chinese", 0):
        body["error"]["message"] = CHINESE_RESET.replace("{reset}", RESET)
    if ask.count("number", 0):
        body["error"]["code"] = int(code)
    yield Reply(int(ask.args.get("status", ERRORS[code][0])), body)


@scene("http")
def html_405(ask: Ask) -> Iterator[Step]:  # noqa: ARG001
    """Answer with the firewall's page."""
    yield Reply(
        405, "<!DOCTYPE html><html><head><title>405</title></head></html>", "text/html; charset=utf-8"
    )

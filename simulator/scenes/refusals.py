"""Endings other than a good one: error events, moderation, HTTP answers that are no stream."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.steps import Cue, Reply, Scene, Script, Step

from .registry import scene

BUSY = "请等待其他对话生成完毕"
THROTTLED = "请求过于频繁，请稍后再试"
FIREWALL_PAGE = (
    "<!DOCTYPE html><html><head><title>405</title></head>"
    "<body>很抱歉，由于您访问的URL有可能对网站造成安全威胁，您的访问被阻断。</body></html>"
)
INTERVENE_TEXT = "抱歉，这个问题我无法回答，换个话题吧。"


def _fail(name: str, code: int, message: str, *, late: bool = False) -> Scene:
    """Register a scene that ends with this error event, at once or after some text."""

    def play(cue: Cue) -> Iterator[Step]:
        script = Script(cue)
        if late:
            yield script.opening()
            yield from script.increments("text", ["Half of", " an answer, "], logic_id="t")
        yield script.error(code, message)

    play.__doc__ = f"End with the error event {code}{', after some text' if late else ''}."
    return scene("error", name=name)(play)


error_10024 = _fail("error_10024", 10024, "generator exit", late=True)
error_10025 = _fail("error_10025", 10025, "stream request error")
error_10025_internal = _fail("error_10025_internal", 10025, "internal server error")
error_10025_late = _fail("error_10025_late", 10025, "stream request error", late=True)
error_10040 = _fail("error_10040", 10040, "context length exceeded")
error_10061_busy = _fail("error_10061_busy", 10061, BUSY)
error_10061_throttled = _fail("error_10061_throttled", 10061, THROTTLED)
error_10062 = _fail("error_10062", 10062, THROTTLED)
error_unknown = _fail("error_unknown", 19999, "something new")


def _refuse(name: str, http_status: int, status: int, message: str) -> Scene:
    """Register a scene that answers with this JSON error instead of a stream."""

    def play(cue: Cue) -> Iterator[Step]:  # noqa: ARG001
        yield Reply(http_status, {"status": status, "message": message, "result": None})

    play.__doc__ = f"Answer HTTP {http_status} with status {status}."
    return scene("http", name=name)(play)


busy_429 = _refuse("busy_429", 429, 10061, BUSY)
throttled_429 = _refuse("throttled_429", 429, 10061, THROTTLED)
risk_40012 = _refuse("risk_40012", 400, 40012, "bad request(40012)")
internal_500 = _refuse("internal_500", 500, 500, "internal server error")
json_error_200 = _refuse("json_error_200", 200, 500, "internal server error")
unauthorized_40102 = _refuse("unauthorized_40102", 401, 40102, "unauthorized user(40102)")
unauthorized_40102_http200 = _refuse("unauthorized_40102_http200", 200, 40102, "unauthorized user(40102)")
unauthorized_40103 = _refuse("unauthorized_40103", 401, 40103, "user needs login")


@scene("http")
def html_403(cue: Cue) -> Iterator[Step]:
    """Answer with a firewall page; `status=405` for the other one."""
    yield Reply(cue.count("status", 403), FIREWALL_PAGE, "text/html; charset=utf-8")


@scene("http")
def html_200(cue: Cue) -> Iterator[Step]:  # noqa: ARG001
    """Answer a firewall page with HTTP 200."""
    yield Reply(200, FIREWALL_PAGE, "text/html; charset=utf-8")


@scene("intervene")
def intervene(cue: Cue) -> Iterator[Step]:
    """Withdraw the answer after some text."""
    script = Script(cue)
    yield script.opening()
    yield from script.increments("text", ["This will", " be withdrawn"], logic_id="t")
    yield script.intervene(INTERVENE_TEXT)


@scene("intervene")
def intervene_first(cue: Cue) -> Iterator[Step]:
    """Refuse before any text."""
    script = Script(cue)
    yield script.opening()
    yield script.intervene(INTERVENE_TEXT)


@scene()
def empty_finish(cue: Cue) -> Iterator[Step]:
    """Finish without any text."""
    script = Script(cue)
    yield script.opening()
    yield script.finish()


@scene("error")
def error_captured(cue: Cue) -> Iterator[Step]:  # noqa: ARG001
    """Fail as in the capture: nothing but status, last_error and parts (and the ids)."""
    reason = {"error_code": 10025, "err_msg": "stream request error"}
    yield {"status": "error", "last_error": reason, "parts": []}

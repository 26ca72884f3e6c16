from __future__ import annotations

import asyncio

from lib.chat.events import Failed, Finished, Notice, TextDelta
from lib.errors import GatewayError, InvalidRequest, UpstreamRejected
from lib.trace import current_trace, traced


def test_outside_of_a_request_what_is_noted_goes_nowhere() -> None:
    current_trace().spend("wait", 1.0)
    assert current_trace().timings == {}
    assert current_trace().request_id == ""


async def test_what_a_request_starts_notes_to_its_trace_and_to_no_other() -> None:
    async def serve(request_id: str) -> tuple[str, str]:
        with traced(request_id) as trace:
            await asyncio.sleep(0)
            await asyncio.create_task(asyncio.to_thread(lambda: current_trace().tried(request_id)))
            return trace.account, current_trace().request_id

    served = await asyncio.gather(serve("a"), serve("b"))
    assert list(served) == [("a", "a"), ("b", "b")]
    assert current_trace().request_id == ""


def test_times_add_up_over_the_accounts_that_were_tried() -> None:
    with traced("") as trace:
        for account in ("first", "second"):
            trace.tried(account)
            trace.spend("wait", 0.25)
        trace.spend("token", 0.5)
    assert (trace.account, trace.attempts) == ("second", 2)
    assert trace.timings == {"wait": 0.5, "token": 0.5}


def test_events_are_counted_and_notices_by_their_kind() -> None:
    with traced("") as trace:
        trace.take([TextDelta("a"), Notice("tool_failed", "of no concern")])
        trace.take([])
        trace.take([Notice("tool_failed"), Notice("rewritten"), Finished("length")])
    assert (trace.events, trace.finish) == (5, "length")
    assert trace.notices == {"tool_failed": 2, "rewritten": 1}


def test_a_reply_that_failed_has_no_finish() -> None:
    with traced("") as trace:
        trace.take([TextDelta("a"), Failed(GatewayError("it broke"))])
    assert (trace.events, trace.finish, trace.failure.code) == (2, "", "")


def test_the_upstreams_numbers_outlast_what_they_became() -> None:
    with traced("") as trace:
        trace.refused(UpstreamRejected("It will not.", number=10025, http_status=500))
        trace.refused(GatewayError("without a number"))
        assert (trace.refusal.code, trace.refusal.status, trace.failure.code) == (10025, 500, "")
        trace.failed(InvalidRequest("It is too long.", code="context_length_exceeded"))
    assert (trace.failure.code, trace.failure.status) == ("context_length_exceeded", 400)
    assert trace.refusal.code == 10025


def test_a_refusal_without_a_number_tells_its_status_alone() -> None:
    with traced("") as trace:
        trace.failed(UpstreamRejected("It will not.", http_status=403))
    assert (trace.refusal.code, trace.refusal.status) == (None, 403)

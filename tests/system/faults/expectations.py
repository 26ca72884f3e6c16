"""What must come of each fault of each call, by rule."""

from __future__ import annotations

from dataclasses import dataclass

from tests.system.faults.calls import KINDS, Kind
from tests.system.faults.staging import HARMLESS

TRIED_AGAIN = frozenset(
    ("refused", "reset", "reset_later", "busy", "http_500", "cut_json", "wrong_shape", "gzip", "long_line")
)
"""What may be over in a moment; a firewall's refusal is not, nor a throttle; a silence has had its time."""
SILENCES = frozenset(("hang", "drip"))
REPEATABLE = ("refresh", "chat", "chat_once", "image")
"""The calls of an answer that has not begun."""
BY_STATUS = {502: "upstream_error", 504: "upstream_timeout"}
THROTTLES = {"busy": "account_busy", "too_often": "rate_limit_exceeded"}


@dataclass(frozen=True)
class Expected:
    status: int
    code: str
    is_cut: bool
    tries: int
    has_retry_after: bool
    should_retry: str
    warnings: tuple[str, ...]


def expected(call: str, fault: str) -> Expected:
    kind = KINDS[call]
    is_served = serves(call, kind, fault)
    status = _good_status(call) if is_served else _bad_status(call, fault)
    code = "" if is_served else THROTTLES.get(fault, "") if status == 429 else BY_STATUS[status]
    is_cut = call == "chat_begun" and not is_served
    return Expected(
        status=200 if is_cut else status,
        code=code,
        is_cut=is_cut,
        tries=_tries(call, fault),
        has_retry_after=status == 429 and not is_cut,
        should_retry="false" if call in ("video", "frame") and status >= 500 else "",
        warnings=_warnings(call, kind, fault),
    )


def is_harmless(call: str, fault: str) -> bool:
    if call in ("chat_begun", "time") and fault == "clock":
        return False  # a refusal in mid-answer; the time, which a wrong one does not open
    if fault == "wrong_shape":
        # An event that is none is passed over. Of a deletion or a stop nothing is told but that it is done.
        return call in ("chat_begun", "delete", "stop", "video_delete")
    return fault in HARMLESS


def serves(call: str, kind: Kind, fault: str) -> bool:
    """Whether the client has its answer all the same."""
    if is_harmless(call, fault) or kind.warning:
        return True
    if kind.is_once:
        return fault in TRIED_AGAIN
    return call == "upload" and fault == "wrong_shape"  # by the older path


def _good_status(call: str) -> int:
    return {"video": 202, "frame": 202, "add": 201}.get(call, 200)


def _bad_status(call: str, fault: str) -> int:
    if call == "time":
        return 502  # the refusal that it was to mend
    if fault in THROTTLES:
        return 429
    return 504 if fault in SILENCES else 502


def _tries(call: str, fault: str) -> int:
    """How often the upstream hears of it: of a refused connection not at all."""
    if fault == "refused":
        return {"chat_once": 1, "chat_begun": 1}.get(call, 0)
    if fault == "clock":
        return 1 if call in ("chat_begun", "time") else 2
    if call == "delete":
        return 2 if fault in TRIED_AGAIN | SILENCES and not is_harmless(call, fault) else 1
    return 2 if call in REPEATABLE and fault in TRIED_AGAIN else 1


def _warnings(call: str, kind: Kind, fault: str) -> tuple[str, ...]:
    if not kind.warning or is_harmless(call, fault):
        return ()
    if call == "stop" and fault == "refused":
        return (kind.warning, KINDS["delete"].warning)  # nobody is there any more
    return (kind.warning,)

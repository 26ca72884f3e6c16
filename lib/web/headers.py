"""The headers of an answer that came from the upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lib.chat.events import Started
from lib.chat.names import read_name
from lib.trace import Trace

_UNPRINTABLE = re.compile(r"[^ -~]")
MAX_MODEL_CHARS = 64
MAX_NOTICE_CHARS = 200


def reply_headers(
    started: Started, asked_model: str = "", *, upstream: str = "web", fallback: str = ""
) -> dict[str, str]:
    """Name the upstream, the model and its account, the fallback's reason, and misspelt words in a name."""
    read = [f"{part!r} was read as {word!r}" for part, word in read_name(asked_model).misspelt]
    headers = {
        "x-glm-upstream": upstream,
        "x-glm-notice": printable("; ".join(read), MAX_NOTICE_CHARS),
        "x-glm-model": printable_model(started.model),
        "x-glm-account": started.account,
        "x-glm-fallback": fallback,
        "x-glm-usage": "reported" if upstream == "api" else "estimated",
    }
    return {name: value for name, value in headers.items() if value}


def upstream_headers(trace: Trace) -> dict[str, str]:
    """Name the upstream and, if it is known, the model and the account: for an answer without a reply."""
    headers = {
        "x-glm-upstream": trace.upstream,
        "x-glm-model": printable_model(trace.model),
        "x-glm-account": trace.account,
    }
    return {name: value for name, value in headers.items() if value}


def printable_model(model: str) -> str:
    """Make the upstream's name of a model safe for a header: one line, and a short one."""
    return printable(model, MAX_MODEL_CHARS)


def printable(text: str, max_chars: int) -> str:
    return _UNPRINTABLE.sub("?", text[:max_chars])


def server_timing(timings: Mapping[str, float], *, total_s: float | None) -> str:
    """Write the times in milliseconds. `total` is known if the answer is sent in one piece."""
    spent = dict(timings) if total_s is None else {**timings, "total": total_s}
    return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in spent.items())

"""docs/security.md: every guard that it names is a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hosts.box import bounded_http
from lib.chat import size
from lib.dialects import json_body, stops
from lib.web import form, guessing, overload, streaming
from lib.web.caller import MAX_TOKENS

ROOT = Path(__file__).resolve().parents[3]
GUARDS = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/security.md").read_text())


def test_every_row_of_every_table_names_a_guard() -> None:
    rows = re.findall(r"^\| (?!Could)(?!---).*\|$", (ROOT / "docs/security.md").read_text(), re.MULTILINE)
    assert len(rows) >= 20
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::\w+` \|$", row)] == []


def test_the_figures_are_those_of_the_code() -> None:
    text = (ROOT / "docs/security.md").read_text() + (ROOT / "docs/errors.md").read_text()
    load, guesses = overload.LIMITS, guessing.LIMITS
    for figure in (
        f"{load.max_requests:,} requests",
        f"{load.max_body_bytes // 2**20} MiB of bodies",
        f"{load.body_idle_s:g} s without a byte",
        f"after {load.body_grace_s:g} s, below {load.min_body_bytes_per_s // 1024} KiB/s",
        f"{guesses.max_delay_s:g} s at most",
        f"{guesses.max_waiting} in a process",
        f"{form.MAX_FIELDS} fields of {form.MAX_FIELD_BYTES // 2**20} MiB",
        f"a boundary of {form.MAX_BOUNDARY_CHARS} characters",
        f"{bounded_http.MAX_HEAD_BYTES // 1024} KiB, {bounded_http.PATIENCE_S:g} s",
        f"After {streaming.SEND_TIMEOUT_S:g} s in which it takes nothing",
        f"more than {json_body.LIMITS.max_values:,} values",
        f"{size.MAX_PROMPT_CHARS:,} characters",
        f"{size.MAX_MESSAGES:,} messages",
        f"{stops.MAX_SEQUENCES} sequences of {stops.MAX_CHARS:,} characters",
        f"{MAX_TOKENS} tokens a request",
    ):
        assert figure in text, figure


@pytest.mark.parametrize(("file", "name"), GUARDS)
def test_every_guard_that_is_named_is_a_test(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)

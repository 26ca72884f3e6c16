from __future__ import annotations

import json

import msgspec
import pytest

from lib.dialects.health import is_asked, render_health


class Report(msgspec.Struct):
    status: str
    store: str | None = None


def test_a_report_is_written_for_people_too() -> None:
    text = render_health(Report("ok"))
    assert json.loads(text) == {"status": "ok", "store": None}
    assert text == b'{\n  "status": "ok",\n  "store": null\n}\n'


@pytest.mark.parametrize("value", ["1", "true", "True", "yes", "on", "anything"])
def test_a_switch_is_on(value: str) -> None:
    assert is_asked(value)


@pytest.mark.parametrize("value", [None, "", "0", "false", "No", "OFF"])
def test_a_switch_is_off(value: str | None) -> None:
    assert not is_asked(value)

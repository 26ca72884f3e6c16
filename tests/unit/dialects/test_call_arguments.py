"""The arguments of a call as an object."""

from __future__ import annotations

import json

import pytest

from lib.dialects.call_arguments import as_object


@pytest.mark.parametrize("arguments", ['{"a":1}', ' {"b": [2]} ', "{}"])
def test_an_object_stays_as_it_is(arguments: str) -> None:
    assert bytes(as_object(arguments)).decode() == arguments


def test_no_arguments_are_an_empty_object() -> None:
    assert bytes(as_object("")) == b"{}"


@pytest.mark.parametrize("arguments", ["[1]", '"x"', "null", '{"a":', "words", "[" * 100_000])
def test_anything_else_goes_into_an_object(arguments: str) -> None:
    assert json.loads(bytes(as_object(arguments))) == {"arguments": arguments}

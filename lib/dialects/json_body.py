"""Decode a request's JSON into a struct, and say precisely what is wrong with it."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from lib.errors import InvalidRequest, RequestTooLarge

T = TypeVar("T")

_BOM = b"\xef\xbb\xbf"
_MAX_SHOWN = 60
"""Characters of a refused value in a message: enough to find it, too few to carry a prompt into a log."""

MOST_CONTAINERS = 200_000
"""Objects and arrays. A million messages of one letter fill 29 MB, held everybody up for 3 s, and took eleven
times that of memory (2026-11-22). Brackets in texts count, too: no text that a model reads has so many."""
MOST_VALUES = 2_000_000
"""Commas, wherever they stand."""

_MSGSPEC_ERROR = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_MSGSPEC_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")
_JSON_NAMES = {"`str": "`string", "`int": "`integer", "`bool": "`boolean", "`float": "`number"}


def decode_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Raise InvalidRequest: invalid_json, or missing_field and invalid_value with their `param`."""
    if body.count(b"{") + body.count(b"[") > MOST_CONTAINERS or body.count(b",") > MOST_VALUES:
        raise RequestTooLarge("The body's JSON has more objects, arrays and values than are taken.")
    try:
        return decoder.decode(body.removeprefix(_BOM))  # which Windows editors write, and curl then sends
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except RecursionError as error:
        raise InvalidRequest("The body's JSON is nested too deeply.", code="invalid_json") from error
    except ValueError as error:  # DecodeError, and UnicodeDecodeError that msgspec lets through
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from error


def convert(value: object, kind: type[T], param: str) -> T:
    """Read a part of a body that was decoded without a struct. Raise InvalidRequest as `decode_body` does."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), param) from error


def missing_field(param: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required field '{param}'.", code="missing_field", param=param)


def invalid_value(param: str, expected: str, value: str | int | None) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value for '{param}': expected {expected}, got {shown(value)}.", param=param
    )


def unsupported(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"Unsupported '{param}': {what}.", code="unsupported_parameter", param=param)


def shown(value: str | int | None) -> str:
    """Write a refused value for a message, cut short."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def _invalid(message: str, within: str = "") -> InvalidRequest:
    """Translate msgspec's words: "Expected `str`, got `int` - at `$.messages[0].role`"."""
    match = _MSGSPEC_ERROR.fullmatch(message)
    assert match is not None  # every text matches
    what, path = match["what"], match["path"] or ""
    path = path.partition("[...]")[0]  # a key of an object that has no struct
    path = f"{within}.{path}" if within and path and not path.startswith("[") else within + path
    if missing := _MSGSPEC_MISSING.fullmatch(what):
        return missing_field(f"{path}.{missing['field']}" if path else missing["field"])
    for python, json in _JSON_NAMES.items():
        what = what.replace(python, json)
    what = what[:1].lower() + what[1:]
    where = f"value for '{path}'" if path else "body"
    return InvalidRequest(f"Invalid {where}: {what}.", param=path or None)

"""Decode a request's JSON into a struct, or raise an error that names the exact mistake."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from lib.dialects.surrogates import place_of_mark, without_lone
from lib.errors import InvalidRequest, RequestTooLarge

T = TypeVar("T")

_BOM = b"\xef\xbb\xbf"
_MAX_SHOWN = 60
"""A message shows so many characters of a refused value: enough to find it, too few to log a prompt."""


class JsonLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a body's JSON. A test passes its own."""

    max_values: int = 200_000
    """A million messages of one letter fill 29 MB. Decoding them stopped every other request for 3 s and took
    eleven times that memory (2026-11-22).
    Commas and brackets in texts do not count."""


LIMITS = JsonLimits()

_MSGSPEC_ERROR = re.compile(r"(?P<reason>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_MSGSPEC_MISSING = re.compile(r"Object missing required field `(?P<field>.*)`")
_FORM = re.compile(rb"--|[\w.%\[\]-]{1,64}=")
"""A form's first bytes: the border of a multipart form, or a field's name."""
_SINGLE_QUOTES = re.compile(rb"\s*(?:'|\{\s*(?:'|\\|\w))")
"""The shell of Windows takes the double quotes off, or keeps the single ones."""
_JSON_NAMES = {"`str": "`string", "`int": "`integer", "`bool": "`boolean", "`float": "`number"}


def decode_body(body: bytes, decoder: msgspec.json.Decoder[T], limits: JsonLimits = LIMITS) -> T:
    """Decode the body. Raise InvalidRequest: invalid_json, or missing_field or invalid_value with `param`."""
    if has_more_values(body, limits.max_values):
        raise RequestTooLarge(f"Expected JSON with at most {limits.max_values} values, got more.")
    try:
        return _decode(body.removeprefix(_BOM), decoder)  # Windows editors write a BOM, and curl sends it.
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except RecursionError as error:
        raise InvalidRequest("The body's JSON is nested too deeply.", code="invalid_json") from error
    except ValueError as error:  # DecodeError, or UnicodeDecodeError, because msgspec does not convert it.
        raise InvalidRequest(_about_broken(body, error), code="invalid_json") from error


def _about_broken(body: bytes, error: ValueError) -> str:
    if not body.strip():
        return "The body is empty. Send JSON in it, with the header Content-Type: application/json."
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        return (
            f"The body is not UTF-8 (byte {wrong.start}). Send the JSON in UTF-8. On Windows, save it as "
            "a UTF-8 file and let curl send that: --data-binary @file."
        )
    return f"The body is not valid JSON: {error}.{_hint(body)}"


def _hint(body: bytes) -> str:
    """Say what a person at a terminal probably did. The reason alone is enough for other broken JSON."""
    if _FORM.match(body):
        return " It is a form. Send JSON, with the header Content-Type: application/json."
    if _SINGLE_QUOTES.match(body):
        return " JSON has double quotes. On Windows, let curl send it from a file: --data-binary @file."
    return ""


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode JSON. Half of a character fails only in a field that the parser reads, and by its name."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if (marked := without_lone(body)) is None:
            raise
        value = decoder.decode(marked)
    if (place := place_of_mark(value)) is None:
        return value
    raise InvalidRequest(
        f"Invalid value for '{place}': it holds half of a character, a lone surrogate such as \\ud83d. "
        "Cut texts between characters.",
        param=place or None,
    )


_STRUCTURE = b'",{['
_TEXT_BYTES = bytes(sorted(set(range(256)) - set(_STRUCTURE)))


def has_more_values(body: bytes, limit: int) -> bool:
    """Count the commas and brackets outside of texts, at the speed of copying: a list of values is none.

    Each value follows a comma or a bracket. Broken JSON may give any count: the decoder refuses it.
    """
    if body.count(b",") + body.count(b"{") + body.count(b"[") <= limit:
        return False
    # An escaped quote ends no text. The pairs of backslashes go first: in `\\\\"` the quote is not escaped.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = body.translate(None, _TEXT_BYTES)
    if marks.count(b'"') > 4 * limit + 4:  # Two for each text, a name and a value for each comma.
        return True
    return sum(map(len, marks.split(b'"')[::2])) > limit


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


def unsupported(param: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"Unsupported '{param}': {reason}.", code="unsupported_parameter", param=param)


def shown(value: str | int | None) -> str:
    """Write a refused value for a message, cut short."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"


def _invalid(message: str, within: str = "") -> InvalidRequest:
    """Translate msgspec's words: "Expected `str`, got `int` - at `$.messages[0].role`"."""
    match = _MSGSPEC_ERROR.fullmatch(message)
    assert match is not None  # Every text matches.
    reason, path = match["reason"], match["path"] or ""
    path = path.partition("[...]")[0]  # It marks a key of an object that has no struct.
    path = f"{within}.{path}" if within and path and not path.startswith("[") else within + path
    if missing := _MSGSPEC_MISSING.fullmatch(reason):
        return missing_field(f"{path}.{missing['field']}" if path else missing["field"])
    for python, json in _JSON_NAMES.items():
        reason = reason.replace(python, json)
    reason = reason[:1].lower() + reason[1:]
    place = f"value for '{path}'" if path else "body"
    return InvalidRequest(f"Invalid {place}: {reason}.", param=path or None)

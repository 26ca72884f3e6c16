"""Files that come within the request: data URLs, and base64 without one."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_to_bytes

from lib.errors import InvalidRequest
from lib.files.spool import FetchedFile, Spool

STEP_CHARACTERS = 64 * 1024
MAX_HEAD_CHARACTERS = 1024
"""The part before the comma of a data URL is at most so long."""

_DATA = re.compile(r"data:", re.IGNORECASE)
_SPACE = dict.fromkeys(map(ord, " \t\r\n"))
_URL_SAFE = str.maketrans("-_", "+/")


def is_data_url(url: str) -> bool:
    return _DATA.match(url) is not None


def decode_base64_file(data: str, *, name: str | None, max_bytes: int) -> FetchedFile:
    """Decode a data URL or bare base64, in pieces; raise InvalidRequest (`invalid_file`), RequestTooLarge.

    White space, the URL-safe alphabet and missing padding are accepted: clients send all of them.
    """
    head, start = _head(data) if is_data_url(data) else ("data:;base64", 0)
    content_type, *parameters = [part.strip() for part in head[len("data:") :].split(";")]
    is_base64 = parameters[-1:] != [] and parameters[-1].lower() == "base64"
    pieces = _decoded(data, start) if is_base64 else _unquoted(data, start)
    spool = Spool(max_bytes)
    try:
        for piece in pieces:
            spool.write_now(piece)
        if not spool.size:
            raise unavailable("The file is empty.")
        return spool.finish_now(content_type=content_type, name=name or _name(parameters))
    except BaseException:
        spool.close()
        raise


def unavailable(message: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_file")


def _head(data: str) -> tuple[str, int]:
    comma = data.find(",", 0, MAX_HEAD_CHARACTERS)
    if comma < 0:
        raise unavailable("The data URL has no comma between its type and its data.")
    return data[:comma], comma + 1


def _name(parameters: list[str]) -> str:
    names = [value for key, _, value in (part.partition("=") for part in parameters) if key == "name"]
    return unquote(names[0]) if names else ""


def _decoded(data: str, start: int) -> Iterator[bytes]:
    held = ""
    for position in range(start, len(data), STEP_CHARACTERS):
        held += data[position : position + STEP_CHARACTERS].translate(_SPACE)
        if "=" in held:  # Padding: only the end may follow.
            held += data[position + STEP_CHARACTERS :].translate(_SPACE)
            break
        whole = len(held) - len(held) % 4
        yield _decode(held[:whole])
        held = held[whole:]
    held = held.rstrip("=") if held[-3:].count("=") <= 2 else held
    yield _decode(held + "=" * (-len(held) % 4))


def _decode(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.translate(_URL_SAFE), strict_mode=True)
    except ValueError as error:  # binascii.Error, and characters beyond ASCII
        raise unavailable(f"The file is not valid base64: {error}.") from error


def _unquoted(data: str, start: int) -> Iterator[bytes]:
    position = start
    while position < len(data):
        end = position + STEP_CHARACTERS
        cut = data.rfind("%", max(position + 1, end - 2), end)  # Never cut within an escape.
        end = cut if cut > 0 else end
        yield unquote_to_bytes(data[position:end])
        position = end

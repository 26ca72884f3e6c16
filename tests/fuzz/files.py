"""Checks of what reads files from anywhere: what they are, what they are called, how they come."""

from __future__ import annotations

from collections.abc import Iterator

from lib.errors import InvalidRequest
from lib.files.inflate import STEP_BYTES, BrokenCompression, Inflater
from lib.files.inline import decode_base64_file
from lib.files.kinds import name_as, recognize
from lib.files.names import MAX_NAME_BYTES, name_of, safe_name
from tests.fuzz.upstream import check_message, chunkings

MAX_PIECES = 64
"""Of what grows: who reads it has a limit, and stops."""


def kinds(data: bytes) -> None:
    """The first line is a declared type and a name, the rest the file."""
    head, _, content = data.partition(b"\n")
    declared, _, name = head.decode("utf-8", "replace").partition(" ")
    kind = recognize(content[:4096], tail=content[-4096:], declared=declared, name=name)
    assert kind.mime
    fitting = name_as(safe_name(name), kind)
    assert fitting
    assert name_as(fitting, kind) == fitting, "a name that fits is kept"


def names(data: bytes) -> None:
    """The first line is a Content-Disposition, the rest a path."""
    header, _, path = data.decode("utf-8", "surrogateescape").partition("\n")
    for name in (safe_name(path), safe_name(header), name_of(path, header)):
        assert 0 < len(name.encode()) <= MAX_NAME_BYTES
        assert not set(name) & set('/\\\0\r\n"<>|?*:;%&'), name
        assert not name.startswith((".", " ")), name


def inflate(data: bytes) -> None:
    told = [_inflated(chunks) for chunks in chunkings(data)]
    assert None in told or all(content == told[0] for content in told), "the chunks make a difference"


def _inflated(chunks: list[bytes]) -> bytes | str | None:
    """Return what comes out; what is wrong with it; None for what grows and grows."""
    inflater = Inflater()
    content = b""
    try:
        for number, piece in enumerate(_pieces(inflater, chunks)):
            assert len(piece) <= STEP_BYTES
            if number == MAX_PIECES:
                return None
            content += piece
    except BrokenCompression:
        return "broken"
    return content


def _pieces(inflater: Inflater, chunks: list[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield from inflater.feed(chunk)
    yield from inflater.end()


def inline(data: bytes) -> None:
    try:
        file = decode_base64_file(data.decode("utf-8", "replace"), name=None, max_bytes=16 * 1024)
    except InvalidRequest as error:
        check_message(error)
        return
    with file.file:
        assert 0 < file.size <= 16 * 1024
        assert len(file.file.read()) == file.size

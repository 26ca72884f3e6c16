"""Finds the kind of a file: by its bytes first, then by the declared type, then by its name.

Servers declare application/octet-stream for everything, and clients name a PNG photo.jpg.
"""

from __future__ import annotations

import codecs
import re

import msgspec

SAMPLE_BYTES = 64 * 1024
"""So much of each end of a file is enough: an archive lists its names at its end."""


class Kind(msgspec.Struct, frozen=True):
    mime: str
    extension: str
    """It begins with its dot."""

    @property
    def is_image(self) -> bool:
        return self.mime in _PICTURES


UNKNOWN = Kind("application/octet-stream", ".bin")
TEXT = Kind("text/plain", ".txt")
HTML = Kind("text/html", ".html")

_PICTURES = {
    "image/jpeg",
    "image/png",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/avif",
    "image/heic",
    "image/tiff",
}
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_SLIDES = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."

_EXTENSIONS = {
    "image/jpeg": ".jpg .jpeg .jpe .jfif",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
    "image/avif": ".avif",
    "image/heic": ".heic .heif",
    "image/tiff": ".tiff .tif",
    "image/svg+xml": ".svg",
    "image/x-icon": ".ico",
    "application/pdf": ".pdf",
    "application/rtf": ".rtf",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
    "application/vnd.ms-powerpoint": ".ppt",
    _WORD: ".docx",
    _SHEET: ".xlsx",
    _SLIDES: ".pptx",
    f"{_OPEN_DOCUMENT}text": ".odt",
    f"{_OPEN_DOCUMENT}spreadsheet": ".ods",
    f"{_OPEN_DOCUMENT}presentation": ".odp",
    "application/epub+zip": ".epub",
    "application/zip": ".zip",
    "application/gzip": ".gz",
    "application/x-7z-compressed": ".7z",
    "application/vnd.rar": ".rar",
    "text/plain": ".txt .text .log",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/markdown": ".md .markdown",
    "text/html": ".html .htm .xhtml",
    "application/json": ".json",
    "application/xml": ".xml",
    "application/yaml": ".yaml .yml",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg .oga",
    "audio/flac": ".flac",
    "video/mp4": ".mp4 .m4v",
    "video/quicktime": ".mov",
    "video/webm": ".webm .mkv",
    "application/octet-stream": ".bin",
}
_SYNONYMS = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-ms-bmp": "image/bmp",
    "image/heif": "image/heic",
    "application/x-pdf": "application/pdf",
    "text/rtf": "application/rtf",
    "text/xml": "application/xml",
    "text/json": "application/json",
    "text/x-markdown": "text/markdown",
    "application/csv": "text/csv",
    "application/x-yaml": "application/yaml",
    "text/yaml": "application/yaml",
    "audio/mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-m4a": "audio/mp4",
    "application/x-zip-compressed": "application/zip",
}
_KINDS = {mime: Kind(mime, extensions.split()[0]) for mime, extensions in _EXTENSIONS.items()}
_BY_EXTENSION = {
    extension: _KINDS[mime] for mime, extensions in _EXTENSIONS.items() for extension in extensions.split()
}
_OFFICE_OF_OLD = ("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint")
_PAGES = (".php", ".asp", ".aspx", ".jsp", ".cgi", ".do")
"""These name the program that made a file, not its kind."""

_MAGIC = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\0\0\1\0", "image/x-icon"),
    (b"{\\rtf", "application/rtf"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"heim": "image/heic",
    b"mif1": "image/heic",
    b"msf1": "image/heic",
    b"M4A ": "audio/mp4",
    b"qt  ": "video/quicktime",
}
_IN_ZIP = ((b"word/", _WORD), (b"xl/", _SHEET), (b"ppt/", _SLIDES))
_IN_OLE = (("WordDocument", 0), ("Workbook", 1), ("Book", 1), ("PowerPoint Document", 2))
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)


def recognize(head: bytes, *, tail: bytes = b"", declared: str = "", name: str = "") -> Kind:
    """Return the file's kind; `head` and `tail` are its first and last `SAMPLE_BYTES`."""
    claims = [claim for claim in (_declared(declared), _by_name(name)) if claim is not None]
    if mime := _by_magic(head):
        return _KINDS[mime]
    if head.startswith(_OLE):
        return _old_office(head + tail, claims)
    if head.startswith(b"PK\x03\x04"):
        return _archive(head, tail)
    if _is_text(head):
        return _text(head, claims)
    # No known magic number: perhaps a text in an older encoding. A claim cannot make it a picture.
    return next((claim for claim in claims if claim != UNKNOWN and not claim.is_image), UNKNOWN)


def name_as(name: str, kind: Kind) -> str:
    """Return the name with an extension of the kind; an extension that fits already is kept."""
    stem, dot, suffix = name.rpartition(".")
    extension = f".{suffix.lower()}" if dot and stem else ""
    known = _BY_EXTENSION.get(extension)
    if known == kind or (extension and known is None and kind in (TEXT, UNKNOWN)):
        return name  # Also main.py: it is a text.
    return f"{stem if known or extension in _PAGES else name}{kind.extension}"


def _declared(mime: str) -> Kind | None:
    mime = mime.partition(";")[0].strip().lower()
    return _KINDS.get(_SYNONYMS.get(mime, mime))


def _by_name(name: str) -> Kind | None:
    _, dot, extension = name.lower().rpartition(".")
    return _BY_EXTENSION.get(f"{dot}{extension}")


def _by_magic(head: bytes) -> str:
    for magic, mime in _MAGIC:
        if head.startswith(magic):
            return mime
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12], "")
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "image/bmp"
    if len(head) > 3 and head[0] == 0xFF and head[1] in (0xFB, 0xFA, 0xF3, 0xF2):
        return "audio/mpeg"
    return "application/pdf" if b"%PDF-" in head[:1024] else ""


def _archive(head: bytes, tail: bytes) -> Kind:
    for mime in (f"{_OPEN_DOCUMENT}{form}" for form in ("text", "spreadsheet", "presentation")):
        if f"mimetype{mime}".encode() in head[:200]:
            return _KINDS[mime]
    if b"mimetypeapplication/epub+zip" in head[:200]:
        return _KINDS["application/epub+zip"]
    if b"[Content_Types].xml" in head or b"[Content_Types].xml" in tail:
        for folder, mime in _IN_ZIP:
            if folder in tail or folder in head:
                return _KINDS[mime]
    return _KINDS["application/zip"]


def _old_office(sample: bytes, claims: list[Kind]) -> Kind:
    for stream, index in _IN_OLE:
        if stream.encode("utf-16-le") in sample:
            return _KINDS[_OFFICE_OF_OLD[index]]
    return next((claim for claim in claims if claim.mime in _OFFICE_OF_OLD), UNKNOWN)


def _is_text(head: bytes) -> bool:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:  # Not final: the sample may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return not _BINARY.search(head)


def _text(head: bytes, claims: list[Kind]) -> Kind:
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1024].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return HTML
    if b"<svg" in start and start.startswith((b"<?xml", b"<svg", b"<!--", b"<!doctype svg")):
        return _KINDS["image/svg+xml"]
    texts = [claim for claim in claims if claim != TEXT and _is_written(claim)]
    return texts[0] if texts else TEXT


def _is_written(kind: Kind) -> bool:
    return kind.mime.startswith("text/") or kind.mime in (
        "application/json",
        "application/xml",
        "application/yaml",
    )

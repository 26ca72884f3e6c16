"""File names from outside, made safe to send on."""

from __future__ import annotations

import re
import unicodedata
from email.message import Message
from urllib.parse import unquote

FALLBACK_NAME = "file"
MAX_NAME_BYTES = 120
"""Most file systems take 255. The upstream's limit is not known (2026-09)."""
MAX_EXTENSION_CHARACTERS = 12

_UNSAFE = re.compile(r'[<>"|?*:;%&]+')
_EXTENDED_NAME = re.compile(r"filename\*\s*=\s*([A-Za-z0-9-]*)'[^']*'([^;\s]+)", re.IGNORECASE)
_MAX_READ = 1_000
"""Only so many characters of a name are read, from its end."""


def safe_name(name: str | None) -> str:
    """Keep the last component, without special characters of shells, paths and headers; never empty."""
    text = unicodedata.normalize("NFC", (name or "")[-_MAX_READ:]).replace("\\", "/")
    text = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text)
    text = _UNSAFE.sub("_", text.rstrip("/ ").rpartition("/")[2])
    return _shortened(" ".join(text.split()).lstrip("._ ").rstrip(". "))


def name_of(url_path: str, content_disposition: str) -> str:
    """Name a download as its server does, else by the last component of its address."""
    return safe_name(_attached_name(content_disposition) or unquote(url_path))


def _attached_name(content_disposition: str) -> str:
    if not content_disposition:
        return ""
    if extended := _EXTENDED_NAME.search(content_disposition):  # It wins over `filename` (RFC 6266).
        charset, name = extended.groups()
        return unquote(name, encoding="latin-1" if charset.lower() == "iso-8859-1" else "utf-8")
    header = Message()
    header["content-disposition"] = content_disposition
    try:
        return header.get_filename() or ""
    except (ValueError, TypeError):  # The parser fails at an unknown character set or an odd section number.
        return ""


def _shortened(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension) > MAX_EXTENSION_CHARACTERS:
        stem, dot, extension = name, "", ""
    room = MAX_NAME_BYTES - len(f"{dot}{extension}".encode())
    kept = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return f"{kept or FALLBACK_NAME}{dot}{extension}"

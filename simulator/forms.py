"""Read a multipart form as strictly as RFC 7578 says; of a file only its measures are kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from .steps import Json

_BOUNDARY = re.compile(r'multipart/form-data; *boundary="?([^";]{1,70})"?')
_DISPOSITION = re.compile(r'form-data; name="([^"]*)"(?:; filename="([^"]*)")?')


def read_form(content_type: str, raw: bytes) -> Json | None:
    """Return texts, and for each file its name, type, size and hash.

    Return None if the body is not a form, or if a strict reader would refuse it.
    """
    found = _BOUNDARY.fullmatch(content_type)
    if found is None:
        return None
    line = b"--" + found[1].encode("latin-1")
    if not raw.startswith(line + b"\r\n") or not raw.endswith(b"\r\n" + line + b"--\r\n"):
        return None
    form: Json = {}
    for piece in raw[len(line) + 2 : -len(line) - 6].split(b"\r\n" + line + b"\r\n"):
        head, blank, content = piece.partition(b"\r\n\r\n")
        fields = dict(_fields_of(head))
        disposition = _DISPOSITION.fullmatch(fields.get("content-disposition", ""))
        if not blank or disposition is None or disposition[1] in form:
            return None
        name, file_name = disposition.groups()
        form[name] = content.decode() if file_name is None else _measure(file_name, fields, content)
    return form


def _measure(file_name: str, fields: dict[str, str], content: bytes) -> Json:
    return {
        "file_name": file_name.replace("%22", '"'),
        "content_type": fields.get("content-type", ""),
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _fields_of(head: bytes) -> Iterator[tuple[str, str]]:
    for line in head.decode().split("\r\n"):
        name, _, value = line.partition(":")
        yield name.lower(), value.strip()

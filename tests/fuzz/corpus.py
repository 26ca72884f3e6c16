"""The inputs that are kept: a folder for each target, a file for each input."""

from __future__ import annotations

import hashlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "corpus"


def inputs(target: str, folder: Path = FOLDER) -> list[Path]:
    return sorted(path for path in (folder / target).glob("*") if path.is_file())


def keep(target: str, data: bytes, *, why: str, folder: Path = FOLDER) -> Path:
    """Write an input under a name that says what it is kept for; the same input is one file."""
    path = folder / target / f"{why}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path

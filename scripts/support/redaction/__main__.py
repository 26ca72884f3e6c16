"""Redact raw captures: `scripts/redact FILE-OR-FOLDER…`."""

from __future__ import annotations

import sys
from pathlib import Path

from lib.upstreams.chatglm.captures import SUFFIX
from scripts.support.redaction.files import redact_file

USAGE = f"usage: scripts/redact FILE-OR-FOLDER...   each FILE ends with {SUFFIX}"


def main(arguments: list[str]) -> int:
    """Redact each file, and each raw capture of a folder; return 1 if one of them could not be redacted."""
    if not arguments or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    status = 0
    for raw in _files(arguments):
        try:
            print(redact_file(raw))
        except (OSError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr)
            status = 1
    return status


def _files(arguments: list[str]) -> list[Path]:
    files: list[Path] = []
    for path in map(Path, arguments):
        files += sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    return files


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

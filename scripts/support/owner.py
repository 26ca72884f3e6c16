"""Find OWNER/glm-gateway in the documents, or put a repository's own name there.

python3 -m scripts.support.owner --check             end with 1, and name each place, if it stands somewhere
python3 -m scripts.support.owner --fill OWNER/NAME   .github/workflows/owner.yml does it at the first push
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = re.compile(r"(?:(?P<registry>ghcr\.io/)(?:OWNER|owner)|OWNER)(?P<slash>/|%2F)glm-gateway")
"""compose.yaml has it in lower case: docker refuses a capital letter in an image's name."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+")


def documents(root: Path) -> Iterator[Path]:
    """Find the files that name the repository."""
    texts = (*sorted(root.glob("*.md")), *sorted((root / "docs").glob("*.md")))
    others = (root / name for name in ("compose.yaml", ".github/source", "lib/web/page/index.html"))
    yield from (file for file in (*texts, *others) if file.is_file())


def placeholders(root: Path) -> list[str]:
    return [
        f"{file.relative_to(root).as_posix()}:{number}"
        for file in documents(root)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if PLACEHOLDER.search(line)
    ]


def fill(root: Path, repository: str) -> None:
    """Write the repository's name in place of each placeholder. A registry wants it in lower case."""

    def named(match: re.Match[str]) -> str:
        name = repository.lower() if match["registry"] else repository
        return (match["registry"] or "") + name.replace("/", match["slash"])

    for file in documents(root):
        text = file.read_text(encoding="utf-8")
        if (filled := PLACEHOLDER.sub(named, text)) != text:
            file.write_text(filled, encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="scripts/support/owner.py")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true")
    what.add_argument("--fill", metavar="OWNER/NAME")
    options = parser.parse_args(arguments)
    if options.fill:
        if not NAME.fullmatch(options.fill):
            parser.error("expected OWNER/NAME")
        fill(root, options.fill)
        return 0
    found = placeholders(root)
    for place in found:
        print(
            f"error: OWNER/glm-gateway stands in {place}. Put the repository's own name there.",
            file=sys.stderr,
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Whatever our scripts install: what was pinned, and without running anybody's code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACES = (
    *("scripts/*", "scripts/support/*", "hosts/aws/*", "tests/system/deploy/**/*.py"),
    *("Dockerfile", ".ci/run", ".github/workflows/*.yml"),
)
SCRIPTS = sorted(
    path
    for pattern in (
        "scripts/*",
        "scripts/support/*",
        "hosts/aws/*",
        "tests/system/deploy/**/*.py",
        "Dockerfile",
        ".ci/run",
        ".github/workflows/*.yml",
    )
    for path in ROOT.glob(pattern)
    if path.is_file()
)

Rule = Callable[[str], Iterator[str]]

_PIP = re.compile(r"""\bpip\b["' ,a-z./-]*["' ,](install|download)\b""")


def commands(text: str) -> list[str]:
    """Put together what goes on in the next line, of shell and of Python, without comments."""
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    return re.split(r"\n(?=\S)|\n\s*\n|(?<=[;&|]) ", text)


def pip_commands(text: str) -> Iterator[str]:
    """Find what pip installs or fetches, from that word to the command's end."""
    for command in commands(text):
        for found in _PIP.finditer(command):
            yield command[found.start() :]


def pip_takes_wheels_only(text: str) -> Iterator[str]:
    for command in pip_commands(text):
        if "--only-binary" not in command:
            yield f"pip may build, and run, what it fetches: {command[:60]}"
        if re.search(r"\s-r |--requirement", command) and "--require-hashes" not in command:
            yield "a requirements file whose hashes are not looked at"


def npm_runs_nothing(text: str) -> Iterator[str]:
    for command in commands(text):
        if re.search(r"\bnpm (install|ci|i)\b", command) and "--ignore-scripts" not in command:
            yield "npm runs what packages bring to be run"
        if re.search(r"(^|\s)(npx|bunx|pnpm dlx|pipx|uvx)\s", command):
            yield "what is run is fetched at that moment, in whatever version there is"


def nothing_comes_from_elsewhere(text: str) -> Iterator[str]:
    for option in ("--index-url", "--extra-index-url", "--find-links", "--trusted-host"):
        if re.search(rf"(?<!no-emit){option}\b(?! )", text) or re.search(rf"\s{option}[ =]", text):
            yield option


EXAMPLES: dict[Rule, tuple[str, ...]] = {
    pip_takes_wheels_only: (
        "python -m pip install uv==1\n",
        '    [sys.executable, "-m", "pip", "install", "--quiet", name],\n',
        "python -m pip install --only-binary :all: --no-deps \\\n    -r requirements.txt\n",
    ),
    npm_runs_nothing: ("npm install --no-audit\n", "npm ci\n", "npx vercel build\n"),
    nothing_comes_from_elsewhere: ("pip install --find-links=wheels --only-binary :all: y\n",),
}


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.relative_to(ROOT).as_posix())
@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.__name__)
def test_our_scripts_keep_the_rules(file: Path, rule: Rule) -> None:
    assert list(rule(file.read_text())) == []


@pytest.mark.parametrize(
    ("rule", "text"), [(rule, text) for rule, texts in EXAMPLES.items() for text in texts]
)
def test_every_rule_finds_its_bad_examples(rule: Rule, text: str) -> None:
    assert list(rule(text))


def test_the_rules_see_what_there_is() -> None:
    texts = [path.read_text() for path in SCRIPTS]
    assert sum(len(list(pip_commands(text))) for text in texts) >= 6
    assert sum(len(re.findall(r"\bnpm install\b", text)) for text in texts) >= 1


@pytest.mark.parametrize("file", sorted(ROOT.glob("tests/system/deploy/*/builder/package.json")), ids=str)
def test_what_npm_installs_is_locked_with_hashes(file: Path) -> None:
    lock = (file.parent / "package-lock.json").read_text()
    assert lock.count('"integrity": "sha512-') > 100
    assert not re.search(r'"(pre|post)?install":', file.read_text())

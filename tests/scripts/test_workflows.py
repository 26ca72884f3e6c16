"""What GitHub runs for us: pinned, with the least rights, nothing of a stranger's in a shell.

Each rule is a function from a workflow's text to its faults. It is tested twice: it finds nothing in ours,
and it finds a bad example of its own. (tests/system/conformance reads them as YAML.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))

Rule = Callable[[str], Iterator[str]]

_USES = re.compile(r"^\s*-?\s*uses:\s*(.+)$", re.MULTILINE)
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
_OURS = re.compile(r"\./\.github/workflows/[\w-]+\.yml")
_JOB = re.compile(r"^  ([\w-]+):\n((?:^    .*\n|^\s*\n)+)", re.MULTILINE)


def actions_are_pinned(text: str) -> Iterator[str]:
    for used in _USES.findall(text):
        if not _PINNED.fullmatch(used.strip()) and not _OURS.fullmatch(used.strip()):
            yield f"not pinned by a commit's hash with its version: {used}"


def rights_are_the_least(text: str) -> Iterator[str]:
    if "\npermissions:\n  contents: read\n" not in text:
        yield "the workflow as a whole may do more than read"
    if re.search(r"permissions:\s*(write|read)-all", text):
        yield "permissions for everything"
    for line in re.findall(r"^.*: write\b.*$", text, re.MULTILINE):
        if not re.fullmatch(r" {6}[a-z-]+: write # .+", line):
            yield f"a right to write that is no single job's, or has no reason beside it: {line.strip()}"


def strangers_run_nothing(text: str) -> Iterator[str]:
    for trigger in ("pull_request_target", "workflow_run", "issue_comment"):
        if re.search(rf"^\s*{trigger}:", text, re.MULTILINE):
            yield f"{trigger} runs with our rights what others wrote"
    for expression in re.findall(r"\$\{\{(.*?)\}\}", text):
        if re.search(r"head_ref|event\.(?!name\b)|event\.\w+\.(title|body|head)", expression):
            yield f"others choose what this says:{expression}"
    if "secrets." in text or "secrets: inherit" in text:
        yield "a secret"


def nothing_is_run_from_the_network(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if re.search(r"\b(curl|wget)\b.*\|\s*(sudo\s+)?(ba|z|da)?sh\b|\b(curl|wget)\b.*\|\s*python", line):
            yield f"run as it comes: {line.strip()}"
        if re.search(r"<\(\s*(curl|wget)\b|\beval\b.*\b(curl|wget)\b", line):
            yield f"run as it comes: {line.strip()}"


def no_expression_is_put_into_a_shell(text: str) -> Iterator[str]:
    for script in re.findall(r"^\s*(?:- )?run:\s*(\|\n(?:^ {8,}.*\n?)+|.*)", text, re.MULTILINE):
        if "${{" in script:
            yield f"an expression in a script; give it as an environment variable: {script.strip()[:60]}"


def no_credential_stays(text: str) -> Iterator[str]:
    kept = text.count("persist-credentials: false")
    if text.count("actions/checkout@") != kept:
        yield "a checkout leaves its token behind"


def every_job_ends(text: str) -> Iterator[str]:
    jobs = text.partition("\njobs:\n")[2] + "\n"
    for name, body in _JOB.findall(jobs):
        if "    uses: " not in body and not re.search(r"^    timeout-minutes: \d+$", body, re.MULTILINE):
            yield f"the job {name} has no timeout"


EXAMPLES: dict[Rule, tuple[str, ...]] = {
    actions_are_pinned: (
        "      - uses: actions/checkout@v7\n",
        "      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1\n",
        "      - uses: actions/checkout@3d3c42e # v7.0.1\n",
        "    uses: someone/else/.github/workflows/x.yml@main\n",
        "      - uses: docker://alpine:3\n",
    ),
    rights_are_the_least: (
        "on: push\njobs:\n",
        "\npermissions:\n  contents: read\n\njobs:\n  a:\n    permissions: write-all\n",
        "\npermissions:\n  contents: read\n  packages: write # why not\n",
        "\npermissions:\n  contents: read\n\njobs:\n  a:\n    permissions:\n      contents: write\n",
    ),
    strangers_run_nothing: (
        "on:\n  pull_request_target:\n",
        "on:\n  workflow_run:\n",
        "        env:\n          TITLE: ${{ github.event.pull_request.title }}\n",
        "        env:\n          REF: ${{ github.head_ref }}\n",
        "        env:\n          TOKEN: ${{ secrets.TOKEN }}\n",
    ),
    nothing_is_run_from_the_network: (
        "      - run: curl -sSf https://example.org/i | sh\n",
        "      - run: wget -O- https://example.org/i | sudo bash\n",
        "      - run: curl https://example.org/i.py | python3 -\n",
        "      - run: bash <(curl https://example.org/i)\n",
    ),
    no_expression_is_put_into_a_shell: (
        "      - run: echo ${{ github.ref_name }}\n",
        "      - name: x\n        run: |\n          echo fine\n          echo ${{ github.ref_name }}\n",
    ),
    no_credential_stays: ("      - uses: actions/checkout@3d3c # v7\n      - run: x\n",),
    every_job_ends: ("\njobs:\n  one:\n    runs-on: x\n    timeout-minutes: 5\n  two:\n    runs-on: x\n",),
}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.__name__)
def test_our_workflows_keep_the_rules(file: Path, rule: Rule) -> None:
    assert list(rule(file.read_text())) == []


@pytest.mark.parametrize(
    ("rule", "text"), [(rule, text) for rule, texts in EXAMPLES.items() for text in texts]
)
def test_every_rule_finds_its_bad_examples(rule: Rule, text: str) -> None:
    assert list(rule(text))


def test_ci_is_what_everybody_can_run() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    assert "      - run: bash .ci/run\n" in text
    assert "  pull_request:\n" in text
    assert "\nconcurrency:\n" in text


def test_a_release_has_passed_ci_and_comes_with_its_bills_and_their_checksums() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    jobs = dict(_JOB.findall(text.partition("\njobs:\n")[2]))
    assert "uses: ./.github/workflows/ci.yml" in jobs["ci"]
    assert "needs: ci\n" in jobs["build"]
    assert "needs: build\n" in jobs["publish"]
    assert re.search(r"SOURCE_DATE_EPOCH=.* scripts/sbom dist", jobs["build"])
    assert "sha256sum" in jobs["build"]
    assert "attest-build-provenance@" in jobs["publish"]
    assert "actions/checkout@" not in jobs["publish"], "who may write runs nothing of the repository"


def test_updates_are_proposed_every_week() -> None:
    text = (ROOT / ".github/dependabot.yml").read_text()
    ecosystems = set(re.findall(r"package-ecosystem: ([\w-]+)", text))
    assert ecosystems == {"pip", "github-actions"}
    assert text.count("interval: weekly") == len(ecosystems)

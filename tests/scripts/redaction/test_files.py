"""scripts/redact: raw captures in, files that can be sent out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.support.redaction.__main__ import main
from scripts.support.redaction.files import redact_file
from simulator.scenes.replay import read_capture

ROOT = Path(__file__).resolve().parents[3]
HEAD = {
    "glm_capture": 1,
    "redacted": False,
    "recorded_at": "2026-11-22T00:28:17.021+00:00",
    "request_id": "req-1",
    "status": 200,
    "content_type": "text/event-stream",
    "conversation_id": "bbbbbbbbbbbb",
    "history_id": "aaaaaaaaaaaa",
}
SECRET = "Kaleidoskop 机密"
EVENT = f'data: {{"id":"aaaaaaaaaaaa","conversation_id":"bbbbbbbbbbbb","parts":[],"x":"{SECRET}"}}\n\n'


def write_raw(path: Path, *pieces: dict[str, Any], end: str = "closed", **head: Any) -> Path:
    lines = [HEAD | head, *pieces, {"at_ms": 900.0, "end": end}]
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_redacted_file_is_the_raw_one_without_its_words(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "a.raw.jsonl", {"at_ms": 1.5, "text": EVENT}, end="left", tomorrow=SECRET)
    redacted = redact_file(raw)
    assert redacted == tmp_path / "a.capture.jsonl"
    assert raw.exists()
    before, after = read_capture(raw), read_capture(redacted)
    assert (after.status, after.content_type, after.end) == (200, "text/event-stream", "left")
    assert (after.conversation_id, after.history_id) == ("000000000002", "000000000001")
    assert [(at, len(piece)) for at, piece in after.pieces] == [(at, len(p)) for at, p in before.pieces]
    text = redacted.read_text()
    assert not [word for word in (*SECRET.split(), "aaaaaaaaaaaa", "bbbbbbbbbbbb") if word in text]
    head = json.loads(text.partition("\n")[0])
    assert head["redacted"] is True
    assert (head["request_id"], head["recorded_at"]) == ("req-1", HEAD["recorded_at"])
    assert set(head) == set(HEAD)


def test_pieces_that_are_cut_within_a_character_are_joined_before(tmp_path: Path) -> None:
    raw = write_raw(
        tmp_path / "a.raw.jsonl",
        {"at_ms": 1, "text": 'data: {"x":"'},
        {"at_ms": 2, "base64": "5py6"[:2] + "=="},
        {"at_ms": 3, "base64": "nLo="},
        {"at_ms": 4, "text": '\u2028"}\n\n'},
    )
    assert b"\xe6\x9c\xba" in read_capture(raw).body
    redacted = read_capture(redact_file(raw))
    assert [len(piece) for _, piece in redacted.pieces] == [12, 1, 2, 7]
    assert b"\xe6\x9c\xba" not in redacted.body
    assert "\u2028" in redacted.body.decode()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        redacted = redact_file(write_raw(tmp_path / "a.raw.jsonl"))
    finally:
        os.umask(before)
    assert redacted.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.capture.jsonl",
            "",
            "a.capture.jsonl is not a raw capture: expected a name that ends with .raw.jsonl",
        ),
        ("a.raw.jsonl", "", "a.raw.jsonl is not a raw capture of format 1"),
        ("a.raw.jsonl", "[]\n[]", "a.raw.jsonl is not a raw capture of format 1"),
        ("a.raw.jsonl", json.dumps(HEAD), "a.raw.jsonl is not a raw capture of format 1"),
        (
            "a.raw.jsonl",
            json.dumps(HEAD | {"glm_capture": 2}) + '\n{"at_ms":1,"end":"left"}',
            "a.raw.jsonl is not a raw capture of format 1",
        ),
        (
            "a.raw.jsonl",
            json.dumps(HEAD | {"redacted": True}) + '\n{"at_ms":1,"end":"left"}',
            "a.raw.jsonl is not a raw capture of format 1",
        ),
    ],
)
def test_another_file_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match="not a raw capture") as caught:
        redact_file(tmp_path / name)
    assert str(caught.value) == message
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_folder_means_each_raw_capture_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b", "a"):
        write_raw(tmp_path / f"{name}.raw.jsonl")
    (tmp_path / "notes.txt").touch()
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"{name}.capture.jsonl") for name in "ab"]


def test_one_bad_file_stops_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, missing = write_raw(tmp_path / "good.raw.jsonl"), tmp_path / "missing.raw.jsonl"
    assert main([str(missing), str(good)]) == 1
    output = capsys.readouterr()
    assert output.out.strip() == str(tmp_path / "good.capture.jsonl")
    assert "missing.raw.jsonl" in output.err


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_it_says_how_to_call_it(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "scripts/redact FILE-OR-FOLDER" in capsys.readouterr().err


def test_the_script_takes_names_from_the_folder_that_a_person_is_in(tmp_path: Path) -> None:
    script = (ROOT / "scripts/redact").read_text()
    lines = [line for line in script.splitlines() if "ensure_environment" not in line]
    # The environment is tested elsewhere; here the Python of this test takes its place.
    program = "\n".join(lines).replace('"${BASH_SOURCE[0]}"', f'"{ROOT}/scripts/redact"')
    folder = tmp_path / "elsewhere"
    (folder / "lib").mkdir(parents=True)  # a module of theirs with the name of ours
    (folder / "lib/__init__.py").write_text("raise ImportError")
    write_raw(folder / "a.raw.jsonl")
    done = subprocess.run(
        ["bash", "-c", program, "redact", "a.raw.jsonl"],
        cwd=folder,
        env={**os.environ, "ENVIRONMENT_PYTHON": os.path.relpath(sys.executable, ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "a.capture.jsonl"), done.stderr
    assert (folder / "a.capture.jsonl").exists()

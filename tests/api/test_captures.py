"""A bug report becomes a test: a recorded answer, redacted and replayed, has the same outcome."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from scripts.support.redaction.files import redact_file
from simulator.scenes import sample_text
from simulator.scenes.replay import read_capture, replay_capture
from tests.api.test_chat import CASES, SHORT
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, chat_body
from tests.support.live import LiveGateway
from tests.support.log import logged
from tests.support.waiting import wait_until
from tests.support.wire import RawClient

MARKERS = ("Kaleidoskop", "机密文件", "0176-5550199")
NOTHING_COMES = {"silence_before_headers"}
"""Without a head there is nothing to record."""
OTHERS = ("code_interpreter", "images", "images_old", "images_as_links", "default", "files")


@pytest.fixture
def folder(tmp_path: Path, environment: pytest.MonkeyPatch) -> Path:
    environment.setenv("CAPTURE_DIR", str(tmp_path / "captures"))
    return tmp_path / "captures"


@pytest.fixture
def replaying(upstream: Upstream, folder: Path) -> Iterator[Upstream]:
    """Give the upstream with the recorded files at hand."""
    upstream.sim.replay_dir = folder
    yield upstream
    upstream.sim.replay_dir = None


def captured(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.raw.jsonl")) if folder.exists() else []


def ends(file: Path) -> list[int]:
    """Return the places in an answer at which its pieces end."""
    return list(accumulate(len(piece) for _, piece in read_capture(file).pieces))


def redacted(folder: Path) -> list[Path]:
    return [redact_file(raw) for raw in captured(folder)]


def outcome(client: Client, gateway: LiveGateway, prompt: str, *, is_stream: bool) -> dict[str, Any]:
    """Return everything that an answer and the replay of its capture must have in common."""
    with logged() as lines:
        response = client.chat(prompt, stream=is_stream)
        wait_until(gateway.is_idle)
    [line] = [line for line in lines if line["message"] == "request"]
    told = ("status", "code", "upstream_code", "upstream_status", "finish", "notices", "model", "stream")
    text = response.text
    if is_stream and response.status_code == 200:
        events = [json.loads(record[6:]) for record in text.split("\n\n") if record.startswith("data: {")]
        deltas = [choice["delta"] for event in events for choice in event.get("choices", ())]
    else:
        deltas = [choice["message"] for choice in response.json().get("choices", ())]
    return {
        **{name: line.get(name) for name in told},
        "text": sum(len(delta.get("content") or "") for delta in deltas),
        "reasoning": sum(len(delta.get("reasoning_content") or "") for delta in deltas),
        "sources": sum(len(delta.get("annotations") or ()) for delta in deltas),
    }


@pytest.mark.parametrize("scene", [*(name for name in CASES if not name.startswith("replay")), *OTHERS])
def test_a_replayed_capture_ends_as_the_original_did(
    *,
    client: Client,
    gateway: LiveGateway,
    replaying: Upstream,
    folder: Path,
    account: SimulatedAccount,
    environment: pytest.MonkeyPatch,
    scene: str,
) -> None:
    environment.setenv("ACCOUNT_WAIT_S", "0")
    for field, value in (CASES[scene].env if scene in CASES else {}).items():
        environment.setenv(field, value)
    is_stream = len(scene) % 2 == 0
    original = outcome(client, gateway, f"[scene:{scene}] {' '.join(MARKERS)}", is_stream=is_stream)
    files = redacted(folder)
    assert bool(files) == (scene not in NOTHING_COMES)
    tokens = (KEY, account.token, *replaying.sim.account(account.uid).access_tokens)
    for secret in (*MARKERS, *tokens):
        assert secret not in _everything(files)
    for token in tokens:
        assert token not in _everything(captured(folder))
    # Of another account, as in another place: what the first one was refused for is remembered.
    environment.setenv("CHATGLM_REFRESH_TOKENS", replaying.add_account().token)
    for file in files:
        replaying.sim.play(f"replay file={file.name}")
    assert outcome(client, gateway, "again", is_stream=is_stream) == original or not files


def _everything(files: list[Path]) -> str:
    return "".join(
        file.read_text(encoding="utf-8") + read_capture(file).body.decode("utf-8", "replace")
        for file in files
    )


def test_a_raw_capture_holds_the_words_and_is_replayed_with_them(
    client: Client, replaying: Upstream, folder: Path, gateway: LiveGateway
) -> None:
    said = client.text(f"[scene:echo] {MARKERS[0]}")
    assert MARKERS[0] in said
    wait_until(gateway.is_idle)
    [raw] = captured(folder)
    assert MARKERS[0] in _everything([raw])
    assert client.text(f"[scene:replay file={raw.name}]") == said


def test_pieces_are_replayed_as_they_came(
    client: Client, replaying: Upstream, folder: Path, gateway: LiveGateway
) -> None:
    replaying.sim.pace_s = 0.005
    assert client.text("[scene:one_byte size=40]") == "One byte at a time."
    wait_until(gateway.is_idle)
    [first] = captured(folder)
    assert 40 in {len(piece) for _, piece in read_capture(first).pieces}
    text = client.text(f"[scene:replay file={first.name} pace=1]")
    wait_until(gateway.is_idle)
    assert len(text) == len("One byte at a time.")
    again = next(file for file in captured(folder) if file != first)
    assert max(ends(again)) == max(ends(first))
    assert set(ends(again)) <= set(ends(first))  # One read may find two pieces.
    assert len(ends(again)) > len(ends(first)) / 2


def test_a_replayed_conversation_is_deleted_by_its_own_id(
    client: Client, replaying: Upstream, folder: Path, gateway: LiveGateway
) -> None:
    client.text("[scene:text chars=20]")
    wait_until(gateway.is_idle)
    [file] = captured(folder)
    kept = client.answer(f"[scene:replay file={file.name}]", conversation_id="")["id"]
    client.answer(f"[scene:replay file={file.name}]")
    wait_until(gateway.is_idle)
    assert replaying.sim.live_conversations() == [kept]


def test_if_the_client_left_the_replay_waits(
    client: Client, replaying: Upstream, folder: Path, gateway: LiveGateway
) -> None:
    raw = RawClient(gateway.url)
    raw.post(CHAT, chat_body("[scene:slow gap=0.02 count=500]", stream=True), authorization=f"Bearer {KEY}")
    raw.read_until(b"word 3")
    raw.leave()
    wait_until(lambda: captured(folder))
    wait_until(gateway.is_idle)
    [file] = captured(folder)
    capture = read_capture(file)
    assert capture.end == "left"
    assert b"10024" not in capture.body, "the stop causes this event, so it is not part of the answer"


def test_the_callers_limit_ends_the_recording_too(client: Client, replaying: Upstream, folder: Path) -> None:
    answer = client.answer("[scene:slow gap=0.01 count=500]", stop=["word 5"])
    assert answer["choices"][0]["finish_reason"] == "stop"
    wait_until(lambda: captured(folder))
    assert read_capture(captured(folder)[0]).end == "left"


def test_an_answer_that_cannot_be_recorded_is_as_always(
    client: Client, environment: pytest.MonkeyPatch, tmp_path: Path, gateway: LiveGateway
) -> None:
    (tmp_path / "captures").touch()
    environment.setenv("CAPTURE_DIR", str(tmp_path / "captures"))
    with logged() as lines:
        assert client.text("[scene:text chars=9]") == sample_text(9)
        assert client.text("[scene:text chars=9]") == sample_text(9)
        wait_until(gateway.is_idle)
    assert [line["message"] for line in lines].count("capture not written") == 1


def test_a_capture_can_be_a_scene_of_a_test(
    client: Client, replaying: Upstream, folder: Path, gateway: LiveGateway
) -> None:
    client.text("[scene:web_search]")
    wait_until(gateway.is_idle)
    [file] = redacted(folder)
    replaying.sim.play(replay_capture(file), times=2)
    for _ in range(2):
        message = client.answer("anything")["choices"][0]["message"]
        assert len(message["annotations"]) == 4


def test_a_silence_is_replayed_as_a_silence(
    client: Client, replaying: Upstream, folder: Path, environment: pytest.MonkeyPatch, gateway: LiveGateway
) -> None:
    for name, value in SHORT.items():
        environment.setenv(name, value)
    assert client.chat("[scene:silence]").status_code == 504
    wait_until(gateway.is_idle)
    file = captured(folder)[0]
    assert read_capture(file).end == "left"
    assert client.chat(f"[scene:replay file={file.name}]").status_code == 504
    assert client.chat(f"[scene:replay file={file.name} hold=0.01]").status_code == 502, "it closes then"

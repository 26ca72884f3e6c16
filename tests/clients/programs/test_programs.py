"""Programs that write code: each answers a prompt, and writes a file by its own tool."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.scenes import sample_text
from tests.clients.programs.programs import PROGRAMS, Place, Program, run
from tests.clients.samples import CODE
from tests.conftest import Upstream
from tests.support.client import Client

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("CLIENTS_NODE"), reason="scripts/test-clients makes the folder of node's packages"
    ),
    pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name),
]


@pytest.fixture
def place(program: Program, tmp_path: Path, client: Client) -> Place:
    if not program.find():
        pytest.skip(f"there is no package of {program.name} for this system")
    place = Place(tmp_path / "home", tmp_path / "work", client.url)
    place.home.mkdir()
    (place.work / ".git").mkdir(parents=True)
    return place


def test_a_prompt_is_answered(program: Program, place: Place) -> None:
    ended = run(program, place, "[scene:text chars=300] Say something.")
    assert ended.code == 0, ended.err
    assert sample_text(300) in ended.out


def test_a_file_is_written_by_its_own_tool(program: Program, place: Place, upstream: Upstream) -> None:
    file = place.work / "src" / "a.py"
    steps = [program.write(file, CODE), f"answer {json.dumps('It is done: 好.')}"]
    ended = run(program, place, f"[scene:agent] [agent: {'; then '.join(steps)}]")
    assert ended.code == 0, ended.err
    assert file.read_text(encoding="utf-8") == CODE, ended
    assert "It is done: 好." in ended.out
    assert upstream.count("assistant/stream") >= 2


def test_a_plain_request_is_done_with_the_tools_that_it_offers(program: Program, place: Place) -> None:
    ended = run(program, place, "[scene:agent] Create the file hello.txt with the content `good morning`.")
    assert ended.code == 0, ended.err
    assert (place.work / "hello.txt").read_text(encoding="utf-8").strip() == "good morning"


def test_a_wrong_key_is_told(program: Program, place: Place, upstream: Upstream) -> None:
    ended = run(program, replace(place, key="sk-wrong"), "Hello!")
    assert ended.code != 0
    assert "not a key of API_KEYS" in ended.out + ended.err
    assert not upstream.chats()

"""The benchmarks run, and notice an answer that is not whole. What they measure is no test's business."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import wire
from tests.bench.report import Aim, percentile

ROOT = Path(__file__).resolve().parents[2]
TEXT = 'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":null}]}\n\n'
STOP = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = "data: [DONE]\n\n"


@pytest.mark.parametrize(
    "name",
    [
        *("first-content", "round-trips", "cpu-per-event", "chat-cpu", "first-request"),
        *("hundred-streams", "imports", "stores", "cold-start"),
    ],
)
def test_a_benchmark_runs_and_tells_its_aim_and_its_command(name: str) -> None:
    command = [sys.executable, "-m", "tests.bench", name, "--quick"]
    # Not measured for coverage, which would slow down what it measures.
    environ = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "(aim: at most " in done.stdout
    assert f"again: scripts/bench {name}" in done.stdout


def test_an_unknown_benchmark_is_named() -> None:
    command = [sys.executable, "-m", "tests.bench", "speed"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no such benchmark: speed" in done.stderr


def test_a_whole_answer_is_read_and_timed() -> None:
    answer = answer_of(TEXT, STOP, DONE)
    assert wire.told_by_gateway(answer.body()) == "Hello"
    assert answer.first_content_s > 0


def test_the_opening_chunk_without_content_is_no_first_content() -> None:
    opening = 'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    assert answer_of(opening).first_content_s == 0


@pytest.mark.parametrize(
    "frames",
    [(TEXT, STOP), (TEXT, DONE), (TEXT, STOP, STOP, DONE), (TEXT, 'data: {"error":{}}\n\n')],
    ids=["no DONE", "no reason", "two reasons", "an error"],
)
def test_an_answer_with_a_wrong_ending_is_noticed(frames: tuple[str, ...]) -> None:
    with pytest.raises(wire.GarbledAnswer):
        wire.told_by_gateway(answer_of(*frames).body())


def test_an_answer_that_says_something_else_is_noticed() -> None:
    wire.verify("Hello", "Hello")
    with pytest.raises(wire.GarbledAnswer):
        wire.verify("Hallo", "Hello")


def test_an_answer_that_is_cut_off_is_noticed() -> None:
    with pytest.raises(wire.GarbledAnswer):
        wire.Answer().feed(b"")


def test_a_refusal_is_noticed() -> None:
    answer = wire.Answer()
    answer.feed(b"HTTP/1.1 503 Service Unavailable\r\n\r\n0\r\n\r\n")
    with pytest.raises(wire.GarbledAnswer):
        answer.body()


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]


def test_an_aim_says_whether_it_is_met() -> None:
    assert "MISSED" in str(Aim("a ratio", 1.3, 1.25, "×"))
    assert "MISSED" not in str(Aim("a ratio", 1.25, 1.25, "×"))


def answer_of(*frames: str) -> wire.Answer:
    """Make an answer of these frames, each a chunk of its own, that comes in pieces of 7 bytes."""
    chunks = [b"%x\r\n%b\r\n" % (len(frame), frame) for frame in map(str.encode, frames)]
    raw = b"".join([b"HTTP/1.1 200 OK\r\n\r\n", *chunks, b"0\r\n\r\n"])
    answer = wire.Answer()
    ended = [answer.feed(raw[start : start + 7]) for start in range(0, len(raw), 7)]
    assert ended == [False] * (len(ended) - 1) + [True]
    return answer

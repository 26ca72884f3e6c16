"""The README's sample answers are parts of real ones, and each endpoint that answers JSON has one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from hosts.box.demo import DEMO_KEY
from simulator.official.audio import make_sound, wav_of
from tests.conftest import Upstream
from tests.test_docs import ENGLISH, prose, rows

HELLO = [{"role": "user", "content": "Hello!"}]
GOOGLE_HELLO = {"contents": [{"parts": [{"text": "Hello!"}]}]}
SHIP = {"prompt": "A ship at sea"}


class Request(msgspec.Struct, kw_only=True):
    """A request behind a sample answer."""

    json: object = None
    form: dict[str, Any] | None = None
    after: str = ""
    """The request whose answer names the thing that the path's last part stands for."""
    needs_token: bool = False


ASKED = {
    "POST /v1/chat/completions": Request(json={"model": "glm-5.3", "messages": HELLO}),
    "POST /v1/responses": Request(json={"model": "glm-5.3", "input": "Hello!"}),
    "DELETE /v1/responses/{response_id}": Request(after="POST /v1/responses"),
    "POST /v1/messages": Request(json={"model": "glm-5.3", "max_tokens": 500, "messages": HELLO}),
    "POST /v1/messages/count_tokens": Request(json={"model": "glm-5.3", "messages": HELLO}),
    "POST /v1beta/models/glm-5.3:generateContent": Request(json=GOOGLE_HELLO),
    "POST /v1beta/models/glm-5.3:countTokens": Request(json=GOOGLE_HELLO),
    "GET /v1beta/models": Request(),
    "POST /v1/completions": Request(json={"model": "glm-5.3", "prompt": "Hello!"}),
    "GET /v1/models": Request(),
    "GET /v1/models/glm-5.3": Request(),
    "POST /v1/images/generations": Request(json={"prompt": "a cat in the rain"}),
    "POST /v1/videos/generations": Request(json={**SHIP, "wait": 0}),
    "GET /v1/videos/generations/{video_id}": Request(after="POST /v1/videos/generations"),
    "POST /v1/videos": Request(json=SHIP),
    "GET /v1/videos/{video_id}": Request(after="POST /v1/videos"),
    "DELETE /v1/videos/{video_id}": Request(after="POST /v1/videos"),
    "POST /v1/embeddings": Request(json={"model": "embedding-3", "input": "Hello!", "dimensions": 256}),
    "POST /v1/rerank": Request(json={"model": "rerank", "query": "cat", "documents": ["a cat", "a dog"]}),
    "POST /v1/audio/transcriptions": Request(form={"file": ("hello.wav", wav_of(make_sound("Hello!")))}),
    "POST /token/check": Request(json={}),
    "GET /tokens": Request(),
    "POST /tokens": Request(needs_token=True),
    "GET /health": Request(),
}


def ask(place: str, demo: str, upstream: Upstream) -> httpx.Response:
    asked = ASKED[place]
    method, path = place.split()
    if asked.after:
        made = ask(asked.after, demo, upstream).json()
        path = re.sub(r"\{\w+\}", made["id"], path)
    return httpx.request(
        method,
        demo + path,
        json={"token": upstream.add_account().token} if asked.needs_token else asked.json,
        files=asked.form,
        headers={"authorization": f"Bearer {DEMO_KEY}"},
        timeout=30,
        trust_env=False,
    )


def sample_answers() -> dict[str, object]:
    text = ENGLISH.read_text(encoding="utf-8").partition("### One answer of each\n")[2].partition("\n## ")[0]
    found = re.findall(
        r"^`((?:GET|POST|DELETE) [^`]+)`[^\n]*\n\n```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    return {place: json.loads(code) for place, code in found}


def shape(value: object) -> object:
    """Reduce an answer to its keys and the kinds of its values. A list is its first entry."""
    match value:
        case dict():
            return {key: shape(inner) for key, inner in value.items()}
        case list():
            return [shape(inner) for inner in value[:1]]
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case _:
            return "null or text"


def is_part(sample: object, whole: object) -> bool:
    match sample, whole:
        case dict(), dict():
            return all(key in whole and is_part(inner, whole[key]) for key, inner in sample.items())
        case list(), list():
            return not sample or (bool(whole) and is_part(sample[0], whole[0]))
        case _:
            return sample == whole


WITHOUT_A_SAMPLE = {
    "GET /v1/responses/{response_id}": "always a 404",
    "GET /v1/responses/{response_id}/input_items": "always a 404",
    "GET /v1beta/models/{name}": "one of the list",
    "POST /v1beta/models/{name}:streamGenerateContent": "a stream",
    "POST /v1/models/{name}:generateContent": "as below /v1beta",
    "POST /v1/models/{name}:streamGenerateContent": "as below /v1beta",
    "POST /v1/models/{name}:countTokens": "as below /v1beta",
    "GET /v1/videos/{video_id}/content": "a redirect",
    "POST /v1/audio/speech": "a sound",
    "DELETE /tokens/{label}": "no body",
    "GET /ping": "a word",
    "GET /openapi.json": "a document of its own",
    "GET /": "the page",
}


def test_every_endpoint_that_answers_json_has_a_sample() -> None:
    assert set(sample_answers()) == set(ASKED)
    table = prose(ENGLISH).partition("\n## Endpoints\n")[2].partition("\n### ")[0]
    listed = {cells[0].strip("`") for cells in rows(table) if cells[0].startswith("`")}
    assert {place.replace("glm-5.3", "{name}") for place in ASKED} == listed - WITHOUT_A_SAMPLE.keys()
    assert WITHOUT_A_SAMPLE.keys() < listed


@pytest.mark.parametrize("place", ASKED)
def test_a_sample_answer_is_a_part_of_the_real_one(
    place: str, demo: str, upstream: Upstream, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv(
        "STORE_URL", f"sqlite:///{tmp_path}/state.db"
    )  # An account is added only to what lasts.
    answer = ask(place, demo, upstream)
    assert answer.is_success, answer.text
    assert is_part(shape(sample_answers()[place]), shape(answer.json())), answer.text

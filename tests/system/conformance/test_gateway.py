"""The live gateway against its own document: schemathesis asks what that allows, and what it does not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from schemathesis.engine import events, from_schema
from schemathesis.hooks import unregister

from lib.web.guessing import GUESSES
from simulator.official.audio import make_sound, wav_of
from tests.support.client import KEY, Client
from tests.support.files import FileServer
from tests.support.live import LiveGateway
from tests.system.openapi.document import everything, operations, references

SEED = 20261122
EXAMPLES = 20
"""Of chance, for each operation: beside the document's own, and one for each limit of each schema."""
NEVER_SUCCEED = {"POST /tokens": {400, 409}, "DELETE /tokens/{label}": {404}}
"""No document can name a refresh token that is taken, nor the label of its account."""
WAV = wav_of(make_sound("A recording."))
MAX_STREAMS = 3
"""Of /health?stream=1, which takes most of a second."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)

_ADDRESS = re.compile(r"https?://[^/?#\s]*", re.IGNORECASE)


class Tamer:
    """Changes each request a little before it is sent: nothing leaves this machine, and nobody waits long."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._streams = 0
        self._recordings = 0

    def __call__(self, _context: Any, case: Any, _kwargs: Any) -> None:
        GUESSES.failures.clear()  # else wrong keys cost seconds
        case.body = self._at_home(case.body)
        if case.operation.path == "/v1/videos/generations":
            _do_not_wait(case.body)
        if case.operation.path == "/v1/audio/transcriptions":
            self._record(case.body)
        _force_nothing(case.body)
        if case.operation.path == "/health" and "stream" in (case.query or {}):
            self._streams += 1
            if self._streams > MAX_STREAMS:
                del case.query["stream"]

    def _record(self, body: Any) -> None:
        """Make every second recording one: no document can say how the bytes of a WAV begin."""
        if isinstance(body, dict) and "file" in body:
            self._recordings += 1
            if self._recordings % 2:
                body["file"] = WAV

    def _at_home(self, value: Any) -> Any:
        """Point every address at our own server."""
        match value:
            case str():
                return _ADDRESS.sub(self._server, value)
            case list():
                return [self._at_home(item) for item in value]
            case dict():
                return {name: self._at_home(item) for name, item in value.items()}
        return value


def _do_not_wait(body: Any) -> None:
    """For a video; what is no time stays what it is."""
    if isinstance(body, dict) and isinstance(body.get("wait", 0), int | float | None):
        body["wait"] = 0


def _force_nothing(body: Any) -> None:
    """Take out a wish for JSON, and a forced call.

    The simulated model fails to follow a random schema, and then a 502 is the right answer.
    """
    if isinstance(body, dict):
        wishes = ("response_format", "text", "output_format", "output_config")
        for name in (*wishes, "tool_choice", "function_call", "toolConfig", "tool_config"):
            if isinstance(body.get(name), dict) or body.get(name) == "required":
                del body[name]
        if isinstance(config := body.get("generationConfig"), dict):
            for name in ("responseMimeType", "responseSchema", "responseJsonSchema"):
                config.pop(name, None)


@pytest.fixture
def tamer(files: FileServer) -> Iterator[Tamer]:
    tame = Tamer(files.url)

    def before_call(context: Any, case: Any, kwargs: Any) -> None:
        tame(context, case, kwargs)

    schemathesis.hook(before_call)
    yield tame
    unregister(before_call)


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """Let answers hold what is described and nothing else; in requests the gateway ignores it."""
    schemas = document["components"]["schemas"]
    asked = _reachable([operation.told.get("requestBody") for operation in operations()], schemas)
    for name in schemas.keys() - asked:
        for part in everything(schemas[name]):
            if isinstance(part, dict) and "properties" in part:
                part.setdefault("additionalProperties", False)
    return document


def _reachable(start: Any, schemas: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        names = {reference.rpartition("/")[2] for reference in references(waiting.pop())} - found
        found |= names
        waiting += [schemas[name] for name in names]
    return found


def ask_everything(url: str, document: dict[str, Any], seed: int) -> tuple[list[str], dict[str, set[int]]]:
    """Return what is wrong, and which statuses each operation has answered with."""
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "base-url": url,
            "auth": {"openapi": {"bearer": {"bearer": KEY}}},
            "request-timeout": 30,
            "max-redirects": 0,
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "generation": {
                "deterministic": True,
                "max-examples": EXAMPLES,
                "with-security-parameters": False,
                "no-shrink": True,
            },
            "phases": {"stateful": {"enabled": False}},
        }
    )
    faults: list[str] = []
    statuses: dict[str, set[int]] = defaultdict(set)
    for event in from_schema(schemathesis.openapi.from_dict(document, config=config)).execute():
        match event:
            case events.ScenarioFinished(recorder=recorder):
                faults += _faults(recorder)
                for interaction in recorder.interactions.values():
                    if interaction.response is not None:
                        statuses[recorder.label].add(interaction.response.status_code)
            case events.NonFatalError() | events.FatalError():
                faults.append(str(event))
    return faults, statuses


def _faults(recorder: Any) -> Iterator[str]:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                how = recorder.cases[case_id].value.as_curl_command()
                yield f"{recorder.label}: {failure.title}: {failure.message}\n  {how}"


def finished_video(client: Client) -> str:
    """Order one that is done at the first look."""
    video_id = client.post("/v1/videos", {"prompt": "A ship [scene:video queue=0 work=0]"}).json()["id"]
    assert client.get(f"/v1/videos/{video_id}").json()["status"] == "completed"
    return str(video_id)


def test_what_the_gateway_does_is_what_its_document_says(
    asked_gateway: LiveGateway, tamer: Tamer, http: httpx.Client
) -> None:
    url = asked_gateway.url
    document = closed(http.get(f"{url}/openapi.json").json())
    document["components"]["parameters"]["VideoId"]["example"] = finished_video(Client(http, url))
    faults, statuses = ask_everything(url, document, SEED)
    assert not faults, "\n\n".join(faults[:10])
    for operation in operations():
        expected = NEVER_SUCCEED.get(operation.name, {200, 202, 302})
        # No answer is kept: a 404 is all that the paths of one response say.
        expected = {404} if "{response_id}" in operation.path else expected
        assert statuses[operation.name] & expected, f"{operation.name} has never succeeded"
        if "requestBody" in operation.told:
            assert 400 in statuses[operation.name], f"{operation.name} has never refused a body"

"""The paths that clients mean, and the words about those that lead nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.requests import Request

from hosts.routes import ENDPOINTS
from lib.web.openapi import DOCUMENT
from lib.web.paths import FAMILIES, MAX_MEANT_CHARS, MAX_SHOWN_CHARS, meant_path, words_about, words_of_absent

DOCUMENTED = sorted(json.loads(DOCUMENT.read_bytes())["paths"])


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/models", "/v1/models"),
        ("/models", "/v1/models"),
        ("//v1/models", "/v1/models"),
        ("/v1//models/", "/v1/models"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/v1/completions", "/v1/completions"),
        ("/v1/chat/completions/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/models", "/v1/models"),
        ("/v1/messages/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/api/v1/v1/messages", "/api/v1/messages"),
        ("/v1/v1beta/models/glm-5.3:generateContent", "/v1beta/models/glm-5.3:generateContent"),
        ("/v1beta/v1beta/models", "/v1beta/models"),
        ("/v1/videos/generations/v1/videos/generations/x", "/v1/videos/generations/x"),
        ("/videos/x/content", "/v1/videos/x/content"),
        ("/", "/"),
        ("//", "/"),
        ("/api/", "/api"),
        ("/ping/", "/ping"),
        ("/v1", "/v1"),
        ("/ping/../v1/models", "/ping/../v1/models"),
        ("/proxy/v1/models", "/proxy/v1/models"),
        ("v1/models", "v1/models"),
        ("*", "*"),
        ("", ""),
    ],
)
def test_a_path_leads_to_the_endpoint_that_is_meant(path: str, meant: str) -> None:
    assert meant_path(path) == meant
    assert meant_path(meant) == meant


def test_a_path_of_many_endpoints_is_taken_as_it_stands() -> None:
    """One of 64 kB stopped the loop for 0.9 s, without a key (2026-11-28)."""
    part = "/v1/models"
    longest = part * (MAX_MEANT_CHARS // len(part))
    assert meant_path(longest) == part
    assert meant_path(longest + part) == longest + part


def test_every_endpoint_of_the_table_is_of_a_known_family() -> None:
    paths = [
        path for endpoint in ENDPOINTS for path in endpoint.paths if path.startswith(("/v1/", "/v1beta/"))
    ]
    assert paths
    for path in paths:
        parts = tuple(path.removesuffix("/*").split("/")[2:])
        assert any(parts[: len(family)] == family for family in FAMILIES), path


def words(path: str, **scope: Any) -> str:
    headers = [(b"host", scope.pop("host", "gateway.example").encode())]
    raw = {"type": "http", "scheme": "http", "path": path, "query_string": b"", "headers": headers, **scope}
    return words_about(Request(raw))


def test_an_unknown_path_is_answered_with_the_gateways_own_base_url() -> None:
    assert words("/v2/models") == (
        "Nothing is at '/v2/models'. The base URL is http://gateway.example/v1 for OpenAI's clients, "
        "http://gateway.example for Anthropic's and Google's."
    )
    event = {"requestContext": {"path": "/prod/v2"}}
    assert "http://gateway.example/prod/v1" in words("/v2", **{"aws.event": event})
    assert len(words("/" + "a" * 9000, host="b" * 9000)) < 5 * MAX_SHOWN_CHARS


@pytest.mark.parametrize(
    ("path", "use"),
    [
        ("/v1/files", "inside the message"),
        ("/v1/v1/files/abc", "inside the message"),
        ("/v1/images/edits", "/v1/images/generations"),
        ("/v1/messages/batches", "one after another"),
        ("/v1/assistants", "/v1/responses"),
        ("/v1/complete", "/v1/messages"),
        ("/api/paas/v4/chat/completions", "below /v1"),
        ("/openai/deployments/x/chat/completions", "as OpenAI's"),
        ("/api/chat", "Ollama"),
        ("/v1beta/openai/chat/completions", "below /v1"),
        ("/v1beta/models/x:embedContent", "Use /v1/embeddings"),
        ("/v1/models/x:batchEmbedContents", "Use /v1/embeddings"),
        ("/v1beta/models/x:predict", "Use /v1/images/generations"),
        ("/v1beta/models/x:generateAnswer", "Use :generateContent"),
        ("/v1beta/cachedContents/x", "stores nothing"),
        ("/v1/audio/translations", "Use /v1/audio/transcriptions"),
        ("/v1/realtime", "Use /v1/audio/transcriptions and /v1/audio/speech"),
        ("/mcp", "no MCP server"),
    ],
)
def test_an_endpoint_of_another_api_says_so_and_what_to_use(path: str, use: str) -> None:
    said = words(path)
    assert said.startswith(f"This gateway does not offer '{path}'. ")
    assert use in said
    assert "http://gateway.example/v1" in said


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/api/v1", "/v1beta", "/api/v1beta/"])
def test_the_base_url_itself_opened_in_a_browser_is_told_to_be_one(path: str) -> None:
    said = words(path)
    assert said.startswith(f"{path!r} is only the beginning of the gateway's paths. Give it to a client.")
    assert "Nothing is at" in words(f"{path.rstrip('/')}/x")


@pytest.mark.parametrize("path", DOCUMENTED)
def test_no_path_of_our_own_document_is_said_to_be_absent(path: str) -> None:
    assert words_of_absent(path) == ""
    assert words_of_absent(f"/api{path}") == ""


def test_no_endpoint_of_the_table_is_said_to_be_absent() -> None:
    for endpoint in ENDPOINTS:
        for path in endpoint.all_paths:
            assert words(path.replace("*", "x")).startswith("Nothing is at "), path

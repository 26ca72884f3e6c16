"""The models over a real socket: one path, and the form that the headers choose."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.client import KEY, Client

GOOGLE_KEY = {"x-goog-api-key": KEY}
ANTHROPIC = {"anthropic-version": "2023-06-01"}
NAMES = [
    "glm-5.3",
    "glm-5.3-flash-think-search",
    "gpt-4o",
    "claude-sonnet-4-5",
    "a/b",
    "x:y",
    "web/any",
    "6" * 24,
]


def form_of_error(response: httpx.Response) -> str:
    body: dict[str, Any] = response.json()
    if body.get("type") == "error":
        return "anthropic"
    return "google" if "status" in body["error"] else "openai"


def form_of_list(body: dict[str, Any]) -> str:
    if "models" in body:
        return "google"
    return "openai" if body.get("object") == "list" else "anthropic"


CHOICES: list[tuple[dict[str, str], str, str]] = [
    ({}, "", "openai"),
    ({}, f"?key={KEY}", "openai"),
    (GOOGLE_KEY, "", "google"),
    (GOOGLE_KEY | ANTHROPIC, "", "google"),
    (ANTHROPIC, "", "anthropic"),
    (ANTHROPIC, f"?key={KEY}", "anthropic"),
]


@pytest.mark.parametrize(("headers", "query", "form"), CHOICES)
def test_the_headers_choose_the_form_of_the_list(
    client: Client, headers: dict[str, str], query: str, form: str
) -> None:
    response = client.get(f"/v1/models{query}", headers=headers)
    assert response.status_code == 200
    assert form_of_list(response.json()) == form
    assert form_of_list(client.get(f"/api/v1/models{query}", headers=headers).json()) == form


@pytest.mark.parametrize(("headers", "query", "form"), CHOICES)
def test_the_headers_choose_the_form_of_errors(
    client: Client, headers: dict[str, str], query: str, form: str
) -> None:
    unknown = client.get(f"/v1/models/api/x{query}", headers=headers)
    assert (unknown.status_code, form_of_error(unknown)) == (404, form)
    method = client.request("DELETE", f"/v1/models{query}", headers=headers)
    assert (method.status_code, form_of_error(method)) == (405, form)
    wrong = {name: "no" if name == "x-goog-api-key" else value for name, value in headers.items()}
    stranger = client.get("/v1/models", headers={"authorization": "Bearer no", **wrong})
    assert (stranger.status_code, form_of_error(stranger)) == (401, form)


@pytest.mark.parametrize("headers", [{}, ANTHROPIC])
def test_below_v1beta_the_form_is_always_googles(client: Client, headers: dict[str, str]) -> None:
    assert form_of_list(client.get("/v1beta/models", headers=headers).json()) == "google"
    unknown = client.get("/v1beta/models/api/x", headers=headers)
    assert (unknown.status_code, form_of_error(unknown)) == (404, "google")


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_a_chat_takes_is_a_model(client: Client, name: str) -> None:
    assert client.get(f"/v1/models/{name}").json()["id"] == name
    assert client.get(f"/v1/models/{name}", headers=ANTHROPIC).json()["id"] == name
    for path in ("/v1/models", "/v1beta/models"):
        assert client.get(f"{path}/{name}", headers=GOOGLE_KEY).json()["name"] == f"models/{name}"
    assert client.chat(model=name).status_code in (200, 400), "400: the upstream knows no such agent"


@pytest.mark.parametrize(("path", "headers"), [("/v1/models", GOOGLE_KEY), ("/v1beta/models", {})])
def test_googles_list_holds_the_models_one_by_one(client: Client, path: str, headers: dict[str, str]) -> None:
    models = client.get(path, headers=headers).json()["models"]
    assert {"models/glm-5.3", "models/glm-5.3-flash-think"} <= {model["name"] for model in models}
    for model in models:
        name = model["name"].removeprefix("models/")
        assert client.get(f"{path}/{name}", headers=headers).json() == model


def test_a_model_tells_its_context(client: Client) -> None:
    told = client.get("/v1/models/glm-5.3-think").json()
    assert (told["context_length"], told["supports_tools"]) == (1_000_000, True)
    assert client.get("/v1/models/x", headers=ANTHROPIC).json()["max_input_tokens"] is None

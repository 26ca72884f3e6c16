"""A client of the official API, to try its simulator with."""

from __future__ import annotations

import json
from typing import Any

import httpx

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


class Client:
    def __init__(self, http: httpx.Client, key: str) -> None:
        self.http = http
        self.key = key

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        self.http.cookies.clear()
        return self.http.post(
            f"/{path}", json=body, headers={"Authorization": f"Bearer {self.key}", **headers}
        )

    def get(self, path: str) -> httpx.Response:
        self.http.cookies.clear()
        return self.http.get(f"/{path}", headers={"Authorization": f"Bearer {self.key}"})

    def chat(self, text: str, **fields: Any) -> httpx.Response:
        body = {"model": "glm-4.6", "messages": [{"role": "user", "content": text}]} | fields
        return self.post("chat/completions", body)

    def whole(self, text: str, **fields: Any) -> dict[str, Any]:
        answer = self.chat(text, **fields)
        assert answer.status_code == 200, answer.text
        whole: dict[str, Any] = answer.json()
        return whole

    def chunks(self, text: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the chunks of a stream, `[DONE]` as {}."""
        return read_chunks(self.chat(text, stream=True, **fields).text)


def read_chunks(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [{} if line == "[DONE]" else json.loads(line) for line in lines]


def said(chunks: list[dict[str, Any]], kind: str = "content") -> str:
    return "".join(
        choice["delta"].get(kind) or ""
        for chunk in chunks
        for choice in chunk.get("choices", ())
        if "delta" in choice
    )


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]

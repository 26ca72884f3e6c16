"""Asking the live gateway, and reading what it answers as a client library would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

CHAT = "/v1/chat/completions"
KEY = "sk-test-key-of-the-owner"


def chat_body(prompt: str = "Hello!", **fields: Any) -> dict[str, Any]:
    return {"model": "glm-5.3-flash", "messages": [{"role": "user", "content": prompt}], **fields}


@dataclass(frozen=True)
class Streamed:
    """A streamed answer, taken apart."""

    status: int
    headers: httpx.Headers
    raw: bytes

    @property
    def payloads(self) -> list[str]:
        records = self.raw.decode().split("\n\n")
        assert records.pop() == "", f"the stream does not end with a whole record: {self.raw[-80:]!r}"
        return [record.removeprefix("data: ") for record in records if not record.startswith(":")]

    @property
    def heartbeats(self) -> int:
        return self.raw.count(b": keep-alive\n\n")

    @property
    def is_done(self) -> bool:
        return self.payloads[-1:] == ["[DONE]"]

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.payloads if payload != "[DONE]"]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [value for value in self.objects if "error" not in value]

    @property
    def error(self) -> dict[str, Any] | None:
        """The error event, which must be the last thing said."""
        errors: list[dict[str, Any]] = [value["error"] for value in self.objects if "error" in value]
        assert not errors or "error" in self.objects[-1]
        return errors[0] if errors else None

    @property
    def id(self) -> str:
        ids = {chunk["id"] for chunk in self.chunks}
        assert len(ids) == 1, ids
        return str(ids.pop())

    @property
    def text(self) -> str:
        return self._joined("content")

    @property
    def reasoning(self) -> str:
        return self._joined("reasoning_content")

    @property
    def annotations(self) -> list[Any]:
        return [note for delta in self._deltas for note in delta.get("annotations") or ()]

    @property
    def finish_reason(self) -> str | None:
        reasons = [
            c["finish_reason"] for chunk in self.chunks for c in chunk["choices"] if c["finish_reason"]
        ]
        assert len(reasons) <= 1, reasons
        return reasons[0] if reasons else None

    @property
    def _deltas(self) -> list[dict[str, Any]]:
        return [choice["delta"] for chunk in self.chunks for choice in chunk["choices"]]

    def _joined(self, field: str) -> str:
        return "".join(delta.get(field) or "" for delta in self._deltas)


class Client:
    """One caller of the gateway."""

    def __init__(self, http: httpx.Client, url: str, credential: str = KEY) -> None:
        self._http = http
        self.url = url
        self.credential = credential

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask anything; with the caller's credential unless `headers` brings one."""
        headers = {"authorization": f"Bearer {self.credential}", **options.pop("headers", {})}
        return self._http.request(method, self.url + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.request("POST", path, json=body, **options)

    def chat(self, prompt: str = "Hello!", **fields: Any) -> httpx.Response:
        return self.post(CHAT, chat_body(prompt, **fields))

    def answer(self, prompt: str = "Hello!", **fields: Any) -> dict[str, Any]:
        """Return a whole completion, which must have succeeded."""
        response = self.chat(prompt, **fields)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def text(self, prompt: str, **fields: Any) -> str:
        return str(self.answer(prompt, **fields)["choices"][0]["message"]["content"])

    def stream(self, prompt: str = "Hello!", **fields: Any) -> Streamed:
        response = self.chat(prompt, stream=True, **fields)
        return Streamed(response.status_code, response.headers, response.content)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """Return the error, which must have all four keys and no others."""
    body = response.json()
    assert set(body) == {"error"}, body
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error

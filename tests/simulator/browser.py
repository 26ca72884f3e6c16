"""A client that behaves as the web application does, to try the simulator with."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from simulator.app import Simulator

STREAM = "/backend-api/assistant/stream"
STOP = "/mainchat-api/stream/stop_stream"
REFRESH = "/user-api/user/refresh"
INFO = "/user-api/user/info"
BULK_DELETE = "/mainchat-api/conversation/bulk_delete"
MAIN = "65940acff94777010aa6b796"
DRAWING = "65a232c082ff90a2ad2f15e2"
SECRET = "8a1317a7468aa3ad86e997d08f3f31cb"


def make_timestamp(now_s: float) -> str:
    digits = str(int(now_s * 1000))
    check = (sum(map(int, digits)) - int(digits[-2])) % 10
    return f"{digits[:-2]}{check}{digits[-1]}"


def sign(timestamp: str, nonce: str) -> str:
    return hashlib.md5(f"{timestamp}-{nonce}-{SECRET}".encode()).hexdigest()


def make_body(
    text: str, *, conversation_id: str = "", assistant_id: str = MAIN, **meta: Any
) -> dict[str, Any]:
    return {
        "assistant_id": assistant_id,
        "conversation_id": conversation_id,
        "project_id": "",
        "chat_type": "user_chat",
        "meta_data": {
            "cogview": {"rm_label_watermark": False},
            "is_test": False,
            "input_question_type": "xxxx",
            "channel": "",
            "draft_id": "",
            "chat_mode": "",
            "reasoning_effort": "low",
            "selected_model": "glm-5.3-flash",
            "is_networking": False,
            "quote_log_id": "",
            "platform": "pc",
        }
        | meta,
        "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}],
    }


def read_events(raw: bytes) -> list[dict[str, Any]]:
    """Read the JSON objects of a stream; skip what is none."""
    events = []
    for line in raw.decode().replace("\r\n", "\n").split("\n"):
        if line.startswith("data:"):
            try:
                value = json.loads(line.removeprefix("data:"))
            except ValueError:
                continue
            if isinstance(value, dict):
                events.append(value)
    return events


class Browser:
    """One account's window."""

    def __init__(self, sim: Simulator, http: httpx.Client, refresh_token: str) -> None:
        self.http = http
        self.account = sim.account(refresh_token)
        self.refresh_token = refresh_token
        self.access_token = ""

    @property
    def uid(self) -> str:
        return self.account.uid

    def headers(self, path: str, token: str, *, assistant_id: str = MAIN) -> dict[str, str]:
        timestamp, nonce = make_timestamp(time.time()), uuid.uuid4().hex
        page = "alltoolsdetail" if assistant_id == MAIN else f"gdetail/{assistant_id}"
        return {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json;charset=UTF-8",
            "Accept": "text/event-stream" if path == STREAM else "application/json, text/plain, */*",
            "App-Name": "chatglm",
            "X-App-Platform": "pc",
            "X-App-Version": "0.0.1",
            "X-App-fr": "default",
            "X-Lang": "zh",
            "X-Device-Id": self.account.device_id,
            "X-Device-Model": "",
            "X-Device-Brand": "",
            "X-Request-Id": uuid.uuid4().hex,
            "X-Timestamp": timestamp,
            "X-Nonce": nonce,
            "X-Sign": sign(timestamp, nonce),
            "Origin": "https://chatglm.cn",
            "Referer": f"https://chatglm.cn/main/{page}",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64)",
        }

    def refresh(self, token: str | None = None) -> httpx.Response:
        response = self.http.post(
            REFRESH, json={}, headers=self.headers(REFRESH, token or self.refresh_token)
        )
        if response.status_code == 200:
            result = response.json()["result"]
            self.refresh_token, self.access_token = result["refresh_token"], result["access_token"]
        return response

    def post(self, path: str, body: Any, **changes: str | None) -> httpx.Response:
        """Post signed; `changes` replace headers, `_` for `-`, None leaves one out."""
        headers = self.headers(path, self.access_token)
        for name, value in changes.items():
            known = next(known for known in headers if known.lower() == name.replace("_", "-"))
            if value is None:
                del headers[known]
            else:
                headers[known] = value
        request = self.http.build_request("POST", path, json=body, headers=headers)
        for name in ("User-Agent", "Accept"):
            if name not in headers:
                del request.headers[name]
        return self.http.send(request)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(path, headers=self.headers(path, self.access_token))

    def chat(self, text: str, **options: Any) -> httpx.Response:
        with self.open_chat(text, **options) as response:
            response.read()
        return response

    @contextmanager
    def open_chat(self, text: str, **options: Any) -> Iterator[httpx.Response]:
        assistant_id = options.get("assistant_id", MAIN)
        headers = self.headers(STREAM, self.access_token, assistant_id=assistant_id)
        with self.http.stream("POST", STREAM, json=make_body(text, **options), headers=headers) as response:
            yield response

    def events(self, text: str, **options: Any) -> list[dict[str, Any]]:
        return read_events(self.chat(text, **options).content)

    def delete(self, conversation_id: str) -> httpx.Response:
        return self.post(BULK_DELETE, {"conversation_ids": [conversation_id], "assistant_id": MAIN})

"""The paths that clients mean: a base URL without /v1, with it twice, or with the whole path, is understood.

No host decides it alone: the server of a box and each app choose by the same rules. Vercel and API Gateway
choose the function by the table of routes before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from starlette.requests import Request
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from lib.web.address import own_address

VERSIONS = ("v1", "v1beta")
FAMILIES = (
    *(("chat", "completions"), ("images", "generations"), ("videos", "generations")),
    *(("audio", "transcriptions"), ("audio", "speech")),
    *(
        ("completions",),
        ("messages",),
        ("responses",),
        ("models",),
        ("videos",),
        ("embeddings",),
        ("rerank",),
    ),
)
"""The first parts of the paths below a version. A longer family stands before a shorter one."""
_FAMILIES_BY_FIRST = {first: [family for family in FAMILIES if family[0] == first] for first, *_ in FAMILIES}
MAX_MEANT_CHARS = 4_096
"""A longer path is taken as it stands. A stranger may send 64 kB of endpoints."""
REMEMBERED_PATHS = 256
"""Each app remembers its choice for so many paths."""
MAX_REMEMBERED_CHARS = 200
"""A longer path is not remembered: a stranger must not fill the memory."""
MAX_SHOWN_CHARS = 200
"""An error shows so much of an unknown path, method or host."""

_ABSENT = tuple(
    (re.compile(f"(?:/api)?(?:/v1)*?(?:{pattern})"), words)
    for pattern, words in (
        (r"/v1(beta)?/(files|uploads)\b|/upload/", "It keeps no files. Send a file inside the message."),
        (r"/v1/(images/(edits|variations))\b", "It changes no images. Use /v1/images/generations."),
        (r"/v1/videos/[^/]+/remix\b", "It changes no videos. Use /v1/videos."),
        (r"/v1/(assistants|threads)\b", "It has no assistants. Use /v1/responses or /v1/chat/completions."),
        (r"/v1/conversations\b", "It has no /v1/conversations. Use conversation_id or previous_response_id."),
        (r"/v1/(messages/)?batches\b", "It has no batches. Send the requests one after another."),
        (r"/v1/realtime\b", "It has no realtime audio. Use /v1/audio/transcriptions and /v1/audio/speech."),
        (r"/v1/audio/translations\b", "It translates no audio. Use /v1/audio/transcriptions."),
        (r"/v1/moderations\b", "It has no moderation endpoint. chatglm.cn moderates each answer itself."),
        (r"/v1/(fine_tuning|fine-tunes|evals|vector_stores|containers)\b", "It trains and stores nothing."),
        (r"/v1/complete$", "It has no text completions of Anthropic. Use /v1/messages."),
        (
            r"/v1(beta)?/models/.*:(batchE|asyncBatchE|e)mbed",
            "It embeds in OpenAI's form. Use /v1/embeddings.",
        ),
        (r"/v1(beta)?/models/.*:predict\b", "It makes images in OpenAI's form. Use /v1/images/generations."),
        (
            r"/v1(beta)?/models/[^:]+:(?!(g|streamG)enerateContent\b|countTokens\b)",
            "It has no such action of Google's. Use :generateContent.",
        ),
        (r"/v1beta/(cachedContents|tunedModels|corpora|interactions)\b", "It stores nothing of Google's."),
        (r"/v1beta/openai/", "It has OpenAI's form below /v1, not below /v1beta/openai."),
        (r"(/api)?/(paas|coding)/", "It has the vendor's own form below /v1, not below /api/paas/v4."),
        (r"/(openai/)?(deployments|engines)/", "It has no deployments. Use the base URL as OpenAI's."),
        (r"/api/(chat|generate|tags|show|embed)$", "It does not speak Ollama's API. Use OpenAI's form."),
        (r"/(mcp|sse)$", "It is no MCP server. Use it as a model's API."),
    )
)
"""Endpoints of other APIs that clients ask for, and the sentence that says so and what to use."""


def meant_path(path: str) -> str:
    """Return our own form of a path: no empty part, one version, and only the last endpoint that it names.

    A base URL without /v1, with /v1 twice, or with a whole endpoint in it leads to such paths.
    """
    # A target such as `*`, or a broken one, is no path.
    if not path.startswith("/") or len(path) > MAX_MEANT_CHARS:
        return path
    parts = [part for part in path.split("/") if part]
    below = "/api" if parts[:1] == ["api"] else ""
    parts = parts[1:] if below else parts
    version, place, last = "v1", 0, None
    while place < len(parts):
        size = _family_size(parts, place)
        if size:
            last = (version, place)
        elif parts[place] in VERSIONS:
            version = parts[place]
        else:
            break
        place += size or 1
    if last is not None:
        return "/".join((below, last[0], *parts[last[1] :]))
    return below + ("/" + "/".join(parts) if parts or not below else "")


def _family_size(parts: list[str], place: int) -> int:
    """Return how many parts from this place name an endpoint."""
    families = _FAMILIES_BY_FIRST.get(parts[place], ())
    return next(
        (len(family) for family in families if tuple(parts[place : place + len(family)]) == family), 0
    )


def chosen(path: str, best_match: Callable[[str], Match]) -> str:
    """Choose between the path as it stands and the path that the client means."""
    ways = (path, meant_path(path))
    for wanted in (Match.FULL, Match.PARTIAL):
        for way in ways:
            if best_match(way) is wanted:
                return way
    return path


def best_match(routes: Iterable[BaseRoute], method: str, path: str) -> Match:
    """Tell how well the best of the routes matches: PARTIAL means another method."""
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    matches = {route.matches(scope)[0] for route in routes}
    return next((match for match in (Match.FULL, Match.PARTIAL) if match in matches), Match.NONE)


class MeantPaths:
    """Gives the layers inside it the path that the client means."""

    def __init__(self, app: ASGIApp, *, routes: Sequence[BaseRoute]) -> None:
        self._app = app
        self._routes = routes
        self._remembered = lru_cache(REMEMBERED_PATHS)(self._meant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            is_usual = len(method) + len(path) <= MAX_REMEMBERED_CHARS
            path = self._remembered(method, path) if is_usual else self._meant(method, path)
            scope = scope if path == scope["path"] else {**scope, "path": path}
        await self._app(scope, receive, send)

    def _meant(self, method: str, path: str) -> str:
        return chosen(path, lambda way: best_match(self._routes, method, way))


def words_about(request: Request) -> str:
    """Say that nothing is at the path of a request, and where the gateway's own paths begin."""
    # Starlette cannot make request.url from every Host that a stranger may send.
    path = request.scope["path"]
    address = shown(own_address(request))
    base = f"The base URL is {address}/v1 for OpenAI's clients, {address} for Anthropic's and Google's."
    if words := words_of_absent(path):
        return f"This gateway does not offer {shown(path)!r}. {words} {base}"
    if path.rstrip("/").removeprefix("/api").removeprefix("/") in VERSIONS:  # A person opens it in a browser.
        return f"{shown(path)!r} is only the beginning of the gateway's paths. Give it to a client. {base}"
    return f"Nothing is at {shown(path)!r}. {base}"


def words_of_absent(path: str) -> str:
    """Say what to use in place of an endpoint of another API. Any other path gets no words."""
    return next((words for pattern, words in _ABSENT if pattern.match(path)), "")


def shown(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…"

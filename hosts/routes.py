"""The table of routes: the file of api/ that answers each path, on every host.

From this table, `scripts/support/write-routes` writes the rewrites of vercel.json and the events of
hosts/aws/routes.yml. hosts/box needs no table: it reads the files' own routes.
"""

from __future__ import annotations

import msgspec


class Endpoint(msgspec.Struct, frozen=True):
    """One file of api/: a function on Vercel and on AWS Lambda."""

    file: str
    function: str
    """The function's name on AWS Lambda."""
    paths: tuple[str, ...]
    """Each path also exists below /api. `*` at the end stands for every path below it."""
    streams: bool = False
    """On AWS Lambda, a streaming function runs behind the Web Adapter (run.sh), not under Mangum."""

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".")

    @property
    def all_paths(self) -> tuple[str, ...]:
        return (*self.paths, *(f"/api{path}".removesuffix("/") for path in self.paths))

    @property
    def bare_paths(self) -> tuple[str, ...]:
        """The paths without /v1, as clients ask if their base URL lacks it."""
        return tuple(path.removeprefix("/v1") for path in self.paths if path.startswith("/v1/"))


ENDPOINTS = (
    # This file has the page, /ping, and the 404 of all other paths.
    Endpoint("api/index.py", "index", ("/", "/*")),
    Endpoint("api/health.py", "health", ("/health",)),
    Endpoint("api/token.py", "token", ("/token/check", "/tokens", "/tokens/*")),
    # Google's actions on a model answer here too, so this file streams.
    Endpoint("api/v1/models.py", "models", ("/v1/models", "/v1/models/*"), streams=True),
    Endpoint("api/v1beta/models.py", "gemini", ("/v1beta/models", "/v1beta/models/*"), streams=True),
    Endpoint(
        "api/v1/chat/completions.py",
        "chatCompletions",
        ("/v1/chat/completions", "/v1/completions"),
        streams=True,
    ),
    Endpoint("api/v1/messages.py", "messages", ("/v1/messages", "/v1/messages/count_tokens"), streams=True),
    Endpoint("api/v1/responses.py", "responses", ("/v1/responses", "/v1/responses/*"), streams=True),
    Endpoint("api/v1/images/generations.py", "imagesGenerations", ("/v1/images/generations",), streams=True),
    Endpoint("api/v1/videos.py", "videos", ("/v1/videos", "/v1/videos/*"), streams=True),
    Endpoint("api/v1/embeddings.py", "embeddings", ("/v1/embeddings", "/v1/rerank")),
    Endpoint("api/v1/audio.py", "audio", ("/v1/audio/transcriptions", "/v1/audio/speech"), streams=True),
)

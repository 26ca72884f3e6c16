"""AWS Lambda's handlers for the endpoints that answer at once, by the names in serverless.yml.

Mangum collects an answer and returns it whole; what streams runs behind the Lambda Web Adapter (run.sh).
"""

from __future__ import annotations

from importlib import import_module

from mangum import Mangum

ENDPOINTS = {
    "index": "api.index",
    "ping": "api.ping",
    "health": "api.health",
    "models": "api.v1.models",
    "token_check": "api.token.check",
}


def __getattr__(name: str) -> Mangum:
    """Make the one that the runtime asks for: a cold start imports its own endpoint and no other."""
    if name not in ENDPOINTS:
        raise AttributeError(f"no handler {name!r}; there are {', '.join(ENDPOINTS)}")
    # Without a lifespan: Mangum would run its start and its end around every single request.
    made = Mangum(import_module(ENDPOINTS[name]).app, lifespan="off")
    globals()[name] = made
    return made

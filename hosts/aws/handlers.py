"""AWS Lambda's handlers for the endpoints that answer at once, by the names in serverless.yml.

Mangum collects an answer and returns it whole. Streaming endpoints run behind the Web Adapter (run.sh).
"""

from __future__ import annotations

from importlib import import_module

from mangum import Mangum

from hosts.routes import ENDPOINTS

TEXT_TYPES = [
    "text/",
    "application/json",
    # The page's pictures are text, too: API Gateway hands base64 on as it is (binaryMediaTypes).
    "image/svg+xml",
]
"""Mangum sends answers of these types as text, and all others as base64."""
MODULES = {endpoint.function: endpoint.module for endpoint in ENDPOINTS if not endpoint.streams}


def __getattr__(name: str) -> Mangum:
    """Make the handler that the runtime asks for. A cold start imports no other endpoint."""
    if name not in MODULES:
        raise AttributeError(f"expected a handler of {', '.join(MODULES)}, got {name!r}")
    # With a lifespan, Mangum would run its start and its end around every single request.
    made = Mangum(import_module(MODULES[name]).app, lifespan="off", text_mime_types=TEXT_TYPES)
    globals()[name] = made
    return made

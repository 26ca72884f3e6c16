"""A server that answers each request with the dialect's own bytes for given events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lib.chat.answer import Answer
from lib.chat.events import ReplyEvent
from lib.dialects import anthropic
from lib.dialects.interface import Address, Rendering

HOW = Rendering(created=0, model="glm-5.3")


class Canned(ThreadingHTTPServer):
    events: Sequence[ReplyEvent]
    requests: list[bytes]


class _Handler(BaseHTTPRequestHandler):
    server: Canned

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append(body)
        asked = anthropic.parse(body, Address())
        if asked.stream:
            content = anthropic.renderer(asked, HOW).feed(self.server.events)
        else:
            content = anthropic.render(asked, Answer(self.server.events), HOW)
        self.send_response(200)
        is_stream = json.loads(body).get("stream")
        self.send_header("content-type", "text/event-stream" if is_stream else "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def serving(events: Sequence[ReplyEvent]) -> Iterator[Canned]:
    with Canned(("127.0.0.1", 0), _Handler) as server:
        server.events, server.requests = events, []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def url_of(server: Canned) -> str:
    return f"http://127.0.0.1:{server.server_port}"

"""Words that must not come out, and every place where something comes out."""

from __future__ import annotations

import gc
import io
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from lib.web.logs import JsonFormatter, configure_logging
from tests.support.client import Client

SECRET, PRIVATE = "zqsecret", "zqprivate"


def secret(what: str) -> str:
    """Make a word that opens something: it must be nowhere."""
    return f"{SECRET}{what}qz"


def private(what: str) -> str:
    """Make a word that a caller says or sends: in no log, no header; an answer may say it again."""
    return f"{PRIVATE}{what}qz"


@dataclass
class Watch:
    """What came out, by the place where it did."""

    log: io.StringIO = field(default_factory=io.StringIO)
    """The gateway's lines as it writes them, and everybody else's at every level, with their tracebacks."""
    answers: list[httpx.Response] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    """How our values show themselves, seen while requests were under way."""

    def look_at_values(self) -> None:
        for value in gc.get_objects():
            if _is_ours(value):
                self.shown.add(f"{type(value).__name__}: {value!r}")
                # A value of nothing but texts is no object of the collector's; who holds it is.
                held = filter(_is_ours, gc.get_referents(*gc.get_referents(value)))
                self.shown |= {f"{type(value).__name__}: {value!r}" for value in held}

    def leaks(self, secrets: Iterable[str], *texts: str, recorded: Iterable[str] = ()) -> list[str]:
        """Find each word at each place where it must not be; `secrets` are those beside the marked.

        `recorded` may hold the words of a prompt, as an answer may.
        """
        nowhere = {SECRET, *secrets}
        found = _find("the log", self.log.getvalue(), {*nowhere, PRIVATE})
        for text in recorded:
            found += _find("a recording", text, nowhere)
        for text in texts:
            found += _find("another output", text, {*nowhere, PRIVATE})
        for answer in self.answers:
            place = f"{answer.request.method} {answer.request.url.path}: {answer.status_code}"
            head = "\n".join(f"{name}: {text}" for name, text in answer.headers.multi_items())
            found += _find(f"the headers of {place}", head, {*nowhere, PRIVATE})
            found += _find(f"the body of {place}", answer.text, nowhere)
        for value in self.shown:
            found += _find("a value that shows itself", value, nowhere)
        return found


def _is_ours(value: object) -> bool:
    module = str(getattr(type(value), "__module__", ""))
    # What the upstream sent is as it was sent, as long as it is looked at.
    return module.startswith("lib.") and module != "lib.upstreams.chatglm.wire.protocol"


def _find(place: str, text: str, words: Iterable[str]) -> list[str]:
    at = {word: text.find(word) for word in words}
    return [f"{place}: …{text[max(0, n - 120) : n + 40]!r}…" for n in at.values() if n >= 0]


@contextmanager
def watched() -> Iterator[Watch]:
    """Watch every log, at every level, and leave it as it was."""
    configure_logging("DEBUG")
    watch = Watch()
    ours, theirs = logging.getLogger("glm_gateway"), logging.getLogger()
    handlers = [(ours, logging.StreamHandler(watch.log)), (theirs, logging.StreamHandler(watch.log))]
    handlers[0][1].setFormatter(JsonFormatter())
    handlers[1][1].setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    levels = [(logger, logger.level) for logger, _ in handlers]
    for logger, handler in handlers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        yield watch
    finally:
        for logger, handler in handlers:
            logger.removeHandler(handler)
        for logger, level in levels:
            logger.setLevel(level)
        configure_logging("INFO")


class WatchedClient(Client):
    """Keeps every answer, and sends with every request what must not come back."""

    def __init__(self, http: httpx.Client, url: str, credential: str, watch: Watch) -> None:
        super().__init__(http, url, credential)
        self._watch = watch

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        more = {
            "cookie": f"session={secret('COOKIE')}",
            "x-cron-secret": secret("CRON"),
            "x-forwarded-authorization": f"Bearer {secret('FORWARDED')}",
            "user-agent": private("AGENT"),
        }
        headers = {**more, **options.pop("headers", {})}
        answer = super().request(method, path, headers=headers, **options)
        self._watch.answers.append(answer)
        return answer

"""The stage for structured output: one JSON value, without chatter or fences, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import Enum

from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ImageMade,
    Notice,
    ReplyEvent,
    Rewritten,
    TextDelta,
    ToolCallDelta,
    Withdrawn,
)
from lib.chat.request import JsonFormat
from lib.errors import InvalidModelOutput
from lib.tools.clean_json import CleanJson
from lib.tools.json_answer import mended_end, read_answer
from lib.tools.schema import Schema, problem_of
from lib.tools.values import fit, kinds_of

MAX_CHATTER_CHARS = 4_000
"""Behind more words than these, the JSON is not streamed but looked for at the end."""
_ANY_OBJECT: Schema = {"type": "object"}
_START = re.compile(r"(?:\A|\n)[ \t\r\n\ufeff]*(?:(?:`{3,}|~{3,})[^\n`]*\n\s*)?(?=(\{)\s*[\"}]|(\[)\s*[^\s])")


class _In(Enum):
    BEFORE = "before the value"
    VALUE = "in a value that is passed on as it comes"
    HELD = "in an answer that is looked at when it is complete"
    AFTER = "behind the value"


class _Turn:
    """The text of one turn of the model: text in, JSON that may be passed on out."""

    def __init__(self, openers: str) -> None:
        self._openers = openers
        """The characters that may begin the value. Empty: nothing is streamed."""
        self._in = _In.BEFORE if openers else _In.HELD
        self._words: list[str] = []
        """The text, as it is held or as it was passed on."""
        self._behind: list[str] = []
        """The text from a fault on, if some was passed on before it."""
        self._chars = 0
        self._json = CleanJson()
        self.has_sent = False

    @property
    def text(self) -> str:
        return "".join(self._words)

    @property
    def held(self) -> str:
        """The words that were not passed on."""
        if self._in not in (_In.BEFORE, _In.HELD):
            return ""
        return "".join(self._behind if self.has_sent else self._words)

    def take(self, text: str) -> str:
        """Read more text; return the part that may be passed on."""
        if self._in is _In.BEFORE:
            return self._look_for_start(text)
        if self._in is _In.VALUE:
            return self._clean(text)
        if self._in is _In.HELD:
            (self._behind if self.has_sent else self._words).append(text)
        return ""

    def passes_marker(self, marker: str) -> bool:
        """Tell whether a citation is passed on as it is: it stands in a value that is streamed."""
        if self._in is _In.VALUE:
            self._words.append(marker)
        return self._in is _In.VALUE

    def _look_for_start(self, text: str) -> str:
        self._words.append(text)
        self._chars += len(text)
        if self._chars > MAX_CHATTER_CHARS:
            self._in = _In.HELD
            return ""
        said = self.text
        if (start := _START.search(said)) and (start[1] or start[2]) in self._openers:
            self._words = []
            self._in = _In.VALUE
            return self._clean(said[start.end() :])
        return ""

    def _clean(self, text: str) -> str:
        clean = self._json.feed(text)
        if clean:
            self._words.append(clean)
            self.has_sent = True
        if self._json.is_done:
            self._in = _In.AFTER
        elif self._json.is_broken:
            self._behind = [self._json.rest]
            self._in = _In.HELD
        return clean

    def close(self) -> str | None:
        """Return the characters that complete the value that was sent; None: it cannot be completed."""
        if self._behind:
            return mended_end(self.text, "".join(self._behind))
        return self._json.close()


class JsonReader:
    """Stage (lib/chat/stages/interface.py). Beside tools it stands behind the ToolReader."""

    def __init__(self, wanted: JsonFormat, *, is_streamed: bool) -> None:
        self._schema: Schema = _ANY_OBJECT if wanted.schema is None else wanted.schema
        kinds = kinds_of(self._schema, self._schema)
        self._openers = "".join(
            opener
            for opener, kind in (("{", "object"), ("[", "array"))
            if is_streamed and (not kinds or kind in kinds)
        )
        self._turn = _Turn(self._openers)
        self._has_repaired = False
        self._has_calls = False
        self._rewritten: Rewritten | None = None
        self.is_done = False
        self.repair: str | None = None

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        self.repair = None
        out: list[ReplyEvent] = []
        for event in events:
            match event:
                case TextDelta():
                    self._take_text(event.text, out)
                case Citation() if event.marker:
                    if self._turn.passes_marker(event.marker):
                        out.append(event)  # the dialect writes the marker
                    else:
                        self._take_text(event.marker, out)
                case Notice("tool_repair"):
                    self._has_repaired = True  # one repair turn is enough for both stages
                    out.append(event)
                case Withdrawn():
                    self._turn = _Turn(self._openers)  # nothing of the answer is left
                    out.append(event)
                case ImageMade():
                    out.append(Notice("json_image"))  # no part of a JSON value
                case Rewritten():
                    self._rewritten = event
                case ToolCallDelta():
                    self._has_calls = True
                    out.append(event)
                case Finished():
                    self._finish(event, out)
                case _:
                    out.append(event)
        return out

    def _take_text(self, text: str, out: list[ReplyEvent]) -> None:
        if clean := self._turn.take(text):
            out.append(TextDelta(clean))

    # The end

    def _finish(self, event: Finished, out: list[ReplyEvent]) -> None:
        if self._has_calls or event.reason == "tool_calls":
            out.append(event)
        elif event.reason != "stop":
            self._release(event, out)
        elif self._turn.has_sent:
            self._finish_sent(event, out)
        else:
            self._finish_held(event, out)

    def _release(self, event: Finished, out: list[ReplyEvent]) -> None:
        """The answer was cut, or moderation took it: pass on the words as they are."""
        if held := self._turn.held:
            out.append(TextDelta(held))
        if self._rewritten is not None:
            out.append(self._rewritten)
        out.append(event)

    def _finish_sent(self, event: Finished, out: list[ReplyEvent]) -> None:
        """A stream cannot take back: supply closers, and check the whole."""
        sent, ending = self._turn.text, self._turn.close()
        if ending is None:
            said = f"The model's JSON breaks off, or is broken, behind {sent[-40:]!r}."
            out.append(Failed(InvalidModelOutput(said)))
            return
        if ending:
            out.append(TextDelta(ending))
        problem = self._problem(sent + ending, out)
        out.append(Failed(self._failure(problem)) if problem else event)

    def _problem(self, text: str, out: list[ReplyEvent]) -> str | None:
        try:
            value = json.loads(text)
        except RecursionError:
            return "it is nested too deeply"
        problem = problem_of(value, self._schema)
        if problem and problem_of(fit(value, self._schema, self._schema), self._schema) is None:
            out.append(Notice("json_untyped"))  # `"5"` for 5: the client gets it as the model wrote it
            return None
        return problem

    def _finish_held(self, event: Finished, out: list[ReplyEvent]) -> None:
        answer = read_answer(self._whole_text(), self._schema)
        if answer.problem is None:
            if answer.is_mended:
                out.append(Notice("json_mended"))
            out += [TextDelta(answer.text), event]
        elif self._has_repaired:
            out.append(Failed(self._failure(answer.problem)))
        else:
            out.append(Notice("json_repair"))
            self._has_repaired = True
            self._rewritten = None
            self.repair = (
                f"The last answer cannot be used: {answer.problem}. Answer again with the whole JSON value, "
                "and nothing else."
            )
            self._turn = _Turn(self._openers)

    def _whole_text(self) -> str:
        """The upstream's last word on its text, if it changed it."""
        if self._rewritten is None:
            return self._turn.text
        parts = self._rewritten.events
        return "".join(
            part.text if isinstance(part, TextDelta) else part.marker
            for part in parts
            if isinstance(part, TextDelta | Citation)
        )

    def _failure(self, problem: str) -> InvalidModelOutput:
        asked = ", asked twice" if self._has_repaired else ""
        return InvalidModelOutput(f"The model's JSON does not satisfy the schema{asked}: {problem}.")

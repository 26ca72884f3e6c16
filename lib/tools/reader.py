"""The stage that finds tool calls in a model's text. Text flows at once; a call comes whole and checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ImageMade,
    InterceptedCall,
    Notice,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    TextDelta,
    ToolCallDelta,
)
from lib.tools.blocks import Found
from lib.tools.drafts import Call, Fault
from lib.tools.intercepted import DESTROYED
from lib.tools.repair import failure, words_for_fault, words_for_silence
from lib.tools.scanner import Item, Thought
from lib.tools.toolbox import Toolbox
from lib.tools.turn import Turn

MAX_CALLS = 32
"""In one answer. More is a model that repeats itself (tools.md §3.4, 10)."""


class ToolReader:
    """Stage (lib/chat/stages/interface.py) for a request with tools."""

    def __init__(self, box: Toolbox, *, new_id: Callable[[], str]) -> None:
        self._box = box
        self._new_id = new_id
        self._turn = Turn(box)
        self._calls: list[Call] = []
        self._has_repaired = False
        self._has_shown = False
        """The client has seen text of this reply."""
        self._flows = True
        """Text may be passed on as it comes."""
        self._is_over = False
        self._has_failed = False
        self.is_done = False
        self.repair: str | None = None

    def feed(self, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
        if not self._box.is_on:
            return list(events)
        self.repair = None
        if self._may_go_on and events:
            self._begin_again()
        out: list[ReplyEvent] = []
        for event in events:
            if self._is_over:
                break
            if type(event) is TextDelta and self._passes(event.text):
                out.append(event)  # most of an answer
            else:
                self._take(event, out)
        return out

    @property
    def _may_go_on(self) -> bool:
        """A stage behind this one has asked for another turn of the model."""
        return self._is_over and not self.is_done and not self._calls and not self._has_failed

    def _begin_again(self) -> None:
        self._is_over = False
        self._has_repaired = True
        self._flows = False
        self._turn = self._turn.next()

    def _passes(self, text: str) -> bool:
        turn = self._turn
        return (
            self._flows
            and turn.has_content
            and turn.scanner.passes(text)
            and not turn.interception.is_pending
        )

    def _take(self, event: ReplyEvent, out: list[ReplyEvent]) -> None:
        turn = self._turn
        is_update = isinstance(event, InterceptedCall) and not event.result
        if turn.interception.is_pending and not (is_update or isinstance(event, Notice)):
            if isinstance(event, InterceptedCall):
                turn.interception.take(event)
            self._take_intercepted(out)
            if self._is_over or isinstance(event, InterceptedCall):
                return
        match event:
            case TextDelta():
                self._take_items(turn.scanner.feed(event.text), out)
                if turn.scanner.is_cut and self._calls:
                    self._stop(out)
            case ReasoningDelta():
                turn.reasoning.add(event.text)
                out.append(event)
            case Citation() | ImageMade():
                self._take_object(event, out)
            case InterceptedCall():
                turn.interception.take(event)
                if event.result:
                    self._take_intercepted(out)
            case Rewritten():
                turn.rewritten = event
            case Finished():
                self._finish(event, out)
            case Failed():
                self._fail(event, out)
            case _:
                out.append(event)

    # Text

    def _take_items(self, items: Iterator[Item], out: list[ReplyEvent]) -> None:
        for item in items:
            match item:
                case str():
                    self._show(item, out)
                case Thought(text):
                    self._turn.reasoning.add(text)
                    out.append(ReasoningDelta(text))
                case Found():
                    self._take_found(item, out)
            if self._is_over:
                return

    def _show(self, text: str, out: list[ReplyEvent]) -> None:
        if not text:
            return
        turn = self._turn
        if not self._flows:
            turn.withheld.add(text)
            return
        turn.has_content = turn.has_content or not text.isspace()
        self._has_shown = self._has_shown or turn.has_content
        if out and type(out[-1]) is TextDelta:
            out[-1] = TextDelta(out[-1].text + text)
        else:
            out.append(TextDelta(text))

    def _take_object(self, event: Citation | ImageMade, out: list[ReplyEvent]) -> None:
        turn = self._turn
        if isinstance(event, Citation) and turn.scanner.is_in_call:
            self._take_items(turn.scanner.feed(event.marker), out)  # the marker is a part of the argument
            return
        self._take_items(turn.scanner.interrupt(), out)
        turn.has_content = True
        out.append(event)

    # Calls

    def _take_found(self, found: Found, out: list[ReplyEvent]) -> None:
        is_shown = False
        for draft in found.drafts:
            checked = self._box.check(draft)
            if isinstance(checked, Call):
                self._accept(checked, out)
            elif checked.is_explicit:
                self._note_fault(checked, out)
                self._turn.raw.add(found.raw)
            elif not is_shown:
                self._show(found.raw, out)
                is_shown = True
            if self._is_over:
                return

    def _note_fault(self, fault: Fault, out: list[ReplyEvent]) -> None:
        kind = "undeclared" if fault.is_undeclared else "destroyed" if fault is DESTROYED else "invalid"
        out.append(Notice("tool_invalid", kind))
        if not self._calls:
            self._turn.fault = self._turn.fault or fault
            self._flows = False

    def _accept(self, call: Call, out: list[ReplyEvent]) -> None:
        out += [Notice("tool_mended", note) for note in call.notes]
        if self._turn.fault is not None:
            self._turn.later.append(call)
            return
        between = self._turn.withheld.take()
        if self._calls and self._is_same(call, self._calls[-1]) and not between.strip():
            return
        if between.strip() and (self._calls or not self._has_shown):
            out.append(TextDelta(between))
        self._tell(call, out)
        if len(self._calls) >= MAX_CALLS or not self._box.is_parallel:
            self._stop(out)

    @staticmethod
    def _is_same(one: Call, other: Call) -> bool:
        return (one.name, one.arguments) == (other.name, other.arguments)

    def _tell(self, call: Call, out: list[ReplyEvent]) -> None:
        index = len(self._calls)
        out.append(ToolCallDelta(index, "", self._new_id(), call.name))
        out.append(ToolCallDelta(index, call.arguments))
        self._calls.append(call)
        self._flows = False

    def _take_intercepted(self, out: list[ReplyEvent]) -> None:
        """The model has gone on after intercepted calls: take them, and nothing of its new words."""
        judged = self._turn.interception.judge()
        calls = [found for found in judged if isinstance(found, Call)]
        for call in calls:
            out.append(Notice("tool_intercepted"))
            if not any(self._is_same(call, known) for known in self._calls):
                self._tell(call, out)
        if calls:
            self._stop(out)
            return
        for fault in judged:
            assert isinstance(fault, Fault)
            self._note_fault(fault, out)
            self._turn.scanner.cut()

    def _tell_later(self, out: list[ReplyEvent]) -> None:
        """Tell the calls that waited for a repair, except those that the repair turn made again."""
        for call in self._turn.later:
            is_known = any(self._is_same(call, known) for known in self._calls)
            if not is_known and self._box.is_parallel and len(self._calls) < MAX_CALLS:
                self._tell(call, out)

    def _stop(self, out: list[ReplyEvent]) -> None:
        """The reply is complete, whatever the upstream still says."""
        self.is_done = True
        self._tell_later(out)
        self._end(Finished("tool_calls"), out)

    def _end(self, ending: Finished | Failed, out: list[ReplyEvent]) -> None:
        self._is_over = True
        self._has_failed = isinstance(ending, Failed)
        out.append(ending)

    # The end of a turn

    def _finish(self, event: Finished, out: list[ReplyEvent]) -> None:
        if event.reason == "content_filter":
            self._end(event, out)
            return
        is_whole = event.reason != "length"
        self._read_to_the_end(out, is_whole=is_whole)
        if self._is_over:
            return
        if self._calls:
            self._tell_later(out)
            self._end(msgspec.structs.replace(event, reason="tool_calls"), out)
        elif not is_whole:
            self._give_up(event, out)
        else:
            self._conclude(event, out)

    def _read_to_the_end(self, out: list[ReplyEvent], *, is_whole: bool) -> None:
        turn = self._turn
        self._take_items(turn.scanner.finish(is_whole=is_whole), out)
        if turn.rewritten is not None:
            self._take_rewritten(turn.rewritten, out, is_whole=is_whole)
        if is_whole and not (self._calls or turn.fault or turn.has_content) and turn.withheld.is_blank:
            self._search_reasoning(out)

    def _search_reasoning(self, out: list[ReplyEvent]) -> None:
        scanner = self._turn.new_scanner()
        text = self._turn.reasoning.take()
        for item in (*scanner.feed(text), *scanner.finish(is_whole=True)):
            if isinstance(item, Found) and not self._is_over:
                calls = [self._box.check(draft) for draft in item.drafts]
                if all(isinstance(call, Call) for call in calls):
                    self._take_found(item, out)

    def _conclude(self, event: Finished, out: list[ReplyEvent]) -> None:
        """The model ended its turn without a call: decide whether to ask it again."""
        turn = self._turn
        is_silent = not turn.has_content and turn.withheld.is_blank
        words = None
        if turn.fault is not None:
            words = words_for_fault(turn.fault, self._box)
        elif self._box.is_forced or is_silent:
            words = words_for_silence(self._box, is_forced=self._box.is_forced)
        if words is None or self._has_repaired or self._box.is_looping:
            if words is not None and self._box.is_looping:
                out.append(Notice("tool_loop"))
            self._give_up(event, out)
            return
        out.append(Notice("tool_repair"))
        self._has_repaired = True
        self.repair = words
        later = turn.later
        self._turn = self._turn.next()
        self._turn.later = later
        self._flows = False

    def _give_up(self, event: Finished, out: list[ReplyEvent]) -> None:
        """End without a call that was asked for: with the last turn's text, else with its raw words."""
        turn = self._turn
        is_whole = event.reason != "length"
        if turn.later and is_whole:
            self._tell_later(out)
            self._end(msgspec.structs.replace(event, reason="tool_calls"), out)
            return
        if is_whole and (self._box.is_forced or turn.fault is DESTROYED):
            self._end(Failed(failure(turn.fault, self._box)), out)
            return
        text = turn.withheld.take()
        if not text.strip() and not turn.has_content:
            text = turn.raw.take()
        if text.strip():
            out.append(TextDelta(f"\n\n{text.lstrip()}" if self._has_shown else text))
        elif is_whole and not turn.has_content and not self._has_shown:
            self._end(Failed(failure(turn.fault, self._box)), out)
            return
        self._end(event, out)

    def _take_rewritten(self, event: Rewritten, out: list[ReplyEvent], *, is_whole: bool) -> None:
        """The upstream changed its text at the end: read it anew for an answer that is not streamed."""
        if self._turn.fault is not None or self._has_repaired or self._is_over:
            return
        retold: list[TextDelta | ReasoningDelta | Citation | ImageMade] = []
        found: list[Found] = []
        scanner = self._turn.new_scanner()
        end = 0
        for part in event.events:
            text = part.text if isinstance(part, TextDelta) else None
            items = scanner.feed(text) if text is not None else scanner.interrupt()
            end = _retell(items, retold, found) or end
            if not isinstance(part, TextDelta):
                retold.append(part)
        end = _retell(scanner.finish(is_whole=is_whole), retold, found) or end
        if not self._calls:
            for item in found:
                if not self._is_over:
                    self._take_found(item, out)
        if not self._is_over:
            out.append(Rewritten(tuple(retold[:end] if self._calls else retold)))

    def _fail(self, event: Failed, out: list[ReplyEvent]) -> None:
        turn = self._turn
        if self._flows and self._has_shown and not turn.scanner.is_in_call:
            self._take_items(turn.scanner.interrupt(), out)
        self._end(event, out)


def _retell(
    items: Iterator[Item],
    retold: list[TextDelta | ReasoningDelta | Citation | ImageMade],
    found: list[Found],
) -> int:
    """Sort the items; return the number of events before the last call, if there is one."""
    end = 0
    for item in items:
        match item:
            case str():
                if item:
                    retold.append(TextDelta(item))
            case Thought(text):
                retold.append(ReasoningDelta(text))
            case Found():
                found.append(item)
                end = len(retold)
    return end

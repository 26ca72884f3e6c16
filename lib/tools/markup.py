"""Calls written in tags, read piece by piece. The position of a closer decides whether it is one or data."""

from __future__ import annotations

import re
from enum import Enum

from lib.tools.open_call import Fields, OpenCall, OpenValue
from lib.tools.places import NEXT_ARGUMENT, At, Written
from lib.tools.tags import (
    Family,
    Lexer,
    Mark,
    Place,
    Role,
    Tag,
    attributes,
    fold,
    native_family,
    own_family,
    xml_family,
)
from lib.tools.toolbox import Toolbox
from lib.tools.words import ARGUMENT


class _Trust(Enum):
    """The reader's belief that the block is a call."""

    NONE_YET = "no call has begun"
    DOUBTED = "the first tag is only named like a tool: the arguments must follow at once"
    GIVEN = "it is a call"
    REFUSED = "it is text"


class MarkupReader:
    """Reads the calls of one block, or of one wrapper with several, and stops behind it."""

    def __init__(self, box: Toolbox, family: Family) -> None:
        self._box = box
        self._family = family
        self._lexer = Lexer()
        self._at = At.HEAD
        self._drafts: list[Written] = []
        self._mark: Mark | None = None
        self._wrappers = 0
        self._tools = frozenset(fold(name) for name in box.names)
        self._trust = _Trust.NONE_YET
        self._call = OpenCall(box)
        self._value = OpenValue("", None)

    @property
    def is_over(self) -> bool:
        return self._at is At.OVER

    @property
    def is_aborted(self) -> bool:
        """It is no call: everything that was fed is text."""
        return self._trust is _Trust.REFUSED

    @property
    def rest(self) -> str:
        """The text behind the block, once it is over."""
        return self._lexer.tail

    def feed(self, text: str) -> list[Written]:
        self._lexer.feed(text)
        self._run(is_final=False)
        return self._taken()

    def finish(self) -> list[Written]:
        """The answer ended normally: supply the closers that are missing."""
        self._run(is_final=True)
        if self._at is At.MAYBE_END:
            self._accept_end()
        if self._at is At.VALUE:
            self._end_open_value(at_end_of_text=True)
        is_cut = self._family is not own_family and self._at in (At.VALUE, At.KEY, At.GAP)
        if self._at not in (At.OVER, At.AROUND):
            self._end_run(is_cut=is_cut)
        return self._taken()

    def _taken(self) -> list[Written]:
        drafts, self._drafts = self._drafts, []
        return drafts

    def _run(self, *, is_final: bool) -> None:
        while self._at is not At.OVER and not self.is_aborted:
            token = self._lexer.next(is_final=is_final)
            if token is None:
                break
            if isinstance(token, Tag):
                mark = self._mark = self._family(token, self._place())
                if mark is None:
                    self._take_data(token.raw)
                else:
                    self._take(mark)
            else:
                self._mark = None
                self._take_data(token)
        self._mark = None

    def _place(self) -> Place:
        call = self._call
        return Place(self._box.tag, self._tools, call.arguments, bool(call.name))

    # Data

    def _take_data(self, data: str) -> None:
        match self._at:
            case At.VALUE:
                self._value.pieces.append(data)
            case At.MAYBE_END:
                self._value.add_to_ending(data)
                if data.strip():
                    self._reject_end()
            case At.GAP:
                if data.strip():
                    self._begin_value(self._call.key, None)
                    self._value.pieces.append(data.lstrip())
            case At.AROUND:
                if data.strip():
                    self._lexer.put_back(data.lstrip())
                    self._at = At.OVER
            case _:
                self._call.loose.append(data)
                self._doubt(data)

    def _doubt(self, data: str) -> None:
        """A tag that is named like a tool is a call only if its arguments follow at once."""
        if self._trust is _Trust.DOUBTED and data.strip():
            self._trust = _Trust.GIVEN if data.lstrip().startswith("{") else _Trust.REFUSED

    # Tags

    def _take(self, mark: Mark) -> None:
        match self._at:
            case At.VALUE:
                self._take_in_value(mark)
            case At.MAYBE_END:
                self._decide_end(mark)
            case At.AROUND:
                self._take_around(mark)
            case _:
                self._take_outside(mark)

    def _take_around(self, mark: Mark) -> None:
        if mark.role is Role.WRAP and mark.is_closer:
            self._at = At.OVER
        elif mark.role in (Role.RUN, Role.NAME) and not mark.is_closer:
            self._call = OpenCall(self._box)
            self._at = At.HEAD
            self._take_outside(mark)

    def _take_outside(self, mark: Mark) -> None:
        match mark.role:
            case Role.WRAP:
                self._take_wrapper(mark)
            case Role.RUN:
                self._take_run(mark)
            case Role.NAME:
                self._take_name(mark)
            case Role.KEY:
                self._take_key(mark)
            case Role.VALUE if not mark.is_closer:
                self._end_name()
                call = self._call
                self._begin_value(call.taken().strip() if self._at is At.KEY else call.key, mark)
            case Role.ARGUMENT if not mark.is_closer:
                self._end_name()
                self._begin_argument(mark)

    def _take_wrapper(self, mark: Mark) -> None:
        if not mark.is_closer:
            self._wrappers += 1
            if not self._call.is_blank:
                self._end_run()
            self._at = At.AROUND
        else:
            self._end_run()
            self._at = At.OVER

    def _take_run(self, mark: Mark) -> None:
        call = self._call
        is_closer = mark.is_closer or (self._at is At.BODY and self._family is xml_family and not mark.name)
        if is_closer:
            self._end_run()
        elif call.is_blank:
            self._open_run(mark)
        elif self._family is not own_family and self._at is At.HEAD and not call.fields and not call.name:
            call.early_name = call.taken()
        else:
            self._end_run()
            self._open_run(mark)

    def _open_run(self, mark: Mark) -> None:
        is_named_like_tool = self._family is xml_family and mark.tag.folded in self._tools
        is_first = self._trust is _Trust.NONE_YET
        self._trust = _Trust.DOUBTED if is_first and is_named_like_tool else _Trust.GIVEN
        self._call = OpenCall(
            self._box,
            mark.name,
            early_name=self._call.early_name,
            is_named_like_tool=is_named_like_tool,
        )
        self._at = At.BODY if mark.name else At.HEAD
        if is_named_like_tool:
            self._call.fields += attributes(mark.tag.rest).items()
        if mark.tag.is_empty:
            self._end_run()

    def _take_name(self, mark: Mark) -> None:
        call = self._call
        if mark.name:  # the tag itself is the name
            if not mark.is_closer:
                call.rename(mark.name)
                call.taken()
                self._at = At.BODY
        elif mark.is_closer:
            self._end_name()
        elif call.name:
            self._end_run()
            self._call = OpenCall(self._box)
            self._at = At.NAME
        else:
            call.taken()
            self._at = At.NAME

    def _end_name(self) -> None:
        if self._at is At.NAME:
            self._call.rename(self._call.taken().strip())
            self._at = At.BODY

    def _take_key(self, mark: Mark) -> None:
        self._end_name()
        call = self._call
        if not mark.is_closer:
            if self._at is not At.KEY:
                call.name_from_loose()
                call.taken()
                self._at = At.KEY
        elif self._at is At.KEY:
            call.key, self._at = call.taken().strip(), At.GAP
        elif self._at is not At.GAP and call.loose:
            call.key, self._at = call.glued_key(), At.GAP

    def _begin_argument(self, mark: Mark) -> None:
        self._call.name_from_loose()
        if mark.tag.is_empty:
            self._call.fields.append((mark.name, mark.tag.attribute("value") or ""))
        else:
            self._begin_value(mark.name, mark)

    def _begin_value(self, key: str, opener: Mark | None) -> None:
        if self._trust is _Trust.DOUBTED:
            self._trust = _Trust.GIVEN
        self._call.key, self._value = key, OpenValue(key, opener)
        self._at = At.VALUE

    # The end of a value

    def _take_in_value(self, mark: Mark) -> None:
        if self._value.is_closed_by(mark, self._family):
            self._value.may_end(mark, closes_run=False)
            self._at = At.MAYBE_END
        elif mark.is_closer and mark.role in (Role.RUN, Role.WRAP):
            self._value.may_end(mark, closes_run=True)
            self._at = At.MAYBE_END
        else:
            self._value.pieces.append(mark.tag.raw)

    def _decide_end(self, mark: Mark) -> None:
        """A closer is one only if another part of the call, or the end, follows (tools.md §3.4, 3)."""
        value = self._value
        if value.ends_with_run:
            is_end = mark.role is Role.RUN or (mark.role is Role.WRAP and mark.is_closer)
        elif mark.is_closer and value.is_closed_by(mark, self._family):
            value.add_to_ending(mark.tag.raw)
            return
        else:
            is_end = not mark.is_closer or mark.role in (Role.RUN, Role.WRAP, Role.BODY, Role.NAME)
        if is_end:
            self._accept_end()
            if self._at is At.OVER:
                self._lexer.put_back(mark.tag.raw)
            else:
                self._take(mark)
        else:
            self._reject_end()
            self._take(mark)

    def _reject_end(self) -> None:
        self._value.reject_end()
        self._at = At.VALUE

    def _accept_end(self) -> None:
        if self._value.ends_with_run:
            self._end_open_value()
            self._end_run()
        else:
            self._end_value(self._value.text)

    def _end_value(self, text: str) -> None:
        if self._family is native_family and not (text.startswith("\n") and text.endswith("\n")):
            text = f"\n{text}\n"  # GLM's own syntax sets no line breaks around a value: keep those it has
        self._call.fields.append((self._call.key, text))
        self._call.taken()
        self._at = At.BODY

    def _end_open_value(self, *, at_end_of_text: bool = False) -> None:
        """End a value without a closer of its own: at the next argument, the call's closer, or the end."""
        text = self._value.text
        if self._family is own_family:
            lost = NEXT_ARGUMENT.search(text)
            if lost and "\n" not in text[: lost.start()].strip():
                own_closer = re.compile(rf"</{ARGUMENT}{re.escape(self._call.key)}\s*>")
                self._end_value(own_closer.split(text[: lost.start()])[0])
                self._read_rest(text[lost.start() :])
                return
            until = self._value.until_first_run_close
            if at_end_of_text and until is not None:
                text = text if "\n" in until.strip() else until
        elif at_end_of_text:
            return
        self._end_value(text)

    def _read_rest(self, text: str) -> None:
        """Read the arguments that were taken for a part of the value before them."""
        call = self._call
        call.fields = MarkupReader(self._box, self._family).go_on(call.name, call.fields, text)

    def go_on(self, name: str, fields: Fields, text: str) -> Fields:
        """Read the rest of a call and return all of its arguments."""
        self._call = call = OpenCall(self._box, name)
        call.fields, self._at = fields, At.BODY
        self.feed(text)
        self.finish()
        return call.fields

    # The end of a call

    def _end_run(self, *, is_cut: bool = False) -> None:
        self._end_name()
        # An opener that ends the call before it is no part of that call.
        begins_next = self._mark is not None and not self._mark.is_closer and not self._mark.tag.is_empty
        opener = len(self._mark.tag.raw) if begins_next and self._mark else 0
        end = self._lexer.consumed - opener
        self._drafts += [Written(draft, end) for draft in self._call.drafts(is_cut=is_cut)]
        self._at = At.AROUND if self._wrappers else At.OVER

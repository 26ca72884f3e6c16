"""Calls written in tags, read piece by piece. The position of a closer decides whether it is one or data."""

from __future__ import annotations

import re

from lib.tools.drafts import Draft
from lib.tools.places import NEXT_ARGUMENT, At, Ending, Written
from lib.tools.schema import properties_of
from lib.tools.split_names import from_loose_text, leading_name
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
        self._early_name = ""
        """GLM writes `<tool_call>read<tool_call>path</arg_key>`: the second opener stands for `<arg_key>`."""
        self._is_named_like_tool = False
        self._is_doubtful = False
        self._has_begun = False
        self.is_aborted = False
        """It is no call: everything that was fed is text."""
        self._begin("")

    @property
    def is_over(self) -> bool:
        return self._at is At.OVER

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

    def _begin(self, name: str) -> None:
        self._name = name
        self._loose: list[str] = []
        self._fields: list[tuple[str, str]] = []
        self._key = ""
        self._opener: Mark | None = None
        self._value: list[str] = []
        self._ending = Ending(False, [])
        self._first_run_close: int | None = None
        self._tool_of = ""
        self._arguments: frozenset[str] = frozenset()

    def _place(self) -> Place:
        if self._name and self._tool_of != self._name:
            self._tool_of = self._name
            tool = self._box.find(self._name)
            self._arguments = frozenset(map(fold, properties_of(tool.schema))) if tool else frozenset()
        return Place(self._box.tag, self._tools, self._arguments, bool(self._name))

    # Data

    def _take_data(self, data: str) -> None:
        match self._at:
            case At.VALUE:
                self._value.append(data)
            case At.MAYBE_END:
                self._ending.raw.append(data)
                if data.strip():
                    self._reject_end()
            case At.GAP:
                if data.strip():
                    self._begin_value(self._key, None)
                    self._value.append(data.lstrip())
            case At.AROUND:
                if data.strip():
                    self._lexer.put_back(data.lstrip())
                    self._at = At.OVER
            case _:
                self._loose.append(data)
                self._doubt(data)

    def _doubt(self, data: str) -> None:
        """A tag that is named like a tool is a call only if its arguments follow at once."""
        if self._is_doubtful and data.strip():
            self.is_aborted = not data.lstrip().startswith("{")
            self._is_doubtful = False

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
            self._begin("")
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
                self._begin_value(self._collected() if self._at is At.KEY else self._key, mark)
            case Role.ARGUMENT if not mark.is_closer:
                self._end_name()
                self._begin_argument(mark)

    def _take_wrapper(self, mark: Mark) -> None:
        if not mark.is_closer:
            self._wrappers += 1
            if not self._is_blank():
                self._end_run()
            self._at = At.AROUND
        else:
            self._end_run()
            self._at = At.OVER

    def _take_run(self, mark: Mark) -> None:
        is_closer = mark.is_closer or (self._at is At.BODY and self._family is xml_family and not mark.name)
        if is_closer:
            self._end_run()
        elif self._is_blank():
            self._open_run(mark)
        elif self._family is not own_family and self._at is At.HEAD and not self._fields and not self._name:
            self._early_name = "".join(self._loose)
            self._loose = []
        else:
            self._end_run()
            self._begin("")
            self._open_run(mark)

    def _is_blank(self) -> bool:
        return not self._name and not self._fields and not "".join(self._loose).strip()

    def _open_run(self, mark: Mark) -> None:
        self._begin(mark.name)
        self._at = At.BODY if mark.name else At.HEAD
        self._is_named_like_tool = self._family is xml_family and mark.tag.folded in self._tools
        self._is_doubtful = self._is_named_like_tool and not self._has_begun
        self._has_begun = True
        if self._is_named_like_tool:
            self._fields = list(attributes(mark.tag.rest).items())
        if mark.tag.is_empty:
            self._end_run()

    def _take_name(self, mark: Mark) -> None:
        if mark.name:  # the tag itself is the name
            if not mark.is_closer:
                self._name, self._loose, self._at = mark.name, [], At.BODY
        elif mark.is_closer:
            self._end_name()
        elif self._name:
            self._end_run()
            self._begin("")
            self._at = At.NAME
        else:
            self._loose, self._at = [], At.NAME

    def _end_name(self) -> None:
        if self._at is At.NAME:
            self._name, self._loose = "".join(self._loose).strip(), []
            self._at = At.BODY

    def _take_key(self, mark: Mark) -> None:
        self._end_name()
        if not mark.is_closer:
            if self._at is not At.KEY:
                self._name_from_loose()
                self._loose, self._at = [], At.KEY
        elif self._at is At.KEY:
            self._key, self._at = self._collected(), At.GAP
        elif self._at is not At.GAP and self._loose:
            self._key, self._at = self._glued_key(), At.GAP

    def _collected(self) -> str:
        text, self._loose = "".join(self._loose).strip(), []
        return text

    def _name_from_loose(self) -> None:
        if not self._name and self._loose:
            self._name = self._collected()
        if not self._name and self._early_name:
            self._name, self._early_name = self._early_name.strip(), ""

    def _glued_key(self) -> str:
        """The key's opener is lost: `readpath</arg_key>`, or a second `<tool_call>` stands for it."""
        text = self._collected()
        if self._name:
            return text
        if self._early_name:
            self._name, self._early_name = self._early_name.strip(), ""
            return text
        self._name, key = leading_name(text, self._box)
        return key

    def _begin_argument(self, mark: Mark) -> None:
        self._name_from_loose()
        given = mark.tag.attribute("value") if mark.tag.is_empty else None
        if mark.tag.is_empty:
            self._fields.append((mark.name, given or ""))
        else:
            self._begin_value(mark.name, mark)

    def _begin_value(self, key: str, opener: Mark | None) -> None:
        self._is_doubtful = False
        self._key, self._opener, self._value = key, opener, []
        self._first_run_close = None
        self._at = At.VALUE

    # The end of a value

    def _take_in_value(self, mark: Mark) -> None:
        if self._closes_value(mark):
            self._ending = Ending(False, [mark.tag.raw])
            self._at = At.MAYBE_END
        elif mark.is_closer and mark.role in (Role.RUN, Role.WRAP):
            self._ending = Ending(True, [mark.tag.raw])
            self._at = At.MAYBE_END
        else:
            self._value.append(mark.tag.raw)

    def _closes_value(self, mark: Mark) -> bool:
        opener = self._opener
        if opener is None or opener.role is Role.VALUE:
            return mark.is_closer and mark.role in (Role.VALUE, Role.KEY)
        if mark.role is not Role.ARGUMENT:
            return False
        if not mark.is_closer:  # an opener in place of the closer
            return mark.tag.word == opener.tag.word and not mark.tag.rest and not opener.tag.rest
        if mark.tag.folded in (opener.tag.folded, "in"):
            return True
        return self._family is own_family and mark.tag.folded == fold(self._key)

    def _decide_end(self, mark: Mark) -> None:
        """A closer is one only if another part of the call, or the end, follows (tools.md §3.4, 3)."""
        if self._ending.closes_run:
            is_end = mark.role is Role.RUN or (mark.role is Role.WRAP and mark.is_closer)
        elif self._closes_value(mark) and mark.is_closer:
            self._ending.raw.append(mark.tag.raw)
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
        if self._ending.closes_run and self._first_run_close is None:
            self._first_run_close = len(self._value)
        self._value += self._ending.raw
        self._at = At.VALUE

    def _accept_end(self) -> None:
        if self._ending.closes_run:
            self._end_open_value()
            self._end_run()
        else:
            self._end_value("".join(self._value))

    def _end_value(self, text: str) -> None:
        if self._family is native_family and not (text.startswith("\n") and text.endswith("\n")):
            text = f"\n{text}\n"  # GLM's own syntax sets no line breaks around a value: keep those it has
        self._fields.append((self._key, text))
        self._value, self._loose = [], []
        self._at = At.BODY

    def _end_open_value(self, *, at_end_of_text: bool = False) -> None:
        """End a value without a closer of its own: at the next argument, the call's closer, or the end."""
        text = "".join(self._value)
        if self._family is own_family:
            lost = NEXT_ARGUMENT.search(text)
            if lost and "\n" not in text[: lost.start()].strip():
                own_closer = re.compile(rf"</{ARGUMENT}{re.escape(self._key)}\s*>")
                self._end_value(own_closer.split(text[: lost.start()])[0])
                self._read_rest(text[lost.start() :])
                return
            if at_end_of_text and self._first_run_close is not None:
                until = "".join(self._value[: self._first_run_close])
                text = text if "\n" in until.strip() else until
        elif at_end_of_text:
            return
        self._end_value(text)

    def _read_rest(self, text: str) -> None:
        """Read the arguments that were taken for a part of the value before them."""
        self._fields = MarkupReader(self._box, self._family).go_on(self._name, self._fields, text)

    def go_on(self, name: str, fields: list[tuple[str, str]], text: str) -> list[tuple[str, str]]:
        """Read the rest of a call and return all of its arguments."""
        self._name, self._fields, self._at = name, fields, At.BODY
        self.feed(text)
        self.finish()
        return self._fields

    # The end of a call

    def _end_run(self, *, is_cut: bool = False) -> None:
        self._end_name()
        if self._early_name.strip():
            self._add(self._draft(self._early_name.strip(), (), ""))
        self._early_name = ""
        loose = "".join(self._loose)
        if self._name or loose.strip() or self._fields:
            self._add(self._draft(self._name, tuple(self._fields), loose, is_cut=is_cut))
        self._loose = []
        self._at = At.AROUND if self._wrappers else At.OVER

    def _add(self, draft: Draft) -> None:
        """An opener that ends the call before it is no part of that call."""
        begins_next = self._mark is not None and not self._mark.is_closer and not self._mark.tag.is_empty
        opener = len(self._mark.tag.raw) if begins_next and self._mark else 0
        self._drafts.append(Written(draft, self._lexer.consumed - opener))

    def _draft(
        self, name: str, fields: tuple[tuple[str, str], ...], loose: str, *, is_cut: bool = False
    ) -> Draft:
        is_explicit = not self._is_named_like_tool
        if name:
            return Draft(name=name, fields=fields, body=loose, is_cut=is_cut, is_explicit=is_explicit)
        found, body, arguments = from_loose_text(loose, self._box)
        return Draft(name=found, fields=fields, body=body, arguments=arguments, is_cut=is_cut)

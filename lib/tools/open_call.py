"""A call in tags while it is read: its name and arguments so far, and the value that is still open."""

from __future__ import annotations

from lib.tools.drafts import Draft
from lib.tools.places import Ending
from lib.tools.schema import properties_of
from lib.tools.split_names import from_loose_text, leading_name
from lib.tools.tags import Family, Mark, Role, fold, own_family
from lib.tools.toolbox import Toolbox

Fields = list[tuple[str, str]]
"""Arguments as raw text, in their order."""


class OpenCall:
    """The parts of one call that were read so far."""

    def __init__(
        self, box: Toolbox, name: str = "", *, early_name: str = "", is_named_like_tool: bool = False
    ) -> None:
        self._box = box
        self.fields: Fields = []
        self.loose: list[str] = []
        """Text outside arguments, since the last part that took it."""
        self.key = ""
        """The name of the argument whose value comes next."""
        self.early_name = early_name
        """GLM writes `<tool_call>read<tool_call>path</arg_key>`: the second opener stands for `<arg_key>`."""
        self._is_named_like_tool = is_named_like_tool
        self.rename(name)

    def rename(self, name: str) -> None:
        self.name = name
        tool = self._box.find(name) if name else None
        self.arguments = frozenset(map(fold, properties_of(tool.schema))) if tool else frozenset()
        """Folded names of the tool's arguments."""

    @property
    def is_blank(self) -> bool:
        return not self.name and not self.fields and not "".join(self.loose).strip()

    def taken(self) -> str:
        """Return the loose text, and forget it."""
        text, self.loose = "".join(self.loose), []
        return text

    def name_from_loose(self) -> None:
        """An argument begins: the text before it is the name, if the call has none."""
        if not self.name and self.loose:
            self.rename(self.taken().strip())
        if not self.name:
            self._use_early_name()

    def _use_early_name(self) -> bool:
        if not self.early_name:
            return False
        self.rename(self.early_name.strip())
        self.early_name = ""
        return True

    def glued_key(self) -> str:
        """The key's opener is lost: `readpath</arg_key>`, or a second `<tool_call>` stands for it."""
        text = self.taken().strip()
        if self.name or self._use_early_name():
            return text
        name, key = leading_name(text, self._box)
        self.rename(name)
        return key

    def drafts(self, *, is_cut: bool) -> list[Draft]:
        """End the call. An early name without an argument is a call of its own."""
        early, self.early_name = self.early_name.strip(), ""
        found = [self._draft(early, (), "")] if early else []
        loose = self.taken()
        if self.name or loose.strip() or self.fields:
            found.append(self._draft(self.name, tuple(self.fields), loose, is_cut=is_cut))
        return found

    def _draft(
        self, name: str, fields: tuple[tuple[str, str], ...], loose: str, *, is_cut: bool = False
    ) -> Draft:
        if name:
            is_explicit = not self._is_named_like_tool
            return Draft(name=name, fields=fields, body=loose, is_cut=is_cut, is_explicit=is_explicit)
        found, body, arguments = from_loose_text(loose, self._box)
        return Draft(name=found, fields=fields, body=body, arguments=arguments, is_cut=is_cut)


class OpenValue:
    """The value of one argument, up to a closer that another part of the call confirms."""

    def __init__(self, key: str, opener: Mark | None) -> None:
        self._key = key
        self._opener = opener
        self.pieces: list[str] = []
        self._ending = Ending(False, [])
        self._first_run_close: int | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def until_first_run_close(self) -> str | None:
        """The text before the first closer of a call that was taken for data; None: there was none."""
        return None if self._first_run_close is None else "".join(self.pieces[: self._first_run_close])

    @property
    def ends_with_run(self) -> bool:
        return self._ending.closes_run

    def is_closed_by(self, mark: Mark, family: Family) -> bool:
        opener = self._opener
        if opener is None or opener.role is Role.VALUE:
            return mark.is_closer and mark.role in (Role.VALUE, Role.KEY)
        if mark.role is not Role.ARGUMENT:
            return False
        if not mark.is_closer:  # an opener in place of the closer
            return mark.tag.word == opener.tag.word and not mark.tag.rest and not opener.tag.rest
        if mark.tag.folded in (opener.tag.folded, "in"):
            return True
        return family is own_family and mark.tag.folded == fold(self._key)

    def may_end(self, mark: Mark, *, closes_run: bool) -> None:
        self._ending = Ending(closes_run, [mark.tag.raw])

    def add_to_ending(self, raw: str) -> None:
        self._ending.raw.append(raw)

    def reject_end(self) -> None:
        """The closer was data."""
        if self._ending.closes_run and self._first_run_close is None:
            self._first_run_close = len(self.pieces)
        self.pieces += self._ending.raw

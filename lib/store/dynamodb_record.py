"""A step on a record, as DynamoDB's UpdateItem: each field is two attributes, its value and its end."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from lib.store import Change
from lib.store.dynamodb_values import content_of, number_of, text_of

MAX_LIFE_S = 185 * 86400.0
"""No field lives longer. Each step puts the deletion of the item off for so long, since one step does not
know the ends of the other fields."""


def alteration(change: Change, now: float) -> dict[str, Any]:
    """Return the update and its condition."""
    return _Expression(change, now).request(is_repeated=False)


def repeated_alteration(change: Change, now: float) -> dict[str, Any] | None:
    """Return the parts of a repetition that accepts its first attempt's writing, if that was any."""
    return _Expression(change, now).request(is_repeated=True) if change.when and change.puts else None


def values_in(item: dict[str, Any] | None, change: Change, now: float) -> dict[str, str | None]:
    return {name: _value(item or {}, name, now) for name in change.reads}


def _value(item: dict[str, Any], name: str, now: float) -> str | None:
    """Read our own content; foreign content counts as absent."""
    try:
        if float(item[_end(name)]["N"]) <= now:
            return None
        return text_of(item[_attribute(name)])
    except (KeyError, TypeError, ValueError):
        return None


def _attribute(name: str) -> str:
    """Any text can be a name; an attribute's name has no more than 255 bytes."""
    return "f" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _end(name: str) -> str:
    return _attribute(name) + "_until"


class _Expression:
    """Collects the names and values that the expressions mention: DynamoDB refuses others."""

    def __init__(self, change: Change, now: float) -> None:
        self._change = change
        self._now = now
        self._names: dict[str, str] = {}
        self._values: dict[str, dict[str, str]] = {}

    def request(self, *, is_repeated: bool) -> dict[str, Any]:
        request: dict[str, Any] = {"UpdateExpression": self._update()}
        if self._change.when:
            conditions = [self._meets(name) for name in self._change.when]
            # AND binds tighter than OR, and DynamoDB refuses redundant parentheses.
            several = [f"({condition})" for condition in conditions]
            condition = " AND ".join(conditions if len(conditions) == 1 else several)
            if is_repeated:
                condition = f"{condition} OR {self._is_written()}"
            request["ConditionExpression"] = condition
        names = {"ExpressionAttributeNames": {short: name for name, short in self._names.items()}}
        return {**request, **names, "ExpressionAttributeValues": self._values}

    def _update(self) -> str:
        sets = [f"{self._name('delete_after')} = {self._number(math.ceil(self._now + MAX_LIFE_S))}"]
        for name, (value, ttl_s) in self._change.puts.items():
            sets.append(f"{self._name(_attribute(name))} = {self._text(value)}")
            sets.append(f"{self._name(_end(name))} = {self._number(self._now + ttl_s)}")
        drops = [self._name(each(name)) for name in self._change.drops for each in (_attribute, _end)]
        return f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(drops)}" if drops else "")

    def _meets(self, name: str) -> str:
        return " OR ".join(self._holds(name, value) for value in self._change.when[name])

    def _holds(self, name: str, value: str | None) -> str:
        end, now = self._name(_end(name)), self._number(self._now)
        if value is not None:
            return f"{self._name(_attribute(name))} = {self._text(value)} AND {end} > {now}"
        latest_end = self._change.end_of_doubt(name, self._now)
        is_over = "" if latest_end == math.inf else f" OR {end} > {self._number(latest_end)}"
        return f"attribute_not_exists({end}) OR {end} <= {now}{is_over}"

    def _is_written(self) -> str:
        written = (
            f"{self._name(_attribute(name))} = {self._text(value)}"
            f" AND {self._name(_end(name))} = {self._number(self._now + ttl_s)}"
            for name, (value, ttl_s) in self._change.puts.items()
        )
        return " AND ".join(written)

    def _name(self, attribute: str) -> str:
        return self._names.setdefault(attribute, f"#{len(self._names)}")

    def _text(self, value: str) -> str:
        return self._value(content_of(value))

    def _number(self, value: float) -> str:
        return self._value(number_of(value))

    def _value(self, value: dict[str, str]) -> str:
        for short, known in self._values.items():
            if known == value:
                return short
        short = f":{len(self._values)}"
        self._values[short] = value
        return short

"""The operations as Redis's commands, which Redis makes atomic; redis.py and upstash.py send them.

Keys are hashed and values are base64, since any text can be both. One database is one store by either way.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
from abc import ABC, abstractmethod
from typing import Any

from lib.patience import patience
from lib.store import Change, Outcome, Passing, StoreError

PREFIX = "glm-gateway:"
"""The owner's database may hold other entries, too."""

PUT_IF_EQUAL = (
    "local held = redis.call('GET', KEYS[1]) "
    "for i = 3, #ARGV do if held == ARGV[i] then "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1 end end return 0"
)
ADD_OR_FIND = (
    "local held = redis.call('GET', KEYS[1]) if held then return held == ARGV[1] and 1 or 0 end "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1"
)
REMOVE_IF_EQUAL = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"
)

ALTER = """
local at = 0
local function take() at = at + 1 return ARGV[at] end
local function key() return KEYS[tonumber(take())] end
local found, done = {}, 1
for i = 1, tonumber(take()) do found[i] = redis.call('GET', key()) end
for _ = 1, tonumber(take()) do
  local held, fits = redis.call('GET', key()) or '-', false
  for _ = 1, tonumber(take()) do if take() == held then fits = true end end
  if not fits then done = 0 end
end
if done == 1 then
  for _ = 1, tonumber(take()) do
    local name, content, life = key(), take(), take()
    redis.call('SET', name, content, 'PX', life)
  end
  for _ = 1, tonumber(take()) do redis.call('DEL', key()) end
end
return {done, found}
"""
ABSENT = "-"
"""It is no base64."""

Command = tuple[str, ...]


class RedisCommands(ABC):
    """A repetition may find its own entry: the first attempt wrote it, and the answer was lost."""

    call_timeout_s: float
    """One operation with its repetitions takes at most so long. A client waits meanwhile."""
    pauses_s: tuple[float, ...]
    """The pause before each attempt. The first repetition comes at once: most often a kept connection was
    closed while the function was frozen."""
    error: type[StoreError]

    @abstractmethod
    async def _attempt(self, command: Command) -> Any:
        """Return Redis's answer; raise Passing, or `error`."""

    async def get(self, key: str) -> str | None:
        return _text(await self._ask(("GET", _name(key))))

    async def put(self, key: str, value: str, *, ttl_s: float, instead_of: str | None = None) -> bool:
        content, ttl_ms = _content(value), _milliseconds(ttl_s)
        if instead_of is None:
            await self._ask(("SET", _name(key), content, "PX", ttl_ms))
            return True
        replace = ("EVAL", PUT_IF_EQUAL, "1", _name(key), content, ttl_ms, _content(instead_of))
        return bool(await self._ask(replace, repeated=(*replace, content)) == 1)

    async def add(self, key: str, value: str, *, ttl_s: float) -> bool:
        name, content, ttl_ms = _name(key), _content(value), _milliseconds(ttl_s)
        written = await self._ask(
            ("SET", name, content, "NX", "PX", ttl_ms),
            repeated=("EVAL", ADD_OR_FIND, "1", name, content, ttl_ms),
        )
        return written in ("OK", b"OK", 1)

    async def remove(self, key: str, value: str) -> bool:
        """As in every store; False also if a repetition found the entry removed by its first attempt."""
        return bool(await self._ask(("EVAL", REMOVE_IF_EQUAL, "1", _name(key), _content(value))) == 1)

    async def alter(self, record: str, change: Change, /) -> Outcome:
        if change.is_read_only and not change.when:
            texts = await self._ask(("MGET", *(_field(record, name) for name in change.reads)))
            return Outcome(True, _found(change, texts))
        repeated = _alteration(record, change, is_repeated=True)
        done, texts = await self._ask(_alteration(record, change), repeated=repeated)
        return Outcome(done == 1, _found(change, texts))

    async def _ask(self, command: Command, repeated: Command | None = None) -> Any:
        """Return Redis's answer; after an attempt that the server may have heard, send `repeated` instead."""
        name, failure = command[0], ""
        try:
            async with patience(self.call_timeout_s):
                for pause_s in self.pauses_s:
                    await asyncio.sleep(pause_s)
                    try:
                        return await self._attempt(command)
                    except Passing as error:
                        failure = str(error)
                        command = command if error.is_unheard else repeated or command
        except TimeoutError:
            raise self.error(f"{name}: no answer within {self.call_timeout_s:g} s") from None
        raise self.error(f"{name}: {failure}, {len(self.pauses_s)} times")


def _alteration(record: str, change: Change, *, is_repeated: bool = False) -> Command:
    """Write the step down for the script. A repetition accepts what its first attempt has written."""
    names = list(dict.fromkeys((*change.reads, *change.when, *change.puts, *change.drops)))
    index = {name: str(number) for number, name in enumerate(names, 1)}
    words = [str(len(change.reads)), *(index[name] for name in change.reads), str(len(change.when))]
    for name, allowed in change.when.items():
        contents = [ABSENT if value is None else _content(value) for value in allowed]
        if is_repeated and name in change.puts:
            contents.append(_content(change.puts[name][0]))
        elif is_repeated and change.puts and name in change.drops:
            contents.append(ABSENT)
        words += [index[name], str(len(contents)), *contents]
    words.append(str(len(change.puts)))
    for name, (value, ttl_s) in change.puts.items():
        words += [index[name], _content(value), _milliseconds(ttl_s)]
    words += [str(len(change.drops)), *(index[name] for name in change.drops)]
    return ("EVAL", ALTER, str(len(names)), *(_field(record, name) for name in names), *words)


def _found(change: Change, texts: Any) -> dict[str, str | None]:
    return {name: _text(text) for name, text in zip(change.reads, texts, strict=True)}


def _name(key: str) -> str:
    return PREFIX + _digest(key)


def _field(record: str, name: str) -> str:
    """Return the key of a field. In a cluster, the part in braces keeps the fields of a record together."""
    return f"{PREFIX}{{{_digest(record)}}}:{_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


def _content(value: str) -> str:
    return base64.b64encode(_bytes(value)).decode()


def _text(content: Any) -> str | None:
    """Read our own content; foreign content counts as absent."""
    try:
        return base64.b64decode(content, validate=True).decode("utf-8", "surrogatepass")
    except (ValueError, TypeError):
        return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _milliseconds(ttl_s: float) -> str:
    return str(max(1, math.ceil(ttl_s * 1000)))

"""The store's record of an order that must not be made twice: by it, a repetition finds the first attempt."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import IO

from lib.errors import IdempotencyKeyReused
from lib.store.seal import Place
from lib.store.shared import SharedState

ORDER_TTL_S = 900.0
"""A repeated order is recognised so long; the SDKs repeat within seconds, or after their ten minutes."""
REPEATED_LOOK_S = 0.5

_BEGUN, _IS_LOST = "begun", "lost"
"""An order's record holds one of these words while there is no id yet, or if there will never be one."""


class OrderRecord:
    """The store's record of one order: by it, a repetition finds the video of an earlier attempt."""

    def __init__(self, memory: SharedState, place: Place, asked: str) -> None:
        """`asked`: the digest of the order. One key of a client names one order only."""
        self._memory = memory
        self._place = place
        self._asked = asked
        self._before: str | None = None

    async def begin(self) -> None:
        """Note that the order is under way. If nothing comes of it, the older record counts again."""
        self._before = await self._memory.recall(self._place)
        await self._write(_BEGUN)

    async def claim(self, patience_s: float) -> str | None:
        """Make the order ours and return None, or return the last word of an earlier attempt."""
        clock = asyncio.get_running_loop().time
        until = clock() + patience_s
        while True:
            found = self._read(await self._memory.recall(self._place))
            if found is None and await self._memory.add(self._place, self._entry(_BEGUN), ttl_s=ORDER_TTL_S):
                await self._write(_BEGUN)
                return None
            if found not in (None, _BEGUN) or clock() >= until:
                return found or _BEGUN
            await asyncio.sleep(min(REPEATED_LOOK_S, patience_s))

    async def place(self, video_id: str) -> None:
        await self._write(video_id)

    async def withdraw(self, *, is_lost: bool) -> None:
        """End an order that failed, unless its video is known after all."""
        if await self._memory.recall(self._place) != self._entry(_BEGUN):
            return
        if is_lost:
            await self._write(_IS_LOST)
        elif self._before is not None:
            await self._memory.keep(self._place, self._before, ttl_s=ORDER_TTL_S)
        else:
            await self._memory.drop(self._place)

    def _entry(self, word: str) -> str:
        return f"{self._asked} {word}"

    def _read(self, entry: str | None) -> str | None:
        """Return an entry's word. Raise IdempotencyKeyReused if the entry is of another order."""
        if entry is None:
            return None
        asked, _, word = entry.rpartition(" ")
        if asked != self._asked:
            raise IdempotencyKeyReused(
                "This Idempotency-Key came with another order before. Make a new key for each order."
            )
        return word

    async def _write(self, word: str) -> None:
        await self._memory.keep(self._place, self._entry(word), ttl_s=ORDER_TTL_S)


def order_place(named_by: bytes, secret: str) -> Place:
    """Name the record of an order: by the caller's own key, or by the digest of all that it asks for."""
    name = hmac.new(secret.encode("utf-8", "surrogatepass"), named_by, "sha256").hexdigest()
    return Place(f"video-order:{name}", secret)


def read_into(digest: hashlib._Hash, file: IO[bytes]) -> None:
    """Add a file to a digest, and put it back to its start."""
    while piece := file.read(1024 * 1024):
        digest.update(piece)
    file.seek(0)

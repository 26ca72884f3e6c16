"""Makes the first frames of videos one after the other, in a thread of their own."""

from __future__ import annotations

from io import BytesIO
from typing import IO

from lib.errors import Overloaded
from lib.files.frames import fit_frame
from lib.tasks import Crowded, Threads

THREAD = Threads("frame", threads=1, max_waiting=4)
"""A frame costs a core and some hundred megabytes while it is made: one at a time in a process. 16 orders of
66 kB, each in one of asyncio's own threads, kept another chat's file waiting for 17 s."""
RETRY_AFTER_S = 5.0


async def fit_in_turn(source: IO[bytes], *, param: str, thread: Threads = THREAD) -> bytes:
    """Make the frame of a picture. Raise Overloaded if too many wait, InvalidRequest as `fit_frame` does."""
    target = BytesIO()
    try:
        await thread.run(lambda: fit_frame(source, target, param=param))
    except Crowded:
        raise Overloaded(
            "Too many first frames of videos wait to be made. Ask again.", retry_after_s=RETRY_AFTER_S
        ) from None
    return target.getvalue()

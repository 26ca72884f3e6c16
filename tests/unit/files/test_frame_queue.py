from __future__ import annotations

import asyncio
from io import BytesIO
from threading import Event

import pytest
from PIL import Image

from lib.errors import InvalidRequest, Overloaded
from lib.files.frame_queue import fit_in_turn
from lib.tasks import Threads


def picture() -> BytesIO:
    written = BytesIO()
    Image.new("RGB", (10, 10), "red").save(written, "PNG")
    written.seek(0)
    return written


async def test_frames_are_made_one_after_the_other_in_a_thread_of_their_own() -> None:
    thread, gate = Threads("test", threads=1, max_waiting=1), Event()
    busy = asyncio.ensure_future(thread.run(lambda: gate.wait(10)))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(fit_in_turn(picture(), param="image_url", thread=thread))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await fit_in_turn(picture(), param="image_url", thread=thread)
    assert caught.value.retry_after_s
    assert await asyncio.to_thread(lambda: "free") == "free"
    gate.set()
    assert Image.open(BytesIO(await waiting)).format == "JPEG"
    assert await busy


async def test_a_broken_picture_is_refused_in_its_turn() -> None:
    with pytest.raises(InvalidRequest) as caught:
        await fit_in_turn(BytesIO(b"none"), param="image_url")
    assert caught.value.param == "image_url"

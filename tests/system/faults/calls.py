"""The upstream's calls: what a client asks so that one is made, and how its answer goes wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simulator.drawing import make_picture
from simulator.scenes import sample_text
from simulator.steps import Cue, Pause, Script, Step, text_item
from tests.support.client import Streamed
from tests.system.faults import staging
from tests.system.faults.proxy import Answer
from tests.system.faults.staging import BEGUN_ANSWERS, JSON_ANSWERS, STREAM_ANSWERS, carried_out

if TYPE_CHECKING:
    from tests.system.faults.worker import World

PROMPT, TEXT = "[scene:text chars=40]", sample_text(40)
STREAM = "assistant/stream$"
GENERATIONS = "/v1/videos/generations"
QUICK = "[scene:video] a cat"
SOUND = "key-0123456789abcdef01234567"


@dataclass(frozen=True)
class Outcome:
    """What the client was told."""

    status: int
    code: str = ""
    """Of the error, as a status' answer or as an event."""
    is_cut: bool = False
    """The answer had begun, and ended with an error as its last event."""
    retry_after: str = ""
    should_retry: str = ""
    is_right: bool = True
    """Without an error: it says what it should."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A call of the upstream's."""

    about: str
    path: str
    """What its paths match."""
    answers: Mapping[str, Answer]
    ask: Callable[[World], Outcome]
    prepare: Callable[[World], None] = lambda _: None
    scene: Callable[[Cue], Iterator[Step]] | None = None
    """What the upstream plays, where it is no short text."""
    tiny_scene: Callable[[Cue], Iterator[Step]] | None = None
    """The same, of tiny events; none: an answer in JSON."""
    follows: str = ""
    """The call right before it, in what the client asks; empty: it is the first one."""
    acts: bool = True
    """An answer that is lost is that of a call which was carried out."""
    is_once: bool = False
    """The fault is over when the call is made again."""
    warning: str = ""
    """What the log says where it fails, though the client has its answer."""
    comes_again: bool = False
    """It can be asked for again, and must then be right."""


# What the client asks


def outcome_of(response: Any, *, is_right: bool = True) -> Outcome:
    told = {
        "retry_after": response.headers.get("retry-after", ""),
        "should_retry": response.headers.get("x-should-retry", ""),
    }
    if response.status_code < 400:
        return Outcome(response.status_code, is_right=is_right, **told)
    error = response.json()["error"]
    is_shaped = set(error) == {"message", "type", "param", "code"} and bool(error["message"])
    return Outcome(response.status_code, error["code"], is_right=is_shaped, **told)


def says(response: Any, text: str) -> bool:
    if response.status_code != 200:
        return False
    choice = response.json()["choices"][0]
    return bool(choice["finish_reason"] == "stop" and choice["message"]["content"] == text)


def chat(world: World) -> Outcome:
    response = world.client.chat(PROMPT)
    expected = "x" * staging.TINY_EVENTS if world.plays_tiny else TEXT
    return outcome_of(response, is_right=says(response, expected))


def streamed_chat(world: World) -> Outcome:
    return outcome_of_stream(world.client.stream(PROMPT), world)


def outcome_of_stream(streamed: Streamed, world: World) -> Outcome:
    expected = "x" * staging.TINY_EVENTS if world.plays_tiny else "".join(PIECES)
    if streamed.error is None:
        is_whole = streamed.is_done and streamed.finish_reason == "stop"
        return Outcome(streamed.status, is_right=is_whole and streamed.text == expected)
    is_honest = not streamed.is_done and streamed.finish_reason is None and expected.startswith(streamed.text)
    return Outcome(streamed.status, streamed.error["code"], is_cut=True, is_right=is_honest)


PIECES = [f"word {number} " for number in range(40)]


def wordy(cue: Cue) -> Iterator[Step]:
    """Say word after word."""
    script = Script(cue)
    yield script.opening()
    for increment in script.increments("text", PIECES, logic_id="t"):
        yield increment
        yield Pause(0.01)
    yield script.finish_part("t", text_item("".join(PIECES)))
    yield script.finish()


def chat_with_file(world: World) -> Outcome:
    data = base64.b64encode(b"The words of a file.").decode()
    file = {"filename": "a.txt", "file_data": f"data:text/plain;base64,{data}"}
    content = [{"type": "text", "text": PROMPT}, {"type": "file", "file": file}]
    body = {"model": "glm-5.3-flash", "messages": [{"role": "user", "content": content}]}
    response = world.client.post("/v1/chat/completions", body)
    return outcome_of(response, is_right=says(response, TEXT))


def image(world: World) -> Outcome:
    response = world.client.post("/v1/images/generations", {"prompt": "a cat"})
    is_right = response.status_code == 200 and len(response.json()["data"]) == 1
    return outcome_of(response, is_right=is_right)


def begin_video(world: World, **fields: Any) -> Any:
    return world.client.post(GENERATIONS, {"prompt": QUICK, "wait": 0, **fields})


def order_video(world: World) -> Outcome:
    response = begin_video(world)
    return outcome_of(response, is_right=response.status_code == 202)


def order_video_with_frame(world: World) -> Outcome:
    picture = base64.b64encode(make_picture("frame")).decode()
    response = begin_video(world, image_url=f"data:image/png;base64,{picture}")
    return outcome_of(response, is_right=response.status_code == 202)


def have_video(world: World) -> None:
    world.video_id = str(begin_video(world).json()["id"])


def have_video_with_sound(world: World) -> None:
    world.video_id = str(begin_video(world, audio_id=SOUND).json()["id"])


def look(world: World) -> Outcome:
    response = world.client.get(f"{GENERATIONS}/{world.video_id}")
    return outcome_of(response, is_right=response.status_code == 200)


def look_for_sound(world: World) -> Outcome:
    """With it the video is done; without, it is not."""
    response = world.client.get(f"{GENERATIONS}/{world.video_id}")
    has_sound = any(video.sounds for video in world.sim.videos.values())
    is_right = response.json().get("status") == ("completed" if has_sound else "in_progress")
    return outcome_of(response, is_right=is_right)


def remove_video(world: World) -> Outcome:
    response = world.client.request("DELETE", f"/v1/videos/{world.video_id}")
    is_gone = all(video.deleted for video in world.sim.videos.values())
    return outcome_of(response, is_right=is_gone)


def stop_early(world: World) -> Outcome:
    prompt = "[scene:slow first=0 gap=0.05 count=900]"
    response = world.client.chat(prompt, stop=["word 3"])
    return outcome_of(response, is_right=says(response, "word 0 word 1 word 2 "))


def list_models(world: World) -> Outcome:
    response = world.client.get("/v1/models")
    names = {model["id"] for model in response.json()["data"]}
    return outcome_of(response, is_right={"glm-5.3", "glm-5.3-flash"} <= names)


def check_token(world: World) -> Outcome:
    response = world.client.request("POST", "/token/check")
    is_right = response.status_code == 200 and response.json()["live"] is True
    return outcome_of(response, is_right=is_right)


def add_account(world: World) -> Outcome:
    """Add an account. After a refusal the list must be empty. The next time its newer login is given."""
    response = world.client.post("/tokens", {"token": world.spare})
    listed = world.client.get("/tokens").json()["accounts"]
    added = [account["label"] for account in listed if account["source"] == "store"]
    if response.status_code in (200, 201):
        world.spare = world.sim.log_in(world.sim.account(world.spare).uid)
        return outcome_of(response, is_right=added == [response.json()["label"]])
    outcome = outcome_of(response)
    return replace(outcome, is_right=outcome.is_right and added == [])


def have_a_lasting_store(world: World) -> None:
    world.keep_store()
    world.spare = world.sim.add_account()


def prime(world: World) -> None:
    """Have an access token, so that the first call is another one than the refresh."""
    assert world.client.chat(PROMPT).status_code == 200
    world.rest()


def prime_with_a_wrong_clock(world: World) -> None:
    prime(world)
    world.skew()


def primed(prepare: Callable[[World], None]) -> Callable[[World], None]:
    def both(world: World) -> None:
        prime(world)
        prepare(world)

    return both


KINDS: dict[str, Kind] = {
    "refresh": Kind(about="refresh", path="user/refresh$", answers=JSON_ANSWERS, ask=chat, acts=False),
    "chat": Kind(
        about="chat",
        path=STREAM,
        answers=STREAM_ANSWERS,
        ask=chat,
        prepare=prime,
        tiny_scene=staging.tiny_events,
        acts=False,
    ),
    "chat_once": Kind(
        about="chat, once",
        path=STREAM,
        answers=STREAM_ANSWERS,
        ask=chat,
        prepare=prime,
        tiny_scene=staging.tiny_events,
        acts=False,
        is_once=True,
    ),
    "chat_begun": Kind(
        about="chat, begun",
        path=STREAM,
        answers=BEGUN_ANSWERS,
        ask=streamed_chat,
        prepare=prime,
        scene=wordy,
        tiny_scene=staging.tiny_events,
        acts=False,
    ),
    "image": Kind(
        about="image",
        path=STREAM,
        answers=STREAM_ANSWERS,
        ask=image,
        prepare=prime,
        tiny_scene=staging.tiny_events_and_images,
        acts=False,
    ),
    "upload": Kind(
        about="upload",
        path="chat_upload$",
        answers=JSON_ANSWERS,
        ask=chat_with_file,
        prepare=prime,
    ),
    "video": Kind(
        about="video",
        path="video-api/v1/chat$",
        answers=JSON_ANSWERS,
        ask=order_video,
        prepare=prime,
    ),
    "frame": Kind(
        about="video: first frame",
        path="static/upload$",
        answers=JSON_ANSWERS,
        ask=order_video_with_frame,
        prepare=prime,
    ),
    "status": Kind(
        about="video: status",
        path="chat/status/",
        comes_again=True,
        answers=JSON_ANSWERS,
        ask=look,
        prepare=primed(have_video),
    ),
    "sound": Kind(
        about="video: sound",
        path="composite_video$",
        comes_again=True,
        answers=JSON_ANSWERS,
        ask=look_for_sound,
        prepare=primed(have_video_with_sound),
        follows="chat/status/",
        acts=False,
        warning="sound not added",
    ),
    "video_delete": Kind(
        about="video: deletion",
        path="video-api/v1/chat/[0-9a-f]{24}$",
        comes_again=True,
        answers=JSON_ANSWERS | {"wrong_shape": carried_out(JSON_ANSWERS["wrong_shape"])},
        ask=remove_video,
        prepare=primed(have_video),
        acts=False,
    ),
    "delete": Kind(
        about="deletion",
        path="(bulk_delete|conversation/delete)$",
        answers=JSON_ANSWERS,
        ask=chat,
        prepare=prime,
        follows=STREAM,
        warning="conversation not deleted",
    ),
    "stop": Kind(
        about="stop",
        path="stop_stream$",
        answers=JSON_ANSWERS,
        ask=stop_early,
        prepare=prime,
        follows=STREAM,
        warning="generation not stopped",
    ),
    "models": Kind(
        about="models",
        path="operation/detail$",
        comes_again=True,
        answers=JSON_ANSWERS,
        ask=list_models,
        prepare=prime,
        warning="models not fetched",
    ),
    "info": Kind(
        about="user info",
        path="user/info$",
        comes_again=True,
        answers=JSON_ANSWERS,
        ask=check_token,
        prepare=prime,
    ),
    "add": Kind(
        about="adding an account",
        path="user/refresh$",
        comes_again=True,
        answers=JSON_ANSWERS,
        ask=add_account,
        prepare=have_a_lasting_store,
        acts=False,
    ),
    "time": Kind(
        about="server time",
        path="cur_ts$",
        answers=JSON_ANSWERS | {"clock": staging.STALE_REFUSAL},
        ask=chat,
        prepare=prime_with_a_wrong_clock,
        follows=STREAM,
    ),
}

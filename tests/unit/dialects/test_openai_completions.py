"""OpenAI's legacy completions: requests, exact bytes, read by the official SDK, streamed as not streamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import APIError, OpenAI
from openai.types import Completion

from lib import sse
from lib.chat.answer import Answer
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
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    Withdrawn,
)
from lib.chat.request import ChatRequest, Message, TextPart
from lib.dialects.interface import Address, Rendering
from lib.dialects.openai_completions import AskedCompletion, parse, render, renderer
from lib.errors import InvalidRequest, UpstreamProtocolError, UpstreamTimeout

HOW = Rendering(created=1790000000, model="glm-5.3")
STARTED = Started("66f0c1", "glm-5.3-flash", "0a1b2c3d")
USAGE = Usage(prompt_tokens=5, completion_tokens=7, reasoning_tokens=2)
TOLD = '"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}'
HEAD = '{"id":"66f0c1","object":"text_completion","created":1790000000,"model":"glm-5.3",'
REPLY: list[ReplyEvent] = [
    ReasoningDelta("Hm."),
    TextDelta("你好"),
    Notice("x"),
    Citation(1, "https://a.example/", "A"),
    InterceptedCall("f", "{}"),
    ImageMade("https://i.example/1.png"),
    Finished("stop", USAGE),
]


def asking(prompt: Any = "Say", **fields: Any) -> AskedCompletion:
    return parse(json.dumps({"model": "glm-5.3", "prompt": prompt, **fields}).encode(), Address())


def stream(batches: Sequence[Sequence[ReplyEvent]], **fields: Any) -> bytes:
    opened = renderer(asking(stream=True, **fields), HOW)
    return b"".join(opened.feed(batch) for batch in ([STARTED], *batches))


def payloads(streamed: bytes) -> list[str]:
    return [payload.decode() for payload in sse.EventSplitter().feed(streamed)]


def rendered(events: Sequence[ReplyEvent], **fields: Any) -> str:
    return render(asking(**fields), Answer([STARTED, *events]), HOW).decode()


def chunk(text: str, finish: str = "null") -> str:
    told = json.dumps(text, ensure_ascii=False)
    return HEAD + f'"choices":[{{"text":{told},"index":0,"logprobs":null,"finish_reason":{finish}}}]}}'


@pytest.mark.parametrize("prompt", ["Say", ["Say"]])
def test_a_prompt_is_a_message_of_the_user(prompt: Any) -> None:
    assert asking(prompt) == AskedCompletion(
        chat=ChatRequest(model="glm-5.3", messages=(Message(role="user", parts=(TextPart("Say"),)),))
    )


def test_fields_that_are_honoured() -> None:
    told = asking(
        stop=["a", "", "b"], max_tokens=16.0, echo=True, stream=True, stream_options={"include_usage": True}
    )
    assert (told.chat.stop, told.chat.max_tokens) == (("a", "b"), 16)
    assert (told.echo, told.stream, told.include_usage) == ("Say", True, True)
    assert asking(stop="END").chat.stop == ("END",)
    assert asking(model="x" * 256).chat.model == "x" * 256


def test_fields_that_say_nothing() -> None:
    nothing = dict.fromkeys(
        ("stop", "max_tokens", "echo", "stream", "stream_options", "suffix", "n", "best_of")
    )
    assert asking(**nothing) == asking()
    more = {"suffix": "", "n": 1, "best_of": 1, "max_tokens": 0, "temperature": "x", "logprobs": 1, "user": 7}
    assert asking(**more) == asking()
    sampled = asking(temperature=0, top_p=0.5, user="someone").chat
    assert (sampled.temperature, sampled.top_p, sampled.user) == (0.0, 0.5, "someone")
    assert asking(max_tokens=-1) == asking()
    assert asking(model=None).chat.model == ""


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"prompt": None}, "missing_field", "prompt"),
        ({"prompt": ""}, "invalid_value", "prompt"),
        ({"prompt": [""]}, "invalid_value", "prompt"),
        ({"prompt": []}, "invalid_value", "prompt"),
        ({"prompt": [1, 2]}, "invalid_value", "prompt"),
        ({"prompt": [[1, 2]]}, "invalid_value", "prompt"),
        ({"prompt": 5}, "invalid_value", "prompt"),
        ({"prompt": ["a", "b"]}, "unsupported_parameter", "prompt"),
        ({"suffix": "b"}, "unsupported_parameter", "suffix"),
        ({"n": 2}, "unsupported_parameter", "n"),
        ({"best_of": 3}, "unsupported_parameter", "best_of"),
        ({"stop": ["a"] * 65}, "invalid_value", "stop"),
        ({"model": "x" * 257}, "invalid_value", "model"),
    ],
)
def test_mistakes_are_named(fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asking(**fields)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_stream_to_the_byte() -> None:
    assert payloads(stream([[event] for event in REPLY])) == [
        chunk("你好"),
        chunk("[1]"),
        chunk("![image](https://i.example/1.png)\n"),
        chunk("", '"stop"'),
        "[DONE]",
    ]
    assert payloads(stream([REPLY])) == [
        chunk("你好[1]![image](https://i.example/1.png)\n"),
        chunk("", '"stop"'),
        "[DONE]",
    ]


def test_a_stream_cannot_take_anything_back() -> None:
    assert payloads(stream([[TextDelta("a"), Rewritten((TextDelta("b"),))]])) == [chunk("a")]
    finished: list[ReplyEvent] = [TextDelta("a"), Rewritten((TextDelta("b"),)), Finished("stop")]
    assert json.loads(rendered(finished))["choices"][0]["text"] == "b"


def test_nothing_follows_the_end() -> None:
    assert stream([[*REPLY, TextDelta("b")], REPLY, []]) == stream([REPLY])


def test_usage_is_told_when_asked_for() -> None:
    assert payloads(stream([REPLY[-1:]], stream_options={"include_usage": True})) == [
        chunk("", '"stop"'),
        HEAD + f'"choices":[],{TOLD}}}',
        "[DONE]",
    ]


def test_a_whole_answer_to_the_byte() -> None:
    assert (
        rendered(REPLY) == chunk("你好[1]![image](https://i.example/1.png)\n", '"stop"')[:-1] + f",{TOLD}}}"
    )


def test_an_echo_begins_the_answer() -> None:
    assert payloads(stream([[TextDelta(" it")]], echo=True)) == [chunk("Say"), chunk(" it")]
    opened = renderer(asking(echo=True), HOW)
    assert payloads(opened.feed([STARTED, TextDelta(" it")])) == [chunk("Say it")]
    assert json.loads(rendered([TextDelta(" it"), Finished("length")], echo=True))["choices"] == [
        {"text": "Say it", "index": 0, "logprobs": None, "finish_reason": "length"}
    ]


def test_a_failure_ends_the_stream_without_pretending_to_be_complete() -> None:
    error = '{"error":{"message":"Silence.","type":"api_error","param":null,"code":"upstream_timeout"}}'
    failed: list[ReplyEvent] = [TextDelta("a"), Failed(UpstreamTimeout("Silence.")), TextDelta("b")]
    assert payloads(stream([failed, [TextDelta("c")]])) == [chunk("a"), error]
    assert payloads(renderer(asking(), HOW).feed(failed[1:2])) == [error]
    with pytest.raises(UpstreamTimeout):
        rendered(failed)
    with pytest.raises(UpstreamProtocolError):
        rendered([TextDelta("a")])


def test_moderation_adds_its_words_to_a_stream_and_replaces_a_whole_answer() -> None:
    end: list[ReplyEvent] = [Withdrawn("No more."), Finished("content_filter", USAGE)]
    assert payloads(stream([[TextDelta("It was"), *end]])) == [
        chunk("It was\n\nNo more."),
        chunk("", '"content_filter"'),
        "[DONE]",
    ]
    [choice] = json.loads(rendered([TextDelta("It was"), *end]))["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("No more.", "content_filter")


def test_an_answer_that_never_started_has_no_id() -> None:
    assert json.loads(render(asking(), Answer([Finished("stop")]), HOW))["id"] == ""


# The official SDK


def sdk(answer: bytes, content_type: str) -> OpenAI:
    def respond(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=answer, headers={"content-type": content_type})

    client = httpx2.Client(transport=httpx2.MockTransport(respond))
    return OpenAI(base_url="http://gateway.test/v1", api_key="x", max_retries=0, http_client=client)


def test_the_official_sdk_reads_a_whole_answer() -> None:
    answer = rendered(REPLY).encode()
    Completion.model_validate_json(answer, strict=True)
    completion = sdk(answer, "application/json").completions.create(model="glm-5.3", prompt="Say")
    assert completion.choices[0].text.startswith("你好")
    assert completion.usage is not None
    assert completion.usage.total_tokens == 12


def test_the_official_sdk_reads_a_stream_and_raises_its_error() -> None:
    answer = stream([[event] for event in REPLY])
    chunks = list(sdk(answer, "text/event-stream").completions.create(model="m", prompt="Say", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "你好[1]![image](https://i.example/1.png)\n"
    assert chunks[-1].choices[0].finish_reason == "stop"
    failing = stream([[TextDelta("a"), Failed(UpstreamTimeout("Silence."))]])
    events = sdk(failing, "text/event-stream").completions.create(model="m", prompt="Say", stream=True)
    with pytest.raises(APIError, match=r"Silence\."):
        list(events)


EVENTS = st.one_of(
    st.builds(TextDelta, st.text(st.characters(exclude_categories=["Cs"]), max_size=9)),
    st.builds(ReasoningDelta, st.just("x")),
    st.builds(Citation, st.integers(1, 3), st.just("https://a.example"), st.just("A"), st.booleans()),
    st.builds(ImageMade, st.just("https://i.example/1.png")),
    st.builds(ToolCallDelta, st.just(0), st.just("{}"), st.just("1"), st.just("f")),
)


@given(events=st.lists(EVENTS, max_size=9), size=st.integers(1, 5), echo=st.booleans())
def test_a_stream_says_what_a_whole_answer_says(*, events: list[ReplyEvent], size: int, echo: bool) -> None:
    reply = [*events, Finished("stop", USAGE)]
    batches = [reply[at : at + size] for at in range(0, len(reply), size)]
    told = payloads(stream(batches, echo=echo))
    assert told.pop() == "[DONE]"
    text = "".join(json.loads(payload)["choices"][0]["text"] for payload in told)
    [choice] = json.loads(rendered(reply, echo=echo))["choices"]
    assert text == choice["text"]
    assert json.loads(told[-1])["choices"][0]["finish_reason"] == choice["finish_reason"]

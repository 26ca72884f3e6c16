"""The official API behind the gateway, for openai and langchain: chat, tools, structured output, images."""

from __future__ import annotations

import json
from typing import Any, Literal

import openai
import pytest
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from simulator.official.app import Official
from simulator.scenes import sample_text
from tests.clients.samples import LOOP, PNG_URL, SAID, describe
from tests.clients.tasks import SUZHOU, City, Desk
from tests.support.client import KEY

MODEL = "glm-4.6"
BOTH_WAYS = pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
LOOK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look.up",
        "description": "Look a word up.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "required": ["word"],
        },
    },
}
LOOKED = "[agent: look_up word=needle; then answer found]"


def plain(task: str) -> str:
    """Leave out the scene, which is chatglm.cn's: here every scene but the bad ones acts on a task."""
    return task.replace("[scene:agent] ", "")


def chats(task: str) -> list[Any]:
    return [{"role": "user", "content": plain(task)}]


def langchains(official_url: str, **options: Any) -> ChatOpenAI:
    fields: Any = {"base_url": official_url, "api_key": KEY, "model": MODEL, "max_retries": 0}
    return ChatOpenAI(**fields | options)


def calls_to_chat(official: Official) -> list[dict[str, Any]]:
    return [call.json for call in official.calls_to("chat/completions")]


# openai


def test_openai_gets_an_answer_and_the_reported_usage(sdk: Any, official: Official) -> None:
    asked = sdk.chat.completions.with_raw_response.create(model=MODEL, messages=chats("Hello!"))
    answer = asked.parse()
    assert answer.choices[0].message.content == "You said: “Hello!”. I am the simulated glm-4.6."
    assert (asked.headers["x-glm-upstream"], asked.headers["x-glm-usage"]) == ("api", "reported")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len("Hello!") // 3 + 1
    assert answer.model == MODEL


async def test_openai_reads_a_stream_with_its_reasoning_and_its_usage(async_sdk: Any) -> None:
    stream = await async_sdk.chat.completions.create(
        model=MODEL,
        messages=chats("[scene:text chars=300 think=60]"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == sample_text(300)
    thoughts = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(thoughts) == sample_text(60, 2)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


@BOTH_WAYS
def test_openai_calls_a_tool_and_sends_its_result(sdk: Any, official: Official, *, is_stream: bool) -> None:
    messages, asked = chats(LOOKED), {"model": MODEL, "tools": [LOOK]}
    if is_stream:
        with sdk.chat.completions.stream(messages=messages, **asked) as stream:
            answer = stream.get_final_completion()
    else:
        answer = sdk.chat.completions.create(messages=messages, **asked)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls is not None
    [call] = message.tool_calls
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("look.up", {"word": "needle"})
    result = {"role": "tool", "tool_call_id": call.id, "content": "here"}
    again = [*messages, message.model_dump(exclude_none=True), result]
    done = sdk.chat.completions.create(messages=again, **asked)
    assert done.choices[0].message.content == "found"
    assert len(calls_to_chat(official)) == 2


def test_openai_forces_a_call(sdk: Any, official: Official) -> None:
    choice: Any = {"type": "function", "function": {"name": "look.up"}}
    answer = sdk.chat.completions.create(
        model=MODEL, messages=chats("Hello!"), tools=[LOOK], tool_choice=choice
    )
    [call] = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "look.up"
    assert [sent["tool_choice"] for sent in calls_to_chat(official)] == ["auto"]


@BOTH_WAYS
def test_openai_parses_a_model_of_pydantic(sdk: Any, official: Official, *, is_stream: bool) -> None:
    asked: Any = {"model": MODEL, "messages": chats(describe()), "response_format": City}
    if is_stream:
        with sdk.chat.completions.stream(**asked) as stream:
            answer = stream.get_final_completion()
    else:
        answer = sdk.chat.completions.parse(**asked)
    assert answer.choices[0].message.parsed == SUZHOU
    [sent] = calls_to_chat(official)
    assert sent["response_format"] == {"type": "json_object"}


def test_openai_sends_an_image_to_a_model_that_sees(sdk: Any, official: Official) -> None:
    image = {"type": "image_url", "image_url": {"url": PNG_URL}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Look."}, image]}]
    assert sdk.chat.completions.create(model="glm-4.6v", messages=messages).choices[0].message.content
    assert calls_to_chat(official)[0]["messages"][0]["content"][1] == image
    with pytest.raises(openai.BadRequestError, match=r"glm-4\.6v-flash"):
        sdk.chat.completions.create(model=MODEL, messages=messages)


def test_openai_reads_a_response_in_its_newer_form(sdk: Any) -> None:
    made = sdk.responses.create(model=MODEL, input="Hello!")
    assert made.output_text == "You said: “Hello!”. I am the simulated glm-4.6."
    with sdk.responses.stream(model=MODEL, input=plain(describe()), text_format=City) as stream:
        assert stream.get_final_response().output_parsed == SUZHOU


@pytest.mark.parametrize(
    ("task", "raised"),
    [
        ("[scene:error code=1113]", openai.RateLimitError),
        ("[scene:error code=1301]", openai.BadRequestError),
        ("[scene:error code=1220]", openai.PermissionDeniedError),
        ("[scene:json_instead]", openai.InternalServerError),
        ("[scene:empty_stream]", openai.InternalServerError),
    ],
)
@BOTH_WAYS
def test_openai_raises_a_refusal_in_its_own_words(
    sdk: Any, task: str, raised: type[Exception], *, is_stream: bool
) -> None:
    with pytest.raises(raised):
        sdk.chat.completions.create(model=MODEL, messages=chats(task), stream=is_stream)


def test_openai_raises_an_error_in_mid_stream_after_what_was_said(sdk: Any) -> None:
    said: list[str] = []
    stream = sdk.chat.completions.create(model=MODEL, messages=chats("[scene:cut_off]"), stream=True)
    with pytest.raises(openai.APIError):
        said.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(said) == "Some words,"


# langchain


@BOTH_WAYS
def test_langgraphs_loop_of_a_dozen_steps_comes_to_its_end(official_url: str, *, is_stream: bool) -> None:
    desk = Desk()
    tools = [tool(function) for function in desk.tools]
    # langchain-openai does not send reasoning back, and the API wants that of a turn with calls.
    model = langchains(official_url, streaming=is_stream, reasoning_effort="none")
    bound = model.bind_tools(tools)

    def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", tools_condition)
    graph.add_edge("tools", "think")
    state = graph.compile().invoke({"messages": [("user", plain(LOOP))]}, {"recursion_limit": 40})
    assert state["messages"][-1].text == SAID
    desk.check()


@BOTH_WAYS
@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
# langchain-openai 1.7.3 dumps the SDK's parsed message and so warns of itself, if a stream has a schema.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_langchain_reads_structured_output(
    official_url: str,
    method: Literal["json_schema", "json_mode", "function_calling"],
    *,
    is_stream: bool,
) -> None:
    model = langchains(official_url, streaming=is_stream).with_structured_output(City, method=method)
    task = describe(tool="City" if method == "function_calling" else "")
    assert model.invoke(plain(task)) == SUZHOU


def test_langchain_streams_words_and_counts_the_reported_tokens(official_url: str) -> None:
    pieces = list(langchains(official_url, stream_usage=True).stream("[scene:text chars=300]"))
    assert "".join(piece.text for piece in pieces) == sample_text(300)
    counts = [piece.usage_metadata for piece in pieces if piece.usage_metadata]
    assert sum(count["output_tokens"] for count in counts) > 0

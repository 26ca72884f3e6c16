"""Tool calls end to end: the official SDK runs loops over a simulated model that reads our prompt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

from tests.conftest import Upstream
from tests.support.client import KEY, Client
from tests.support.live import LiveGateway
from tests.support.log import written
from tests.support.waiting import wait_until

READ = {"path": {"type": "string"}, "limit": {"type": "integer"}}
WRITE = {"path": {"type": "string"}, "content": {"type": "string"}}
PLAN = {"steps": {"type": "array", "items": {"type": "object", "properties": {"title": {"type": "string"}}}}}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": words,
            "parameters": {"type": "object", "properties": properties, "required": required},
        },
    }
    for name, words, properties, required in (
        ("read_file", "Read a file.", READ, ["path"]),
        ("write_file", "Write a file.", WRITE, ["path", "content"]),
        ("plan", "Replace the plan.", PLAN, ["steps"]),
        ("search", "Search the project's text.", {"q": {"type": "string"}}, ["q"]),
    )
]
CODE = 'def f(a):\n    """Say "hi"."""\n    return "</in_content>" if a < 1 else "C:\\\\new"\n'
FORMS = ["", "syntax=calls", "syntax=dsml", "syntax=native", "syntax=json", "syntax=upstream"]


@pytest.fixture
def sdk(client: Client) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{client.url}/v1", api_key=KEY, max_retries=0) as sdk:
        yield sdk


class Loop:
    """An agent's loop: it runs every call on a small file system until the model answers in text."""

    def __init__(self, sdk: OpenAI, *, is_stream: bool) -> None:
        self.sdk = sdk
        self.is_stream = is_stream
        self.files: dict[str, str] = {}
        self.called: list[tuple[str, Any]] = []

    def ask(self, **fields: Any) -> ChatCompletionMessage:
        asked = {"model": "glm-5.3", "tools": TOOLS, **fields}
        if not self.is_stream:
            answer: ChatCompletionMessage = self.sdk.chat.completions.create(**asked).choices[0].message
            return answer
        with self.sdk.chat.completions.stream(**asked) as events:
            final: Any = events.get_final_completion().choices[0].message
            return ChatCompletionMessage.model_validate(final.model_dump())

    def run(self, task: str, *, limit: int = 20) -> str:
        messages: list[Any] = [{"role": "user", "content": task}]
        for _ in range(limit):
            message = self.ask(messages=messages)
            if not message.tool_calls:
                return message.content or ""
            messages.append(message.model_dump(exclude_none=True))
            for call in message.tool_calls:
                assert call.type == "function"
                arguments = json.loads(call.function.arguments)
                self.called.append((call.function.name, arguments))
                result = self.act(call.function.name, arguments)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        raise AssertionError("the loop does not end")

    def act(self, name: str, arguments: Any) -> str:
        if name == "write_file":
            self.files[arguments["path"]] = arguments["content"]
            return "written"
        if name == "read_file":
            return self.files.get(arguments["path"], "no such file")
        return "done"


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("form", FORMS)
def test_a_loop_of_a_dozen_steps_comes_to_its_end(sdk: OpenAI, form: str, *, is_stream: bool) -> None:
    loop = Loop(sdk, is_stream=is_stream)
    steps = [
        f"write_file {json.dumps({'path': 'a.py', 'content': CODE})}",
        "read_file path=a.py limit=5",
        'plan steps=[{"title":"one"},{"title":"two"}]',
        "search q=needle",
        "8 times read_file path=file$i.txt",
        'answer "read: $2"',
    ]
    said = loop.run(f"[scene:agent {form}] [agent: {'; then '.join(steps)}]")
    assert said == f"read: {CODE}"
    assert loop.files == {"a.py": CODE}
    assert loop.called[1:4] == [
        ("read_file", {"path": "a.py", "limit": 5}),
        ("plan", {"steps": [{"title": "one"}, {"title": "two"}]}),
        ("search", {"q": "needle"}),
    ]
    assert len(loop.called) == 12


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("scene", ["step=1", "parts=1", "where=think", "tail=1"])
def test_a_call_is_found_however_it_comes(sdk: OpenAI, scene: str, *, is_stream: bool) -> None:
    loop = Loop(sdk, is_stream=is_stream)
    task = f"[scene:agent {scene}] [agent: read_file path=a.py & read_file path=b.py; then answer done]"
    assert loop.run(task) == "done"
    assert [arguments["path"] for _, arguments in loop.called] == ["a.py", "b.py"]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("mistake", ["misspelt", "missing", "mistyped", "destroyed"])
def test_a_wrong_call_is_asked_for_again_within_the_request(
    sdk: OpenAI, upstream: Upstream, mistake: str, *, is_stream: bool
) -> None:
    loop = Loop(sdk, is_stream=is_stream)
    task = f"[scene:agent mistake={mistake}] [agent: read_file path=a.py limit=3; then answer done]"
    with written() as log:
        assert loop.run(task) == "done"
        wait_until(lambda: log.getvalue().count('"message":"request"') == 2)
    assert loop.called == [("read_file", {"path": "a.py", "limit": 3})]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    requests = [line for line in lines if line["message"] == "request"]
    assert requests[0]["notices"]["tool_repair"] == 1
    assert upstream.count("assistant/stream") == 3, "two requests, one of them with a second turn"
    wait_until(lambda: not upstream.sim.live_conversations())


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_a_call_that_stays_wrong_is_text_and_a_forced_one_a_502(client: Client, *, is_stream: bool) -> None:
    task = "[scene:agent mistake=misspelt at=all mistakes=9] [agent: read_file path=a.py]"
    answer = client.chat(task, tools=TOOLS)
    assert answer.status_code == 200
    [choice] = answer.json()["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"]
    assert "tool_calls" not in choice["message"]
    if is_stream:
        assert client.stream(task, tools=TOOLS, tool_choice="required").error is not None
        return
    forced = client.chat(task, tools=TOOLS, tool_choice="required")
    assert (forced.status_code, forced.json()["error"]["code"]) == (502, "invalid_model_output")


def test_a_call_that_is_cut_off_is_never_run(client: Client) -> None:
    answer = client.stream("[scene:agent mistake=cut] [agent: read_file path=a.py]", tools=TOOLS)
    assert answer.error is not None
    limited = client.chat("[scene:agent] [agent: read_file path=a.py]", tools=TOOLS, max_tokens=6)
    [choice] = limited.json()["choices"]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "length"


def test_the_choice_decides(sdk: OpenAI) -> None:
    loop = Loop(sdk, is_stream=False)
    task: Any = [{"role": "user", "content": "[scene:agent] Hello."}]
    assert loop.ask(messages=task, tool_choice="required").tool_calls
    named = loop.ask(messages=task, tool_choice={"type": "function", "function": {"name": "plan"}})
    assert [call.function.name for call in named.tool_calls or () if call.type == "function"] == ["plan"]
    wanted: Any = [{"role": "user", "content": "[scene:agent] [agent: plan steps=[] & read_file path=a]"}]
    assert not loop.ask(messages=wanted, tool_choice="none").tool_calls
    single = loop.ask(messages=wanted, parallel_tool_calls=False).tool_calls
    assert single is not None
    assert len(single) == 1


def test_web_search_is_off_while_tools_are_on_unless_it_is_asked_for(
    client: Client, upstream: Upstream, gateway: LiveGateway, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("CHATGLM_WEB_SEARCH", "true")
    client.chat("[scene:agent] hi")
    client.chat("[scene:agent] hi", tools=TOOLS)
    client.chat("[scene:agent] hi", tools=TOOLS, web_search_options={})
    client.chat("[scene:agent] hi", tools=TOOLS, model="glm-5.3-search")
    networking = [chat["meta_data"]["is_networking"] for chat in upstream.chats()]
    assert networking == [True, False, True, True]


class City(BaseModel):
    name: str
    people: int
    tags: list[str]


@pytest.mark.parametrize("mistake", ["", "mistake=invalid_json"])
def test_structured_output_is_parsed_by_the_sdk(sdk: OpenAI, mistake: str) -> None:
    asked: Any = [{"role": "user", "content": f"[scene:agent {mistake}] Describe a city."}]
    answer = sdk.chat.completions.parse(model="glm-5.3", messages=asked, response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)
    if mistake:
        return  # A stream may have sent a part of the wrong value: then it ends with an error.
    with sdk.chat.completions.stream(model="glm-5.3", messages=asked, response_format=City) as events:
        assert isinstance(events.get_final_completion().choices[0].message.parsed, City)


def test_an_object_without_a_schema_is_json(client: Client) -> None:
    answer = client.chat("[scene:agent] Describe a city.", response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.json()["choices"][0]["message"]["content"]), dict)


def test_a_conversation_that_goes_on_gets_only_the_new_results(sdk: OpenAI, upstream: Upstream) -> None:
    task = "[scene:agent] [agent: read_file path=a.py; then answer done]"
    first = sdk.chat.completions.create(
        model="glm-5.3",
        tools=TOOLS,
        messages=[{"role": "user", "content": task}],
        extra_body={"conversation_id": ""},
    )
    message: Any = first.choices[0].message
    [call] = message.tool_calls
    messages: Any = [
        {"role": "user", "content": task},
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "RESULT"},
    ]
    second = sdk.chat.completions.create(
        model="glm-5.3", tools=TOOLS, messages=messages, extra_body={"conversation_id": first.id}
    )
    assert second.choices[0].message.content == "done"
    prompt = upstream.chats()[-1]["messages"][0]["content"][0]["text"]
    assert "RESULT" in prompt
    assert "[agent:" not in prompt


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools[1].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
    ],
)
def test_a_mistake_in_the_tools_is_named(client: Client, fields: dict[str, Any], param: str) -> None:
    answer = client.chat("hi", **fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)

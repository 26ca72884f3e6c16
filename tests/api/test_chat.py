"""POST /v1/chat/completions over a real socket: what a client gets for all the upstream may do."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from simulator.app import Simulator
from simulator.scenes import SCENES, sample_text
from simulator.scenes.refusals import INTERVENE_TEXT
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, Client, chat_body, error_of
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until

SEARCH_TEXT = "深圳今天多云间晴天[1]，气温 26~33℃[2][3]。 See also [4] and 【turn9search9】."


class Case(NamedTuple):
    """What becomes of a scene: an answer, or an error (status and code), streamed and not."""

    text: str | None = None
    """The whole answer; None: it is an error. The streamed text is the same unless `streamed` differs."""
    reason: str = "stop"
    reasoning: str = ""
    streamed: str | None = None
    status: int = 200
    code: str = ""
    said: str = ""
    """Of an error after the first content: the text that a stream had shown before it."""
    env: dict[str, str] = {}  # noqa: RUF012 - never changed


def fails(status: int, code: str, said: str = "", **env: str) -> Case:
    return Case(status=status, code=code, said=said, env=env)


SHORT = {"FIRST_CONTENT_TIMEOUT_S": "0.2", "IDLE_TIMEOUT_S": "0.2"}
NO_WAIT = {"ACCOUNT_WAIT_S": "0"}
STORY = "从前有一座山。Once upon a time there was a hill, and on it a temple: “1, 2, 3”."
CASES: dict[str, Case] = {
    "text chars=700 think=90": Case(sample_text(700), reasoning=sample_text(90, 2)),
    "text chars=300 step=1 batch=7": Case(sample_text(300)),
    "echo strip=1": Case(""),
    "increments_equal_neighbours": Case("1,,  11,1哈哈哈1,1,\n\n"),
    "increments_unflagged": Case("好好好，“1,, 2” and and so on."),
    "several_text_parts": Case("First part of the answer.\nSecond part, 第二部分。\nThird and last part."),
    "parts_out_of_order": Case("Came first, \ncame second."),
    "terminal_only": Case("All of this came with the terminal event. 全部在最后。"),
    "terminal_extends": Case("The beginning was sent, the end came late."),
    "rewritten": Case("The answer is 42, to be exact.", streamed="The answer is 41."),
    "think_beside_text": Case("Text beside the reasoning.", reasoning="Two items in one part."),
    "think_then_text": Case("Here it is. 好的。", reasoning="The user wants a short answer. 简短即可。"),
    "slow first=0.05 gap=0.01 count=4": Case("word 0 word 1 word 2 word 3 "),
    "big_event chars=300000": Case(sample_text(300_000)),
    "many_tiny count=800": Case(sample_text(800)),
    "utf8_split": Case("Grüße, 世界! 👩‍👩‍👧 ﷽ – naïve 𝒢𝓁𝓂 “ok” \u2028 end"),
    "one_byte size=3": Case("One byte at a time."),
    "snapshots": Case(STORY),
    "snapshots_unflagged": Case(STORY),
    "finished_parts_only": Case("One finished part.\nAnother one. 又一段。"),
    "mixed": Case("好的，深圳今天多云间晴天，气温26~33℃。", reasoning="拆解用户请求：今天深圳天气"),
    "mixed_unflagged": Case("好的，深圳今天多云间晴天，气温26~33℃。", reasoning="拆解用户请求：今天深圳天气"),
    "captured": Case("1, 2, 3, 4, 5"),
    "process_status": Case("Working on it."),
    "unknown_items": Case("What is unknown is to be ignored."),
    "junk_lines": Case("No space, one space, two spaces, CR LF. 没有 event 行。"),
    "escaped": Case("Grüße 世界 👋🏽 𝒢"),
    "no_content_type": Case("The body is a good stream."),
    "wrong_content_type": Case("The body is a good stream."),
    "web_search": Case(SEARCH_TEXT, reasoning="拆解用户请求：今天深圳天气\n四个来源，足够了。"),
    "weather": Case("Shenzhen is sunny today[1], with 26 to 33 °C. A heat warning holds until evening[2]."),
    "describe": Case("I see no file."),
    "web_search_old": Case("Old style[1] and[2] 也."),
    "plain_brackets": Case(
        "【注意】this 【is not】 a 【citation†】 nor is【】 or turn0search or 【 open "
        + "x" * 300
        + " to the end"
    ),
    "failed_tool": Case("The search failed, but here is an answer anyway."),
    "intervene": Case(
        INTERVENE_TEXT, "content_filter", streamed=f"This will be withdrawn\n\n{INTERVENE_TEXT}"
    ),
    "intervene_first": Case(INTERVENE_TEXT, "content_filter"),
    "think_only": fails(502, "upstream_error"),
    "empty_finish": fails(502, "upstream_error"),
    "images_none": fails(502, "upstream_error"),
    "error_10024": fails(502, "upstream_error", "Half of an answer, "),
    "error_10025": fails(502, "upstream_error"),
    "error_10025_internal": fails(502, "upstream_error"),
    "error_10025_late": fails(502, "upstream_error", "Half of an answer, "),
    "error_captured": fails(502, "upstream_error"),
    "error_unknown": fails(502, "upstream_error"),
    "error_10040": fails(400, "context_length_exceeded"),
    "error_10061_busy": fails(429, "account_busy", **NO_WAIT),
    "error_10061_throttled": fails(429, "rate_limit_exceeded"),
    "error_10062": fails(429, "rate_limit_exceeded"),
    "busy_429": fails(429, "account_busy", **NO_WAIT),
    "throttled_429": fails(429, "rate_limit_exceeded"),
    "risk_40012": fails(429, "rate_limit_exceeded"),
    "internal_500": fails(502, "upstream_error"),
    "json_error_200": fails(502, "upstream_error"),
    "unauthorized_40102": fails(503, "no_account_available"),
    "unauthorized_40102_http200": fails(503, "no_account_available"),
    "unauthorized_40103": fails(503, "no_account_available"),
    "html_403": fails(502, "upstream_error"),
    "html_403 status=405": fails(502, "upstream_error"),
    "html_200": fails(502, "upstream_error"),
    "early_close": fails(502, "upstream_error", "The connection closes"),
    "abort": fails(502, "upstream_error", "The connection breaks"),
    "abort_first": fails(502, "upstream_error"),
    "zero_bytes": fails(502, "upstream_error"),
    "replay file=../../etc/passwd": fails(502, "upstream_error"),
    "silence": fails(504, "upstream_timeout", **SHORT),
    "silence_before_headers": fails(504, "upstream_timeout", **SHORT),
    "silence_after_headers": fails(504, "upstream_timeout", **SHORT),
    "keepalive_only gap=0.01": fails(504, "upstream_timeout", **SHORT),
    "stall": fails(504, "upstream_timeout", "Some text and then", **SHORT),
}
ELSEWHERE = {"default", "files", "code_interpreter", "images", "images_old", "images_as_links"}
"""Scenes with a test of their own below."""
AGENTS = {name for name in SCENES if name.startswith("agent")}
"""Scenes that act on the tools of a prompt; a chat without tools gets a plain answer."""


def test_every_scene_of_the_simulator_is_tried() -> None:
    assert {name.split()[0] for name in CASES} | ELSEWHERE | AGENTS == set(SCENES)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("scene", CASES)
def test_a_scene_becomes_what_it_means(
    client: Client, sim: Simulator, environment: pytest.MonkeyPatch, scene: str, is_stream: bool
) -> None:
    case = CASES[scene]
    for name, value in case.env.items():
        environment.setenv(name, value)
    sim.linger_s = 0.0
    sim.play(scene, times=3)
    if scene.startswith("echo"):
        case = case._replace(text="Hello!")
    if is_stream:
        check_streamed(client, case)
    else:
        check_whole(client, case)
    wait_until(lambda: not sim.live_conversations(), what="every conversation is deleted")


def check_whole(client: Client, case: Case) -> None:
    response = client.chat()
    assert response.status_code == case.status, response.text
    if case.text is None:
        assert error_of(response)["code"] == case.code
        assert (response.status_code == 429) == ("retry-after" in response.headers)
        return
    [choice] = response.json()["choices"]
    assert choice["message"]["content"] == case.text
    assert choice["message"].get("reasoning_content", "") == case.reasoning
    assert choice["finish_reason"] == case.reason


def check_streamed(client: Client, case: Case) -> None:
    streamed = client.stream()
    if case.text is None and streamed.status != 200:
        assert not case.said
        assert streamed.status == case.status
        assert json.loads(streamed.raw)["error"]["code"] == case.code
        return
    assert streamed.status == 200
    if case.text is None:
        # Its first content, or the upstream's acceptance, was told before it failed.
        assert streamed.error is not None
        assert streamed.error["code"] == case.code
        assert streamed.text == case.said
        assert (streamed.finish_reason, streamed.is_done) == (None, False), "it does not look complete"
        return
    assert streamed.error is None
    assert streamed.text == (case.text if case.streamed is None else case.streamed)
    assert streamed.reasoning == case.reasoning
    assert streamed.finish_reason == case.reason
    assert streamed.is_done
    assert [chunk["choices"][0]["delta"].get("role") for chunk in streamed.chunks[:2]] == ["assistant", None]


def test_sources_are_annotations_with_their_place_in_the_text(client: Client) -> None:
    whole = client.answer("[scene:web_search]")["choices"][0]["message"]
    streamed = client.stream("[scene:web_search]")
    assert whole["annotations"] == streamed.annotations
    cited = [note["url_citation"] for note in whole["annotations"]]
    for number, citation in enumerate(cited, 1):
        assert SEARCH_TEXT[citation["start_index"] : citation["end_index"]] == f"[{number}]"
    assert cited[0]["url"] == "https://example.com/szx"


def test_code_and_its_output_are_fenced_and_paths_are_left_alone(client: Client) -> None:
    for text in (client.text("[scene:code_interpreter]"), client.stream("[scene:code_interpreter]").text):
        assert "```python\nimport math\n\nprint(math.factorial(10))\n```" in text
        assert "```\n3628800\n```" in text
        assert text.endswith("saved to [result.csv](sandbox:/mnt/data/result.csv).")


@pytest.mark.parametrize(("scene", "count"), [("images", 4), ("images_old", 2), ("images_as_links", 1)])
def test_images_are_markdown_in_the_text(client: Client, scene: str, count: int) -> None:
    for text in (client.text(f"[scene:{scene}]"), client.stream(f"[scene:{scene}]").text):
        assert text.count("](https://sfile.chatglm.cn/testpath/") == count


# What a request may ask for


def test_the_default_answer_speaks_of_what_was_said(client: Client) -> None:
    assert "Hello, gateway" in client.text("Hello, gateway")


@pytest.mark.parametrize(
    ("fields", "meta"),
    [
        ({}, {"chat_mode": "", "reasoning_effort": "low", "is_networking": False}),
        ({"reasoning_effort": "high"}, {"chat_mode": "thinking", "reasoning_effort": "high"}),
        ({"reasoning_effort": "max"}, {"chat_mode": "deep_thinking", "reasoning_effort": "max"}),
        ({"web_search_options": {}}, {"is_networking": True}),
        ({"model": "glm-5.3"}, {"selected_model": "glm-5.3"}),
        ({"model": "gpt-4o"}, {"selected_model": "glm-5.3-flash"}),
        ({"model": "glm-5.3-think-search"}, {"chat_mode": "thinking", "is_networking": True}),
        ({"model": "glm-5.3-deepresearch"}, {"chat_mode": "deep_research"}),
        ({"model": "x-search", "reasoning_effort": "none"}, {"is_networking": True, "chat_mode": ""}),
    ],
)
def test_what_is_asked_for_reaches_the_upstream(
    client: Client, upstream: Upstream, fields: dict[str, Any], meta: dict[str, Any]
) -> None:
    answer = client.answer(**fields)
    sent = upstream.chats()[0]["meta_data"]
    assert {name: sent[name] for name in meta} == meta
    assert answer["model"] == fields.get("model", "glm-5.3-flash"), "echoed as it was sent"


def test_the_web_is_searched_where_the_owner_says_so(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("CHATGLM_WEB_SEARCH", "true")
    client.answer()
    client.answer(model="glm-5.3-nosearch")
    assert [chat["meta_data"]["is_networking"] for chat in upstream.chats()] == [True, False]


def test_a_silent_model_gives_neither_thoughts_nor_sources(client: Client) -> None:
    message = client.answer("[scene:web_search]", model="glm-5.3-silent")["choices"][0]["message"]
    assert message["annotations"] == []
    assert "reasoning_content" not in message


def test_an_agent_answers_by_its_id(client: Client, upstream: Upstream) -> None:
    assert client.answer(model="65c046a531d3fcb034918abe")["model"] == "65c046a531d3fcb034918abe"
    assert upstream.chats()[0]["assistant_id"] == "65c046a531d3fcb034918abe"
    response = client.chat(model="0" * 24)
    assert (response.status_code, error_of(response)["param"]) == (400, "model")


def test_a_stop_sequence_ends_the_answer_and_the_upstream(client: Client, upstream: Upstream) -> None:
    prompt = "[scene:slow first=0 gap=0.01 count=900]"
    assert client.text(prompt, stop=["word 3", "nowhere"]) == "word 0 word 1 word 2 "
    streamed = client.stream(prompt, stop="rd 2")
    assert (streamed.text, streamed.finish_reason, streamed.is_done) == ("word 0 word 1 wo", "stop", True)
    wait_until(lambda: not upstream.sim.live_conversations())
    assert upstream.count("stop_stream") == 2


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_number_of_tokens_ends_the_answer_and_the_upstream(
    client: Client, upstream: Upstream, field: str
) -> None:
    prompt = "[scene:slow first=0 gap=0.01 count=900]"
    answer = client.answer(prompt, **{field: 7})
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 7
    assert client.stream(prompt, **{field: 7}).finish_reason == "length"
    wait_until(lambda: not upstream.sim.live_conversations())
    assert upstream.count("stop_stream") == 2


def test_usage_is_told_always_in_one_piece_and_in_a_stream_when_asked(client: Client) -> None:
    usage = client.answer("[scene:text chars=4000]")["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] > 500
    streamed = client.stream("[scene:text chars=4000]", stream_options={"include_usage": True})
    assert streamed.chunks[-1]["choices"] == []
    assert streamed.chunks[-1]["usage"] == usage
    assert all(chunk["usage"] is None for chunk in streamed.chunks[:-1])
    assert all("usage" not in chunk for chunk in client.stream("[scene:text chars=40]").chunks)


def test_content_may_be_parts_and_roles_are_merged(client: Client, upstream: Upstream) -> None:
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "developer", "content": "No lists."},
        {"role": "user", "content": "One [link](http://a/b) 【x】"},
        {"role": "assistant", "content": None, "refusal": None, "annotations": []},
        {"role": "user", "content": [{"type": "text", "text": "Two"}]},
    ]
    client.answer(messages=messages)
    prompt = upstream.chats()[0]["messages"][0]["content"][0]["text"]
    assert prompt == (
        "<|system|>\nBe brief.\n<|system|>\nNo lists.\n<|user|>\nOne [link](http://a/b) 【x】\n"
        "<|assistant|>\n\n<|user|>\nTwo\n<|assistant|>\n"
    )


def test_unknown_and_harmless_fields_are_accepted(client: Client) -> None:
    client.answer(
        temperature=0.2,
        top_p=1,
        seed=7,
        user="u",
        n=1,
        logit_bias={},
        metadata={"a": "b"},
        tools=[],
        future=[1],
    )


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (b"", 400, "invalid_json", None),
        (b"{", 400, "invalid_json", None),
        (b"[]", 400, "invalid_value", None),
        (b'{"model": "\xff", "messages": []}', 400, "invalid_json", None),
        (b"[" * 100_000, 400, "invalid_value", None),
        ({}, 400, "missing_field", "messages"),
        ({"messages": []}, 400, "invalid_value", "messages"),
        ({"messages": [{"role": "user"}]}, 400, "missing_field", "messages[0].content"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, 400, "invalid_value", "messages[0].content"),
        (chat_body(n=2), 400, "unsupported_parameter", "n"),
        (chat_body(max_tokens="5"), 400, "invalid_value", "max_tokens"),
        (chat_body(reasoning_effort="huge"), 400, "invalid_value", "reasoning_effort"),
        (chat_body(stop=["a"] * 99), 400, "invalid_value", "stop"),
        (chat_body(modalities=["audio"]), 400, "unsupported_parameter", "modalities"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    *, client: Client, upstream: Upstream, body: Any, status: int, code: str, param: str | None
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.request("POST", CHAT, content=raw)
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert upstream.sim.calls == []


# Conversations


def test_a_conversation_goes_on_by_the_answers_id(client: Client, upstream: Upstream) -> None:
    first = client.answer("My name is Ada.", conversation_id="")
    second = client.stream("What did I say first?", conversation_id=first["id"])
    assert second.id == first["id"]
    assert "My name is Ada." in second.text
    assert upstream.sim.live_conversations() == [first["id"]]


def test_with_several_accounts_the_id_names_the_account(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv(
        "STORE_URL", f"sqlite:///{tmp_path / 'state.db'}"
    )  # other settings, the same rotations
    tokens = [upstream.add_account().token for _ in range(3)]
    environment.setenv("CHATGLM_REFRESH_TOKENS", ",".join(tokens))
    first = client.answer("My name is Ada.", store=True)
    environment.setenv("CHATGLM_REFRESH_TOKENS", ",".join(reversed(tokens)))
    assert "Ada" in client.text("What did I say first?", conversation_id=first["id"])


@pytest.mark.parametrize("conversation_id", ["0" * 24, "0123456789abcdef01234567-00000000"])
def test_an_unknown_conversation_is_not_found(client: Client, conversation_id: str) -> None:
    for response in (
        client.chat(conversation_id=conversation_id),
        client.chat(conversation_id=conversation_id, stream=True),
    ):
        assert response.status_code == 404
        assert error_of(response)["code"] == "conversation_not_found"


# Headers


def test_an_answer_says_what_served_and_where_the_time_went(
    client: Client, account: SimulatedAccount
) -> None:
    for response in (client.chat("[scene:text]"), client.chat("[scene:text]", stream=True)):
        assert response.headers["x-glm-model"] == "moe_53f"
        assert response.headers["x-glm-account"] == account.label
        assert response.headers["x-glm-usage"] == "estimated"
        assert "wait;dur=" in response.headers["server-timing"]
        assert "first;dur=" in response.headers["server-timing"]


def test_a_stream_asks_not_to_be_buffered(client: Client) -> None:
    headers = client.stream().headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert "content-length" not in headers


# The host's time


def test_near_the_hosts_deadline_the_answer_ends_with_length_and_is_kept(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("MAX_DURATION_S", "0.5")
    prompt = "[scene:slow first=0 gap=0.02 count=2000]"
    streamed = client.stream(prompt)
    whole = client.answer(prompt)
    assert (streamed.finish_reason, streamed.is_done) == ("length", True)
    assert whole["choices"][0]["finish_reason"] == "length"
    wait_until(lambda: upstream.sim.active_generations() == 0)
    assert set(upstream.sim.live_conversations()) == {streamed.id, whole["id"]}


@pytest.mark.parametrize("on_lambda", [True, False])
def test_an_invocations_own_deadline_is_believed_on_lambda_alone(
    client: Client, environment: pytest.MonkeyPatch, gateway: LiveGateway, on_lambda: bool
) -> None:
    if on_lambda:
        environment.setenv("AWS_LAMBDA_FUNCTION_NAME", "glm")
    context = json.dumps({"deadline": int((time.time() + 0.4) * 1000), "request_id": "r"})
    response = client.post(
        CHAT,
        chat_body("[scene:slow first=0 gap=0.02 count=40]"),
        headers={"x-amzn-lambda-context": context},
    )
    assert response.json()["choices"][0]["finish_reason"] == ("length" if on_lambda else "stop")

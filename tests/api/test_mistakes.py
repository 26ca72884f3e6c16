"""Mistakes that other bridges made (protocol.md §7), as far as a chat meets them: each, over the whole way.

Of uploads, videos and files nothing is here yet; they come with what they concern.
"""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lib.chat.usage import estimate_tokens
from lib.settings import Settings
from simulator.scenes import sample_text
from simulator.steps import Cue, Pause, Script, text_item
from tests.conftest import SimulatedAccount, Upstream
from tests.support.client import CHAT, KEY, Client, chat_body, error_of
from tests.support.live import LiveGateway
from tests.support.waiting import wait_until
from tests.support.wire import RawClient


def both(client: Client, prompt: str, **fields: Any) -> list[str]:
    """Ask in one piece and streamed."""
    return [client.text(prompt, **fields), client.stream(prompt, **fields).text]


# Streaming


def test_a_snapshot_diff_is_not_applied_to_increments(client: Client) -> None:
    assert both(client, "[scene:increments_equal_neighbours]") == ["1,,  11,1哈哈哈1,1,\n\n"] * 2


def test_each_part_has_an_offset_of_its_own(client: Client) -> None:
    expected = "First part of the answer.\nSecond part, 第二部分。\nThird and last part."
    assert both(client, "[scene:several_text_parts]") == [expected] * 2


def test_parts_are_neither_replaced_nor_sorted_by_logic_id(client: Client) -> None:
    assert both(client, "[scene:parts_out_of_order]") == ["Came first, \ncame second."] * 2


def test_parts_in_the_terminal_event_are_not_dropped(client: Client) -> None:
    assert (
        both(client, "[scene:terminal_only]")
        == ["All of this came with the terminal event. 全部在最后。"] * 2
    )
    assert both(client, "[scene:terminal_extends]") == ["The beginning was sent, the end came late."] * 2


@pytest.mark.parametrize("scene", ["intervene", "error_10025_late", "error_10024", "early_close", "abort"])
def test_what_is_no_stop_is_not_reported_as_stop(client: Client, scene: str) -> None:
    streamed = client.stream(f"[scene:{scene}]")
    assert streamed.finish_reason != "stop"
    response = client.chat(f"[scene:{scene}]")
    assert response.status_code == 502 or response.json()["choices"][0]["finish_reason"] == "content_filter"


def test_a_character_cut_at_the_border_of_network_chunks_stays_whole(client: Client) -> None:
    expected = "Grüße, 世界! 👩‍👩‍👧 ﷽ – naïve 𝒢𝓁𝓂 “ok” \u2028 end"
    assert both(client, "[scene:utf8_split]") == [expected] * 2


def test_reasoning_is_not_mixed_into_the_answer(client: Client) -> None:
    message = client.answer("[scene:think_beside_text]")["choices"][0]["message"]
    assert message["content"] == "Text beside the reasoning."
    assert message["reasoning_content"] == "Two items in one part."
    streamed = client.stream("[scene:think_beside_text]")
    assert (streamed.text, streamed.reasoning) == (message["content"], message["reasoning_content"])
    assert "undefined" not in json.dumps(message) + streamed.raw.decode()


def test_a_client_that_leaves_is_noticed_and_the_next_call_finds_the_account_free(
    client: Client, gateway: LiveGateway, upstream: Upstream
) -> None:
    upstream.sim.linger_s = 30.0
    raw = RawClient(gateway.url)
    body = chat_body("[scene:slow first=0 gap=0.05 count=900]", stream=True)
    raw.post(CHAT, body, authorization=f"Bearer {KEY}")
    raw.read_until(b"word 1")
    raw.leave()
    assert client.chat("[scene:text chars=9]").status_code == 200
    assert upstream.sim.account(next(iter(upstream.sim.book)).uid).max_overlap == 1


def test_no_total_timeout_ends_a_long_answer(client: Client, environment: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_CONTENT_TIMEOUT_S", "IDLE_TIMEOUT_S", "CONNECT_TIMEOUT_S"):
        environment.setenv(name, "0.4")
    began_at = time.monotonic()
    assert client.stream("[scene:slow first=0 gap=0.1 count=15]").finish_reason == "stop"
    assert time.monotonic() - began_at > 1.2


def test_the_default_has_no_total_timeout_at_all() -> None:
    assert Settings().max_duration_s is None


def test_the_users_own_links_paths_and_brackets_are_not_deleted(client: Client, upstream: Upstream) -> None:
    prompt = "See [a](https://a.example/x?y=1#z), /mnt/data/x.csv, ![i](http://i), 【12】, (b) {c} <d> [[e]]"
    client.answer(prompt)
    assert upstream.chats()[0]["messages"][0]["content"][0]["text"] == prompt
    assert both(client, f"[scene:echo strip=1 step=3]{prompt}") == [prompt] * 2


def test_an_empty_finish_is_no_success(client: Client) -> None:
    for response in (
        client.chat("[scene:empty_finish]"),
        client.chat("[scene:empty_finish]", stream=True),
        client.chat("[scene:think_only]"),
    ):
        assert response.status_code == 502
        assert error_of(response)["code"] == "upstream_error"


def test_a_failed_server_side_tool_is_no_failed_answer(client: Client) -> None:
    assert both(client, "[scene:failed_tool]") == ["The search failed, but here is an answer anyway."] * 2


# Requests


def test_role_markers_have_no_typos_and_developers_are_heard(client: Client, upstream: Upstream) -> None:
    roles = ["system", "developer", "user", "assistant", "user"]
    client.answer(messages=[{"role": role, "content": f"I am {role} {n}"} for n, role in enumerate(roles)])
    prompt = upstream.chats()[0]["messages"][0]["content"][0]["text"]
    assert prompt.splitlines()[0::2] == [
        "<|system|>",
        "<|system|>",
        "<|user|>",
        "<|assistant|>",
        "<|user|>",
        "<|assistant|>",
    ]
    assert all(f"I am {role} {n}" in prompt for n, role in enumerate(roles))


def test_an_address_that_a_caller_names_is_not_asked_for(client: Client, upstream: Upstream) -> None:
    url = upstream.base_url.replace("/chatglm", "/__simulator__/state")
    part = {"type": "image_url", "image_url": {"url": url}}
    response = client.chat(messages=[{"role": "user", "content": [part]}])
    assert response.status_code == 400
    assert upstream.sim.calls == []


def test_web_search_is_off_unless_it_is_asked_for(client: Client, upstream: Upstream) -> None:
    client.answer()
    client.answer(model="glm-5.3-search")
    client.answer(model="glm-5.3-nosearch")
    assert [chat["meta_data"]["is_networking"] for chat in upstream.chats()] == [False, True, False]


@pytest.mark.parametrize(
    "model", ["glm-5.3", "GLM-4-Plus", "gpt-4o", "x/y:z think", "65c046a531d3fcb034918abe"]
)
def test_the_model_is_echoed_as_the_caller_wrote_it(client: Client, model: str) -> None:
    assert client.answer(model=model)["model"] == model
    assert {chunk["model"] for chunk in client.stream(model=model).chunks} == {model}


def test_a_conversation_whose_id_the_caller_passed_is_not_deleted(client: Client, upstream: Upstream) -> None:
    first = client.answer(conversation_id="")
    client.answer(conversation_id=first["id"])
    client.stream(conversation_id=first["id"])
    assert upstream.sim.live_conversations() == [first["id"]]
    assert upstream.count("bulk_delete") == 0


def test_a_missing_content_type_is_no_crash(client: Client) -> None:
    assert both(client, "[scene:no_content_type]") == ["The body is a good stream."] * 2
    raw = json.dumps(chat_body("[scene:text chars=9]")).encode()
    assert client.request("POST", CHAT, content=raw).status_code == 200, "nor in a request"


def test_no_foreign_tool_call_syntax_is_put_into_the_prompt(client: Client, upstream: Upstream) -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'},
    }
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Sunny"},
    ]
    client.answer(messages=messages)
    prompt = upstream.chats()[0]["messages"][0]["content"][0]["text"]
    assert "get_weather" in prompt
    assert "<in_city>Rome</in_city>" in prompt
    assert "tool_calls" not in prompt
    assert '"function"' not in prompt


# Accounts


def test_a_rotated_refresh_token_is_not_forgotten(client: Client, upstream: Upstream) -> None:
    for _ in range(3):
        upstream.sim.expire_access_tokens()
        client.answer("[scene:text chars=9]")
    assert upstream.count("user/refresh") == 3, "each with the token that the last one gave"


def test_who_waits_for_a_refresh_that_fails_is_not_handed_an_error_as_a_token(
    client: Client, upstream: Upstream
) -> None:
    upstream.sim.fail("user/refresh", status=500, body=b"{}", delay_s=0.1, times=2)
    with ThreadPoolExecutor(6) as pool:
        statuses = [
            answer.status_code for answer in pool.map(lambda _: client.chat("[scene:text chars=9]"), range(6))
        ]
    assert set(statuses) <= {200, 502}
    assert 200 in statuses
    bearers = {call.headers["authorization"] for call in upstream.sim.calls}
    assert all(bearer.startswith("Bearer eyJ") for bearer in bearers)


def test_the_token_check_reads_a_field_that_exists(client: Client, upstream: Upstream) -> None:
    assert client.request("POST", "/token/check").json()["live"] is True
    dead = upstream.add_account()
    upstream.sim.revoke(dead.uid)
    assert client.post("/token/check", {"token": dead.token}).json()["live"] is False


@pytest.mark.parametrize("scene", ["unauthorized_40102", "unauthorized_40102_http200", "unauthorized_40103"])
def test_an_expired_access_token_is_noticed_by_status_or_body(
    client: Client, upstream: Upstream, scene: str
) -> None:
    upstream.sim.play(scene)
    assert client.text("[scene:text chars=9]") == sample_text(9)
    assert upstream.count("user/refresh") == 2


def test_every_call_is_signed(client: Client, upstream: Upstream) -> None:
    client.answer("[scene:slow first=0 gap=0.01 count=500]", max_tokens=3)
    client.get("/v1/models")
    client.request("POST", "/token/check")
    wait_until(lambda: upstream.count("bulk_delete"))
    assert {"refresh", "stream", "stop_stream", "bulk_delete", "info", "detail"} == {
        call.path.rpartition("/")[2] for call in upstream.sim.calls
    }
    assert all(len(call.headers["x-sign"]) == 32 for call in upstream.sim.calls)
    assert len({call.headers["x-nonce"] for call in upstream.sim.calls}) == len(upstream.sim.calls)


@pytest.mark.parametrize("scene", ["html_403", "html_403 status=405", "html_200"])
def test_a_firewalls_page_is_not_parsed_as_json(client: Client, upstream: Upstream, scene: str) -> None:
    response = client.chat(f"[scene:{scene}]")
    assert response.status_code == 502
    assert "<" not in error_of(response)["message"]
    assert upstream.count("assistant/stream") == 1


def test_no_token_is_in_the_log(
    client: Client, gateway: LiveGateway, upstream: Upstream, account: SimulatedAccount, capfd: Any
) -> None:
    upstream.sim.revoke(account.uid)
    client.chat("my secret prompt")
    wait_until(gateway.is_idle)
    out, err = capfd.readouterr()
    assert not any(secret in out + err for secret in (account.token, KEY, "my secret", "eyJ"))


def test_accounts_are_taken_in_turns_under_a_lock(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    accounts = [upstream.add_account() for _ in range(3)]
    environment.setenv("CHATGLM_REFRESH_TOKENS", ",".join(account.token for account in accounts))
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda n: client.text(f"[scene:text chars=300 seed={n}]"), range(18)))
    assert answers == [sample_text(300, n) for n in range(18)]
    known = [upstream.sim.account(account.uid) for account in accounts]
    assert [account.max_overlap for account in known] == [1, 1, 1]
    assert all(account.chats >= 3 for account in known)


# Errors


def test_what_can_never_succeed_is_asked_once(client: Client, upstream: Upstream) -> None:
    for scene in ("error_10040", "html_403", "empty_finish"):
        before = upstream.count("assistant/stream")
        client.chat(f"[scene:{scene}]")
        assert upstream.count("assistant/stream") == before + 1, scene


def test_a_throttle_is_not_hammered(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("ACCOUNT_WAIT_S", "0.1")
    upstream.sim.play("throttled_429", times=9)
    for _ in range(5):
        response = client.chat()
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 20
    assert upstream.count("assistant/stream") == 1


def test_an_error_has_a_real_status_and_is_never_the_assistants_words(client: Client) -> None:
    for scene, status in (("error_10025", 502), ("json_error_200", 502), ("error_10062", 429)):
        response = client.chat(f"[scene:{scene}]")
        assert response.status_code == status
        assert "choices" not in response.json()


def test_usage_is_an_estimate_of_the_text_and_not_a_constant(client: Client) -> None:
    sizes = []
    for chars in (100, 1000, 10_000):
        answer = client.answer(f"[scene:text chars={chars}]")
        usage = answer["usage"]
        assert usage["completion_tokens"] == estimate_tokens(sample_text(chars))
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        sizes.append(usage["completion_tokens"])
    assert sizes[0] * 5 < sizes[1] < sizes[2] / 5


def test_an_answer_that_has_begun_is_not_asked_for_again(client: Client, upstream: Upstream) -> None:
    for scene in ("error_10025_late", "early_close", "abort"):
        before = upstream.count("assistant/stream")
        client.chat(f"[scene:{scene}]")
        assert upstream.count("assistant/stream") == before + 1, scene


def test_a_long_silence_after_the_first_event_is_an_error_in_time(
    client: Client, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("FIRST_CONTENT_TIMEOUT_S", "0.2")  # the outage of 2026-09-28
    response = client.chat("[scene:silence]")
    assert (response.status_code, error_of(response)["code"]) == (504, "upstream_timeout")


def test_thinking_for_long_before_the_first_word_is_no_silence(
    client: Client, upstream: Upstream, environment: pytest.MonkeyPatch
) -> None:
    def think_long(cue: Cue) -> Any:
        script = Script(cue)
        yield script.opening()
        for increment in script.increments("think", ["hm "] * 12, logic_id="k"):
            yield increment
            yield Pause(0.05)
        yield script.finish_part("t", text_item("At last."))
        yield script.finish()

    environment.setenv("FIRST_CONTENT_TIMEOUT_S", "0.3")
    environment.setenv("IDLE_TIMEOUT_S", "0.3")
    for model in ("glm-5.3-think", "glm-5.3-think-silent"):
        upstream.sim.play(think_long)
        assert client.stream(model=model).text == "At last."


def test_a_loop_of_its_own_needs_nothing_from_another(client: Client, gateway: LiveGateway) -> None:
    """A serverless host may run each invocation in a new event loop."""
    from lib.chat.caller import Caller
    from lib.flows.chat import open_reply
    from lib.settings import current
    from lib.trace import Trace
    from lib.upstreams.choose import close_services, services_of
    from lib.upstreams.interface import Call
    from tests.unit.conftest import make_request

    async def once() -> str:
        settings = current()
        caller = Caller(settings.refresh_tokens, is_owner=True)
        call = Call(services=services_of(settings), caller=caller, trace=Trace())
        async with open_reply(make_request("[scene:text chars=9]"), call) as reply:
            events = [event async for batch in reply for event in batch]
        await close_services()
        return "".join(getattr(event, "text", "") for event in events)

    assert asyncio.run(once()) == sample_text(9)


LIMITED = [
    (CHAT, {"model": "glm-5.3", "messages": [{"role": "user", "content": "Hello!"}]}, "max_tokens"),
    (
        CHAT,
        {"model": "glm-5.3", "messages": [{"role": "user", "content": "Hello!"}]},
        "max_completion_tokens",
    ),
    ("/v1/completions", {"model": "glm-5.3", "prompt": "Hello!"}, "max_tokens"),
    ("/v1/responses", {"model": "glm-5.3", "input": "Hello!"}, "max_output_tokens"),
    ("/v1/messages", {"model": "glm-5.3", "messages": [{"role": "user", "content": "Hello!"}]}, "max_tokens"),
    (
        "/v1beta/models/glm-5.3:generateContent",
        {"contents": [{"parts": [{"text": "Hello!"}]}]},
        "generationConfig.maxOutputTokens",
    ),
]


@pytest.mark.parametrize("limit", [0, -1, None])
@pytest.mark.parametrize(("path", "body", "field"), LIMITED, ids=lambda value: str(value)[:30])
def test_a_limit_of_zero_minus_one_or_null_is_none(
    client: Client, path: str, body: dict[str, Any], field: str, limit: int | None
) -> None:
    outer, _, inner = field.partition(".")
    response = client.post(path, {**body, outer: {inner: limit} if inner else limit})
    assert response.status_code == 200, response.text
    assert "Have fun!" in response.text, "the whole answer"
    for few in (1, 1.0):
        response = client.post(path, {**body, outer: {inner: few} if inner else few})
        assert response.status_code == 200, response.text
        assert "Have fun!" not in response.text

"""Checks of the other dialects' requests, and of ids and tokens that clients bring."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

from starlette.requests import Request

from lib.chat import usage
from lib.chat.answer import Answer
from lib.chat.caller import MAX_TOKEN_CHARS, Caller
from lib.chat.events import Finished, ReplyEvent, Started, TextDelta, ToolCallDelta
from lib.chat.request import ChatRequest
from lib.dialects import anthropic, gemini, openai_completions, openai_responses
from lib.dialects.interface import Address, Rendering
from lib.dialects.surrogates import without_lone
from lib.errors import AccountRefused, AuthenticationFailed, InvalidRequest
from lib.flows.plan import plan
from lib.upstreams.chatglm import prompt as prompt_of
from lib.upstreams.chatglm.accounts.account import parse_account, require_form
from lib.upstreams.interface import Abilities
from lib.web.caller import MAX_TOKENS, credential_of, split_tokens
from lib.web.response_ids import unseal
from tests.fuzz.upstream import check_message

HOW = Rendering(created=1, model="m")
GOOGLES = Address(params={"name": "glm-5.3", "action": "generateContent"})
OWNER = Caller(("a.b.c",), is_owner=True, key="sk-key")


def _is_refused(parse: Callable[[], object]) -> bool:
    try:
        parse()
    except InvalidRequest as error:
        refusal = error
    else:
        return False
    assert 400 <= refusal.status < 500
    check_message(refusal)
    return True


def _request(dialect: Any, data: bytes, address: Address = Address()) -> None:  # noqa: B008 - it is frozen
    """A request is refused by what is wrong with it, or it can be planned, and answered in every way."""
    if _is_refused(lambda: dialect.parse(data, address)):
        return
    asked = dialect.parse(data, address)
    chat: ChatRequest = asked.chat
    assert chat.messages
    if _is_refused(lambda: plan(chat, Abilities())):
        return
    planned = plan(chat, Abilities(), is_streamed=asked.stream)
    assert usage.prompt_tokens(planned.chat.messages) >= 0
    prompt_of.merge(planned.chat.messages)
    prompt_of.attachments(planned.chat.messages)
    names = [tool.name for tool in chat.tools]
    for events in (_said(), _called(names[0]) if names else _said()):
        json.loads(dialect.render(asked, Answer(events), HOW))
        assert isinstance(dialect.renderer(asked, HOW).feed(events), bytes)
    if isinstance(dialect, ModuleType) and hasattr(dialect, "count"):
        json.loads(dialect.count(asked))


def _said() -> list[ReplyEvent]:
    return [Started("a", "glm"), TextDelta("Hello."), Finished("stop")]


def _called(name: str) -> list[ReplyEvent]:
    return [Started("a", "glm"), ToolCallDelta(0, "{}", id="call_1", name=name), Finished("tool_calls")]


def messages(data: bytes) -> None:
    _request(anthropic, data)


def completions(data: bytes) -> None:
    _request(openai_completions, data)


def responses(data: bytes) -> None:
    _request(openai_responses, data)


def contents(data: bytes) -> None:
    _request(gemini, data, GOOGLES)
    _request(gemini, data, Address(params={"name": "glm", "action": "countTokens"}))


def surrogates(data: bytes) -> None:
    """Only a lone surrogate is replaced, so that what is JSON stays the same JSON."""
    marked = without_lone(data)
    if marked is None:
        return
    assert without_lone(marked) is None, "all of them are replaced at once"
    try:
        value = _pairs(data.decode())
    except (ValueError, RecursionError):
        return
    _same(value, _pairs(marked))


def _pairs(text: str | bytes) -> Any:
    """Read objects as lists of pairs: two names may become the same one."""
    return json.loads(text, object_pairs_hook=list)


def _same(value: Any, marked: Any) -> None:
    whole = _written(value).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert _written(marked) == whole.replace("\ufdd0", "\ufffd")


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\ufdd0", "\ufffd")


def tokens(data: bytes) -> None:
    """A credential, as a client sends it: a few tokens, each with the form of one, or a refusal."""
    text = data.decode("utf-8", "replace")
    try:
        found = split_tokens(text)
    except AuthenticationFailed as error:
        check_message(error)
        return
    assert len(found) == len(set(found)) <= MAX_TOKENS
    for token in found:
        try:
            require_form(parse_account(token))
        except AccountRefused as error:
            check_message(error)
        else:
            assert len(token) <= MAX_TOKEN_CHARS
            assert token.count(".") == 2


def query(data: bytes) -> None:
    """A query string: the credential in it is the first `key`, or there is none."""
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": data, "headers": []}
    credential = credential_of(Request(scope))
    assert isinstance(credential, str)


def response_id(data: bytes) -> None:
    """No id that we did not make opens anything."""
    assert unseal(data.decode("utf-8", "replace"), OWNER) is None

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat import usage
from lib.chat.request import ChatRequest, ImagePart, Message, TextPart, Tool, ToolCall
from lib.chat.usage import PromptCount, TokenCounter, count_prompt, estimate_tokens, prompt_tokens

CORPUS = Path(__file__).parent / "corpus"
KINDS = {
    "English": ("english", "english_chat"),
    "code": ("python", "javascript", "json"),
    "tables": ("table",),
    "numbers and URLs": ("numbers_urls",),
    "emoji": ("emoji",),
    "Chinese": ("chinese", "chinese_chat"),
}
# Per cent in sum, against o200k_base and cl100k_base: the figures of lib/chat/usage.py's docstring.
STATED = {
    "English": (6.7, 4.3),
    "code": (-2.4, -1.4),
    "tables": (0.0, -6.1),
    "numbers and URLs": (-2.7, -2.6),
    "emoji": (-9.7, -29.7),
    "Chinese": (-16.4, -42.9),
}
VOCABULARIES = ("o200k_base", "cl100k_base")

# All kinds of characters that the pattern tells apart, and anything.
TEXTS = st.text(
    st.one_of(st.sampled_from("abZÉé 019.,(){}\n\r\t中。한🎉жम'\x00\xa0"), st.characters()), max_size=60
)


def texts_of(kind: str) -> list[str]:
    return [(CORPUS / f"{name}.txt").read_text(encoding="utf-8") for name in KINDS[kind]]


@pytest.fixture(params=VOCABULARIES)
def counts_of(request: pytest.FixtureRequest) -> Callable[[str], int]:
    """A real tokenizer's count."""
    bpe_openai = pytest.importorskip(
        "bpe_openai", reason="NO VOCABULARY: the usage estimate is NOT checked; pip install bpe-openai"
    )
    encoding = bpe_openai.get_encoding(request.param)
    return lambda text: len(encoding.encode(text))


def error_in_percent(kind: str, count: Callable[[str], int]) -> float:
    texts = texts_of(kind)
    return 100 * (sum(map(estimate_tokens, texts)) / sum(map(count, texts)) - 1)


@pytest.mark.parametrize("kind", ["English", "code"])
def test_english_and_code_are_within_15_percent_of_a_real_tokenizer(
    kind: str, counts_of: Callable[[str], int]
) -> None:
    assert abs(error_in_percent(kind, counts_of)) < 15


def test_the_errors_are_the_stated_ones(
    counts_of: Callable[[str], int], request: pytest.FixtureRequest
) -> None:
    column = VOCABULARIES.index(request.node.callspec.params["counts_of"])
    measured = {kind: error_in_percent(kind, counts_of) for kind in KINDS}
    assert measured == {kind: pytest.approx(errors[column], abs=0.051) for kind, errors in STATED.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_docstring_states_the_same_errors(kind: str) -> None:
    def figure(percent: float) -> str:
        return f"{percent:+.1f} %" if percent else "0.0 %"

    docstring = " ".join((usage.__doc__ or "").split())
    assert " / ".join(map(figure, STATED[kind])) in docstring[docstring.index(kind) :]


def test_chinese_is_counted_as_the_vendor_documents() -> None:
    for text in texts_of("Chinese"):
        assert estimate_tokens(text) == pytest.approx(len(text) / 1.6, rel=0.02)


def test_our_own_code_and_documents_are_within_15_percent_too(counts_of: Callable[[str], int]) -> None:
    root = Path(__file__).parents[3] / "lib"
    for room in ("chat", "chatglm"):
        text = "".join(path.read_text(encoding="utf-8") for path in sorted((root / room).glob("*.py")))
        assert estimate_tokens(text) == pytest.approx(counts_of(text), rel=0.15)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("word", 1),
        (" word", 1),
        ("two words", 2),
        ("internationalisation", 3),
        ("getElementById", 4),
        ("HTTP", 1),
        ("(called", 1),
        ("12345", 2),
        ("):\n    return", 3),
        ("\r\n\r\n", 1),
        ("été", 1),
        ("привет", 2),
        ("🎉🎉", 2),
        ("八个汉字五个令牌", 5),
        ("一", 1),
        ("中文 and English", 4),
    ],
)
def test_a_piece_is_about_a_token(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(st.lists(TEXTS))
def test_the_total_does_not_depend_on_the_fragments(fragments: list[str]) -> None:
    lazy, eager = TokenCounter(), TokenCounter()
    for fragment in fragments:
        lazy.add(fragment)
        for character in fragment:
            eager.add(character)
            _ = eager.total
    assert lazy.total == eager.total == estimate_tokens("".join(fragments))


@given(TEXTS, TEXTS)
def test_more_text_is_never_fewer_tokens_and_never_more_than_its_characters(text: str, more: str) -> None:
    assert estimate_tokens(text) <= estimate_tokens(text + more) <= estimate_tokens(text) + len(more)


@given(TEXTS, TEXTS, st.integers(0, 40))
def test_the_longest_fit_is_the_longest_beginning_within_the_limit(
    before: str, text: str, limit: int
) -> None:
    counter = TokenCounter()
    counter.add(before)
    size = counter.longest_fit(text, limit)
    fitting = [n for n in range(len(text) + 1) if estimate_tokens(before + text[:n]) <= limit]
    assert size == max(fitting, default=0)
    assert counter.total == estimate_tokens(before)


def test_a_long_text_is_not_kept_until_somebody_asks() -> None:
    counter = TokenCounter()
    for _ in range(1000):
        counter.add("a sentence of words. ")
        assert len("".join(counter._pending)) <= 8192
    assert counter.total == estimate_tokens("a sentence of words. " * 1000)


def test_counting_a_long_text_stays_linear_however_it_is_cut() -> None:
    # Counted anew with each character, it takes half an hour; measured 0.06 s.
    text = ((CORPUS / "english.txt").read_text(encoding="utf-8") * 100)[:200_000]
    began = time.process_time()
    whole = estimate_tokens(text)
    counter = TokenCounter()
    for character in text:
        counter.add(character)
    assert counter.total == whole
    assert time.process_time() - began < 5


def test_a_prompt_is_its_texts_and_an_overhead_per_message() -> None:
    messages = (
        Message("system", (TextPart("Be brief."),)),
        Message("user", (TextPart("Hello"), ImagePart("https://example.org/cat.png")), name="Ada"),
        Message("assistant", tool_calls=(ToolCall("call_1", "look", '{"at":"cat"}'),)),
        Message("tool", (TextPart("a cat"),), tool_call_id="call_1"),
    )
    texts = ("Be brief.", "Hello", "Ada", "look", '{"at":"cat"}', "a cat")
    assert prompt_tokens(messages) == 4 * 4 + sum(map(estimate_tokens, texts))
    assert prompt_tokens(()) == 0


@given(st.text("ab Zé1.,(中🎉\n ", max_size=40))
def test_a_long_text_has_the_same_count_in_windows(text: str) -> None:
    long = text * 1_000
    counter = TokenCounter()
    counter.add(long)
    assert estimate_tokens(long) == counter.total


def test_a_prompt_is_counted_in_steps_that_add_up() -> None:
    messages = [Message("user", (TextPart("Hello, 世界! " * 20_000),)), Message("user", (TextPart("a"),))]
    whole, stepwise = PromptCount(messages, "the end"), PromptCount(messages, "the end")
    assert whole.is_long
    assert len(list(stepwise.steps())) > 10
    assert stepwise.total == whole.total == prompt_tokens(messages) + estimate_tokens("the end")
    assert not PromptCount(messages[1:]).is_long


def test_a_prompts_tools_are_counted_with_their_schemas() -> None:
    messages = (Message("user", (TextPart("Hello"),)),)
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    plain = count_prompt(ChatRequest(model="", messages=messages))
    tooled = count_prompt(
        ChatRequest(model="", messages=messages, tools=(Tool(name="weather", schema=schema),))
    )
    assert plain == estimate_tokens("Hello") + 4
    written = '{"type":"object","properties":{"city":{"type":"string"}}}'
    assert tooled - plain == estimate_tokens(f"weather:  {written}")

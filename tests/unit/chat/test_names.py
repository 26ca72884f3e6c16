"""What a model's name says: the upstream, the model or agent, and the words that count in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.names import ModelName, read_name

AGENT = "65c046a531d3fcb034918abe"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ModelName(whole="", base="")),
        (" GLM-5.3 ", ModelName(whole="glm-5.3", base="glm-5.3")),
        ("glm-5.3-think", ModelName(whole="glm-5.3-think", base="glm-5.3", mode="thinking")),
        ("glm-5.3_nosearch", ModelName(whole="glm-5.3_nosearch", base="glm-5.3", web_search=False)),
        ("glm-5.3:silent", ModelName(whole="glm-5.3:silent", base="glm-5.3", is_silent=True)),
        (
            "claude-opus-5-max",
            ModelName(whole="claude-opus-5-max", base="claude-opus-5", mode="deep_thinking"),
        ),
        ("qwen-max", ModelName(whole="qwen-max", base="qwen-max")),
        ("o3-search", ModelName(whole="o3-search", base="o3-search")),
        ("api/qwen-max", ModelName(whole="qwen-max", base="qwen", upstream="api", mode="deep_thinking")),
        ("web/glm-5.3", ModelName(whole="glm-5.3", base="glm-5.3", upstream="web")),
        ("webb/glm-5.3-think", ModelName(whole="webb/glm-5.3-think", base="webb/glm-5.3-think")),
        (f"{AGENT}-think", ModelName(whole=f"{AGENT}-think", base=AGENT, is_agent=True, mode="thinking")),
    ],
)
def test_a_name_is_read_word_by_word(name: str, expected: ModelName) -> None:
    assert read_name(name) == expected


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ("serach", "search"),
        ("seach", "search"),
        ("searchh", "search"),
        ("tihnk", "think"),
        ("thinkng", "thinking"),
        ("deepthinc", "deepthink"),
        ("nosaerch", "nosearch"),
        ("sillent", "silent"),
    ],
)
def test_a_misspelt_word_is_read_as_meant_and_named(part: str, word: str) -> None:
    read, right = read_name(f"glm-5.3-{part}"), read_name(f"glm-5.3-{word}")
    assert read.misspelt == ((part, word),)
    assert (read.base, read.mode, read.web_search, read.is_silent) == (
        *(right.base, right.mode, right.web_search, right.is_silent),
    )


@pytest.mark.parametrize(
    "part", ["flash", "flashx", "air", "turbo", "long", "mix", "nothink", "preview", "zeros"]
)
def test_another_word_stays_a_part_of_the_name(part: str) -> None:
    read = read_name(f"glm-5.3-{part}")
    assert (read.base, read.misspelt) == (f"glm-5.3-{part}", ())


def test_a_foreign_name_is_never_misspelt() -> None:
    assert read_name("o3-serach").misspelt == ()


@given(st.text(max_size=80))
def test_every_name_is_read(name: str) -> None:
    read = read_name(name)
    assert read.whole == read.whole.lower()
    assert read.mode is None or read.upstream or read.is_agent or read.whole.startswith(("glm", "claude"))

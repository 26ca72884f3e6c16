from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib.chat.answer import Answer
from lib.chat.events import (
    Citation,
    Failed,
    Finished,
    ImageMade,
    Notice,
    ReasoningDelta,
    ReplyEvent,
    Rewritten,
    TextDelta,
    ToolCallDelta,
    Usage,
    Withdrawn,
    visible_text,
)
from lib.chat.stages.meter import Meter
from lib.chat.stages.pipeline import Pipeline
from lib.chat.stages.silence import WithoutReasoning, WithoutSources
from lib.chat.stages.stop import StopSearch
from lib.chat.usage import estimate_tokens
from lib.errors import UpstreamTimeout

DONE = Finished("stop")
BROKEN = Failed(UpstreamTimeout("silent"))
SOURCE = Citation(1, "https://example.org/", "Example")
IMAGE = ImageMade("https://example.org/cat.png")


def limiter(*, stop: tuple[str, ...] = (), max_tokens: int | None = None, silent: bool = False) -> Pipeline:
    """The stages that make up for an upstream without limits, as a flow plans them."""
    before = [WithoutSources()] if silent else []
    search = [StopSearch(stop)] if any(stop) else []
    meter = Meter(max_tokens=max_tokens, prompt_tokens=lambda: 7)
    return Pipeline([*before, *search, meter, *([WithoutReasoning()] if silent else [])])


def fed_singly(limits: Pipeline, events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
    return [passed for event in events for passed in limits.feed([event])]


def visible(events: Sequence[ReplyEvent]) -> str:
    """The text as a client of a stream reads it."""
    return "".join(map(visible_text, events))


def accumulated(events: Sequence[ReplyEvent]) -> str:
    """The text as the reader of a whole answer gets it."""
    text = ""
    for event in events:
        text = visible(event.events) if isinstance(event, Rewritten) else text + visible_text(event)
    return text


def reasoning(events: Sequence[ReplyEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))


def before_stop(text: str, stops: Sequence[str]) -> str:
    return text[: min((found for stop in stops if (found := text.find(stop)) >= 0), default=len(text))]


def ending(events: Sequence[ReplyEvent]) -> Finished:
    assert isinstance(events[-1], Finished)
    assert not any(isinstance(event, (Finished, Failed)) for event in events[:-1])
    return events[-1]


# Few letters, so that beginnings and ends of stop sequences meet often.
LETTERS = st.text("ab\n", max_size=8)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=5), min_size=1, max_size=4).map(tuple)
CONTENT = st.one_of(
    LETTERS.map(TextDelta),
    LETTERS.map(TextDelta),
    st.sampled_from(
        [ReasoningDelta("hmm"), SOURCE, Citation(2, "https://example.org/2", "", marked=False), IMAGE]
    ),
    st.just(Notice("tool_failed")),
)
MARKED_STOPS = st.lists(
    st.one_of(
        st.text("ab\n[1]", min_size=1, max_size=5), st.sampled_from(["[1]", "![image](", "a[1", ")\na"])
    ),
    min_size=1,
    max_size=3,
).map(tuple)


class TestStop:
    @given(st.lists(LETTERS), STOPS)
    @example(["abab", "b"], ("abaa", "bb"))
    @example(["ab", "aa"], ("abab", "ba"))
    def test_the_text_ends_before_the_earliest_stop(
        self, fragments: list[str], stops: tuple[str, ...]
    ) -> None:
        text = "".join(fragments)
        limits = limiter(stop=stops)
        passed = fed_singly(limits, [*map(TextDelta, fragments), DONE])
        assert visible(passed) == before_stop(text, stops)
        assert ending(passed).reason == "stop"
        assert limits.is_done == any(stop in text for stop in stops)

    @given(st.lists(CONTENT), MARKED_STOPS, st.sampled_from([DONE, BROKEN]))
    def test_the_order_of_all_events_is_kept(
        self, events: list[ReplyEvent], stops: tuple[str, ...], end: ReplyEvent
    ) -> None:
        limits = limiter(stop=stops)
        passed = fed_singly(limits, [*events, end])
        kept = before_stop(visible(events), stops)
        assert visible(passed) == kept
        if not limits.is_done:
            assert unfragmented(passed[:-1]) == unfragmented(events)
            assert type(passed[-1]) is type(end)
        else:
            assert ending(passed).reason == "stop"
            assert unfragmented(passed[:-1]) == unfragmented(cut_to(events, len(kept)))

    @given(st.lists(CONTENT), st.lists(CONTENT), MARKED_STOPS)
    def test_a_rewritten_text_is_cut_too(
        self, first: list[ReplyEvent], second: list[ReplyEvent], stops: tuple[str, ...]
    ) -> None:
        told = tuple(e for e in first if isinstance(e, (TextDelta, ReasoningDelta, Citation, ImageMade)))
        limits = limiter(stop=stops)
        passed = fed_singly(limits, [TextDelta("c"), Rewritten(told), *second, DONE])
        kept = before_stop(visible(told) + visible(second), stops)
        assert accumulated(passed) == kept
        assert ending(passed).usage.completion_tokens == estimate_tokens(kept) + estimate_tokens(
            reasoning_of(passed)
        )

    @given(st.lists(LETTERS), STOPS)
    def test_only_what_may_begin_a_stop_is_held_back(
        self, fragments: list[str], stops: tuple[str, ...]
    ) -> None:
        limits = limiter(stop=stops)
        seen = passed = ""
        for fragment in fragments:
            seen += fragment
            passed += visible(limits.feed([TextDelta(fragment)]))
            if any(stop in seen for stop in stops):
                return
            held = [n for stop in stops for n in range(len(stop)) if seen.endswith(stop[:n])]
            assert len(seen) - len(passed) == max(held)

    @pytest.mark.parametrize("stop", ["^b", "]b", "-b", "\\b", ".b", "\x00b", "，b", "🎉b"])
    def test_a_stop_may_begin_with_any_sign(self, stop: str) -> None:
        passed = limiter(stop=(stop, "never")).feed([TextDelta(f"a{stop[0]}a{stop}c")])
        assert visible(passed) == f"a{stop[0]}a"

    def test_a_blank_line_can_be_a_stop(self) -> None:
        limits = limiter(stop=("\n\n",))
        assert limits.feed([TextDelta("one\n")]) == [TextDelta("one")]
        assert limits.feed([TextDelta("two\n")]) == [TextDelta("\n"), TextDelta("two")]
        assert not limits.is_done
        passed = limits.feed([TextDelta("\nthree"), DONE])
        assert passed == [Finished("stop", Usage(7, 3), "\n\n")]
        assert limits.is_done

    def test_an_earlier_start_is_waited_for(self) -> None:
        limits = limiter(stop=("abcd", "bc"))
        assert limits.feed([TextDelta("xabc")]) == [TextDelta("x")]
        assert limits.feed([TextDelta("d")])[:-1] == []

    @pytest.mark.parametrize("end", [DONE, BROKEN, Rewritten((TextDelta("y"),)), TextDelta("y")])
    def test_an_earlier_start_that_comes_to_nothing_leaves_the_stop_that_was_found(
        self, end: ReplyEvent
    ) -> None:
        limits = limiter(stop=("abcd", "bc"))
        passed = [*limits.feed([TextDelta("xabc")]), *limits.feed([end])]
        assert visible(passed) == "xa"
        assert ending(passed).reason == "stop"
        assert limits.is_done

    def test_reasoning_waits_behind_held_text(self) -> None:
        limits = limiter(stop=("STOP",))
        assert limits.feed([TextDelta("ST"), ReasoningDelta("STOP"), SOURCE]) == [
            TextDelta("ST"),
            ReasoningDelta("STOP"),
            SOURCE,
        ]
        assert limits.feed([TextDelta("ST"), ReasoningDelta("hm")]) == []
        assert limits.feed([TextDelta("AY")]) == [TextDelta("ST"), ReasoningDelta("hm"), TextDelta("AY")]

    def test_a_stop_within_a_marker_leaves_the_beginning_of_the_marker(self) -> None:
        passed = limiter(stop=("1]",)).feed([TextDelta("a"), SOURCE])
        assert passed[:-1] == [TextDelta("a"), TextDelta("[")]

    def test_a_failure_releases_what_is_held(self) -> None:
        assert limiter(stop=("STOP",)).feed([TextDelta("ST"), BROKEN]) == [TextDelta("ST"), BROKEN]

    def test_an_empty_stop_is_none(self) -> None:
        events: list[ReplyEvent] = [TextDelta("a")]
        assert limiter(stop=("",)).feed(events) is events

    def test_a_rewritten_text_is_held_while_it_may_end_in_a_stop(self) -> None:
        limits = limiter(stop=("STOP",))
        assert limits.feed([TextDelta("xS")]) == [TextDelta("x")]
        assert limits.feed([Rewritten((ReasoningDelta("hm"), TextDelta("y"), TextDelta("zST")))]) == [
            TextDelta("S")
        ]
        passed = limits.feed([TextDelta("OP")])
        assert passed[0] == Rewritten((ReasoningDelta("hm"), TextDelta("y"), TextDelta("z")))
        assert ending(passed).usage == Usage(7, 2, 1)

    def test_a_rewritten_text_may_begin_with_a_stop(self) -> None:
        passed = limiter(stop=("STOP",)).feed(
            [TextDelta("x"), Rewritten((TextDelta("STOP"),)), TextDelta("y")]
        )
        assert passed == [TextDelta("x"), Rewritten(()), Finished("stop", Usage(7, 0), "STOP")]

    def test_nothing_comes_after_the_stop(self) -> None:
        limits = limiter(stop=("STOP",))
        passed = limits.feed([TextDelta("aSTOP"), Rewritten((TextDelta("b"),)), SOURCE, DONE])
        assert passed == [TextDelta("a"), Finished("stop", Usage(7, 1), "STOP")]
        assert limits.feed([Rewritten((TextDelta("b"),)), DONE]) == []

    def test_no_character_is_searched_twice(self) -> None:
        # Looked for anew with each delta, it takes minutes; measured 0.1 s.
        limits = limiter(stop=("a" * 20_000 + "b", "a" * 20_000 + "c"))
        began = time.process_time()
        for _ in range(30_000):
            limits.feed([TextDelta("a")])
        assert time.process_time() - began < 10
        assert not limits.is_done


def unfragmented(events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
    """Equal for equal sequences of events, however their text was divided."""
    whole: list[ReplyEvent] = []
    for event in events:
        if isinstance(event, TextDelta) and whole and isinstance(whole[-1], TextDelta):
            whole[-1] = TextDelta(whole[-1].text + event.text)
        elif event != TextDelta(""):
            whole.append(event)
    return whole


def cut_to(events: Sequence[ReplyEvent], size: int) -> list[ReplyEvent]:
    """The events of the first characters: those without text just before the cut are among them."""
    kept: list[ReplyEvent] = []
    for event in events:
        text = visible_text(event)
        if len(text) > size:
            return [*kept, TextDelta(text[:size])]
        kept.append(event)
        size -= len(text)
    return kept


def reasoning_of(events: Sequence[ReplyEvent]) -> str:
    text = ""
    for event in events:
        text = reasoning(event.events) if isinstance(event, Rewritten) else text + reasoning([event])
    return text


PROSE = st.text(st.sampled_from("ab Z1,\n中🎉"), max_size=12)


class TestMaxTokens:
    @given(
        st.lists(st.one_of(PROSE.map(TextDelta), PROSE.map(ReasoningDelta))),
        st.integers(1, 25),
        st.booleans(),
    )
    def test_the_reply_is_cut_at_the_last_character_that_fits(
        self, events: list[ReplyEvent], max_tokens: int, silent: bool
    ) -> None:
        limits = limiter(max_tokens=max_tokens, silent=silent)
        passed = fed_singly(limits, [*events, DONE])
        kept = cut_by_hand(events, max_tokens)
        assert limits.is_done == (kept != characters(events))
        assert visible(passed) == visible(kept)
        assert reasoning(passed) == ("" if silent else reasoning(kept))
        thought = estimate_tokens(reasoning(kept))
        total = estimate_tokens(visible(kept)) + thought
        assert total <= max_tokens
        end = ending(passed)
        assert end.usage == Usage(7, total, thought)
        assert end.reason == ("length" if limits.is_done else "stop")

    @given(st.lists(PROSE), st.lists(PROSE), st.integers(1, 12))
    def test_a_rewritten_text_counts_in_place_of_the_first(
        self, first: list[str], second: list[str], max_tokens: int
    ) -> None:
        limits = limiter(max_tokens=max_tokens)
        began = limits.feed([*map(TextDelta, first)])
        if limits.is_done:
            return
        passed = began + limits.feed([Rewritten(tuple(map(TextDelta, second))), DONE])
        kept = visible(cut_by_hand([*map(TextDelta, second)], max_tokens))
        assert accumulated(passed) == kept
        assert ending(passed).usage == Usage(7, estimate_tokens(kept))

    def test_a_marker_an_image_and_a_call_are_passed_whole_or_not_at_all(self) -> None:
        call = ToolCallDelta(0, '{"city": "Paris"}', id="call_1", name="get_weather")
        for event in (SOURCE, IMAGE, call):
            limits = limiter(max_tokens=3)
            passed = limits.feed([TextDelta("one two"), event])
            assert passed == [TextDelta("one two"), Finished("length", Usage(7, 2))]

    def test_a_call_in_pieces_is_passed_whole_or_not_at_all(self) -> None:
        pieces: list[ReplyEvent] = [
            ToolCallDelta(0, "", id="call_1", name="look"),
            ToolCallDelta(0, '{"city": "Paris", "day": "Monday"}'),
        ]
        assert limiter(max_tokens=3).feed([*pieces, DONE]) == [Finished("length", Usage(7, 0))]
        assert limiter(max_tokens=99).feed([*pieces, DONE])[:2] == pieces

    def test_tool_calls_count(self) -> None:
        call = ToolCallDelta(0, '{"city": "Paris"}', name="get_weather")
        tokens = estimate_tokens("get_weather" + call.arguments)
        (_, _, end) = limiter(max_tokens=50).feed([call, ToolCallDelta(0, ""), DONE])
        assert end == Finished("stop", Usage(7, tokens))

    def test_the_stop_decides_when_it_comes_before_the_limit(self) -> None:
        assert limiter(stop=("three",), max_tokens=2).feed(
            [TextDelta("one two"), TextDelta("three four")]
        ) == [
            TextDelta("one two"),
            Finished("stop", Usage(7, 2), "three"),
        ]
        assert limiter(stop=("four",), max_tokens=2).feed([TextDelta("one two three four")]) == [
            TextDelta("one two"),
            Finished("length", Usage(7, 2)),
        ]

    def test_nothing_comes_after_the_limit(self) -> None:
        limits = limiter(max_tokens=1)
        rest: list[ReplyEvent] = [Rewritten((TextDelta("four"),)), SOURCE, BROKEN]
        assert limits.feed([TextDelta("one two three"), *rest]) == [
            TextDelta("one"),
            Finished("length", Usage(7, 1)),
        ]
        assert limits.feed(rest) == []


def characters(events: Sequence[ReplyEvent]) -> list[ReplyEvent]:
    return [type(e)(c) for e in events if isinstance(e, (TextDelta, ReasoningDelta)) for c in e.text]


def cut_by_hand(events: Sequence[ReplyEvent], max_tokens: int) -> list[ReplyEvent]:
    """Add character by character, and count everything each time."""
    kept: list[ReplyEvent] = []
    for character in characters(events):
        kept.append(character)
        if estimate_tokens(visible(kept)) + estimate_tokens(reasoning(kept)) > max_tokens:
            return kept[:-1]
    return kept


class TestSilent:
    def test_reasoning_and_sources_are_dropped_and_reasoning_still_counts(self) -> None:
        limits = limiter(silent=True)
        rewritten = Rewritten((ReasoningDelta("so"), TextDelta("c"), SOURCE, IMAGE))
        passed = limits.feed([ReasoningDelta("well, well"), TextDelta("a"), SOURCE, TextDelta("b"), IMAGE])
        assert passed == [TextDelta("a"), TextDelta("b"), IMAGE]
        passed = limits.feed([rewritten, ReasoningDelta("so"), DONE])
        assert passed[0] == Rewritten((TextDelta("c"), IMAGE))
        assert ending(passed).usage == Usage(7, 1 + estimate_tokens("c" + IMAGE.markdown), 1)
        assert not limits.is_done

    def test_a_stop_is_found_where_a_marker_was_dropped(self) -> None:
        passed = limiter(silent=True, stop=("ab",)).feed([TextDelta("xa"), SOURCE, TextDelta("b")])
        assert visible(passed) == "x"

    def test_reasoning_that_is_not_shown_may_use_up_the_limit(self) -> None:
        passed = limiter(silent=True, max_tokens=2).feed([ReasoningDelta("one two three"), TextDelta("a")])
        assert passed == [Finished("length", Usage(7, 2, 2))]


class TestNoLimits:
    def test_the_same_list_comes_back(self) -> None:
        limits = limiter()
        events: list[ReplyEvent] = [
            ReasoningDelta("hm"),
            TextDelta("a"),
            SOURCE,
            IMAGE,
            Notice("tool_failed"),
        ]
        assert limits.feed(events) is events
        assert limits.feed(tuple(events)) == events
        assert limits.feed([]) == []
        assert not limits.is_done

    def test_the_usage_is_filled_in(self) -> None:
        call = ToolCallDelta(0, "{}", name="look")
        said: list[ReplyEvent] = [
            ReasoningDelta("well, well"),
            TextDelta("two wo"),
            TextDelta("rds"),
            SOURCE,
            call,
        ]
        passed = limiter().feed([*said, Finished("tool_calls")])
        tokens = 3 + estimate_tokens("two words[1]") + estimate_tokens("look{}")
        assert passed == [*said, Finished("tool_calls", Usage(7, tokens, 3))]

    def test_a_rewritten_reply_counts_in_place_of_the_first(self) -> None:
        rewritten = Rewritten((ReasoningDelta("so"), TextDelta("one "), SOURCE))
        passed = limiter().feed(
            [ReasoningDelta("a b c"), TextDelta("a b c"), rewritten, TextDelta("two"), DONE]
        )
        assert ending(passed).usage == Usage(7, 1 + estimate_tokens("one [1]two"), 1)

    def test_a_failure_passes(self) -> None:
        assert limiter().feed([TextDelta("a"), BROKEN]) == [TextDelta("a"), BROKEN]


class TestWithdrawal:
    """Moderation's words are not the model's: an answer that is withdrawn is never reported as complete."""

    WORDS = "Let us talk about something else."
    TOLD: tuple[ReplyEvent, ...] = (
        Withdrawn(WORDS),
        Finished("content_filter"),
    )

    @pytest.mark.parametrize("limits", [limiter(stop=("\n\n", "talk")), limiter(max_tokens=3), limiter()])
    def test_no_limit_cuts_it(self, limits: Pipeline) -> None:
        passed = [*limits.feed([TextDelta("one ")]), *limits.feed([TextDelta("two\n"), *self.TOLD])]
        assert visible(passed) == "one two\n"
        assert passed[-2] == Withdrawn(self.WORDS)
        assert Answer(passed).text == self.WORDS
        tokens = estimate_tokens(self.WORDS)
        assert ending(passed) == Finished("content_filter", Usage(7, tokens))
        assert not limits.is_done

    def test_a_limit_that_was_reached_before_it_stands(self) -> None:
        passed = limiter(stop=("STOP",)).feed([TextDelta("aSTOP"), *self.TOLD])
        assert passed == [TextDelta("a"), Finished("stop", Usage(7, 1), "STOP")]
        passed = limiter(stop=("abcd", "bc")).feed([TextDelta("abc"), *self.TOLD])
        assert passed == [TextDelta("a"), Finished("stop", Usage(7, 1), "bc")]
        passed = limiter(stop=(" two three",), max_tokens=1).feed([TextDelta("one two"), *self.TOLD])
        assert passed == [TextDelta("one"), Finished("length", Usage(7, 1))]

    def test_it_may_come_without_words(self) -> None:
        silent = (Withdrawn(), Finished("content_filter"))
        passed = limiter(stop=("c",)).feed([TextDelta("ab"), *silent])
        assert passed == [TextDelta("ab"), Withdrawn(), Finished("content_filter", Usage(7, 0))]
        assert limiter(stop=("c",)).feed(silent)[0] == Withdrawn()
        passed = limiter(stop=("c",)).feed([Finished("content_filter")])
        assert passed == [Finished("content_filter", Usage(7, 0))]
        passed = limiter(stop=("c",)).feed([TextDelta("ab"), Finished("content_filter")])
        assert passed == [TextDelta("ab"), Finished("content_filter", Usage(7, 1))]

"""How long a reply may be silent, and its ending then."""

from __future__ import annotations

from lib.chat.events import Failed, Finished, Notice, TextDelta
from lib.errors import UpstreamTimeout
from lib.upstreams.silence import Silence


def timeout_of(silence: Silence) -> str:
    ending = silence.ending()
    assert isinstance(ending, Failed)
    assert isinstance(ending.error, UpstreamTimeout)
    return ending.error.message


def test_the_ending_tells_how_far_the_turn_has_come() -> None:
    silence = Silence(first_content_s=5, idle_s=2, stop_at=100.0)
    silence.begin(0.0)
    silence.hear([Notice("x")], 1.0)
    assert silence.until == 3.0
    assert timeout_of(silence).startswith("The upstream said nothing for 5 s")
    silence.hear([TextDelta("Hi")], 2.0)
    assert timeout_of(silence) == "The upstream fell silent for 2 s in mid-answer."


def test_at_the_hosts_end_only_a_turn_with_words_is_an_answer() -> None:
    silence = Silence(first_content_s=5, idle_s=5, stop_at=4.0)
    silence.begin(0.0)
    silence.hear([TextDelta("Hi")], 0.0)
    assert silence.ending() == Finished("length")
    silence.begin(1.0)
    assert timeout_of(silence).startswith("The host ends this request")
    assert silence.has_content, "the reply has some, from the turn before"
    silence.hear([TextDelta("Hi again")], 2.0)
    assert silence.ending() == Finished("length")

"""scripts/support/prose.py: it finds hard words, first words and names, and fails above the limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.support.prose import (
    Finding,
    Limits,
    Passage,
    forbidden_names,
    main,
    measure,
    passages_of,
    report,
)

PLAIN = "The client sends a body. The upstream answers with a stream."


def measured_text(text: str) -> Passage:
    return Passage("a.py", 1, text)


@pytest.mark.parametrize(
    ("text", "relatives"),
    [
        ("It returns what is left.", 1),
        ("It returns what comes first.", 1),
        ("It returns what they sent.", 1),
        ("It returns what\nmatched here.", 1),
        ("The caller who asks waits.", 1),
        ("It serves whoever waits.", 1),
        ("It says what files the client sent.", 0),
        ("It says what the client sent.", 0),
        ("`what is` a piece of code.", 0),
        (PLAIN, 0),
    ],
)
def test_a_free_relative_is_one_of_three_words_before_a_verb_or_a_pronoun(text: str, relatives: int) -> None:
    assert measure([measured_text(text)]).relatives == relatives


def test_each_of_the_eleven_words_counts_once() -> None:
    words = "who, whom, whose, what, whatever, whoever, which, nobody, anybody, somebody, none"
    assert measure([measured_text(words)]).hard_words == 11
    assert measure([measured_text("Who and What. None of them.")]).hard_words == 3
    assert measure([measured_text(PLAIN)]).hard_words == 0


def test_pythons_none_is_no_hard_word() -> None:
    assert measure([measured_text("Return the position, or None. None is no answer.")]).hard_words == 0


def test_the_figures_are_for_a_thousand_and_for_a_hundred_words() -> None:
    measured = measure([measured_text("see what is " + "word " * 497)])
    assert measured.words == 500
    assert measured.relatives_per_1000 == 2.0
    assert measured.hard_words_per_100 == 0.2


@pytest.mark.parametrize("word", ["What", "Who", "Where", "Whether", "Of"])
def test_a_sentence_must_not_begin_with_such_a_word(word: str) -> None:
    first = measure([measured_text(f"{word} the client sends, goes up.")])
    second = measure([measured_text(f"The client sends it. {word} it then\ndoes, see there.")])
    third = measure([measured_text(f"A list:\n\n- {word} the client sends.")])
    assert [len(case.first_words) for case in (first, second, third)] == [1, 1, 1]
    assert second.first_words[0].words == f"{word} it then does, see there."


def test_such_a_word_in_the_middle_of_a_sentence_is_no_first_word() -> None:
    assert not measure([measured_text("A list of\nfiles (e.g. of texts), whatever")]).first_words
    assert not measure([measured_text("Offer it. Whatsoever.")]).first_words


def test_docstrings_notes_of_constants_and_comments_are_read_and_other_texts_are_not() -> None:
    source = '''"""The module."""
LIMIT = 3
"""The constant."""


class Value:
    """The class."""

    field: int = 3
    """The field."""


def act() -> str:
    """The function."""
    # The comment,
    # on two lines.
    here = 1  # The comment behind.
    # The next comment.
    return "not read" + str(here)  # noqa: S105 - The reason.
'''
    assert [(passage.line, passage.text) for passage in passages_of(source, "a.py")] == [
        (1, "The module."),
        (3, "The constant."),
        (7, "The class."),
        (10, "The field."),
        (14, "The function."),
        (15, "The comment,\non two lines."),
        (17, "The comment behind."),
        (18, "The next comment."),
        (19, "The reason."),
    ]


def test_directives_for_tools_are_no_prose() -> None:
    source = "import a  # noqa: F401\nimport b  # type: ignore[import]\nimport c  # pragma: no cover\n"
    assert measure(passages_of(source, "a.py")).words == 0


def test_a_constant_is_max_or_min_whatever_its_room() -> None:
    source = (
        "MOST_BYTES = 1\n_LEAST_WAIT_S: float = 2\nclass A:\n    LONGEST_NAME = 3\n"
        "MAX_BYTES = MOST_BYTES\nALMOST_ALL = 4\nmost_of_it = 5\n"
    )
    names = [(name.line, name.words) for name in forbidden_names(source, "a.py")]
    assert names == [(1, "MOST_BYTES"), (2, "_LEAST_WAIT_S"), (4, "LONGEST_NAME")]


def test_a_figure_at_its_limit_fails_and_one_below_it_passes() -> None:
    limits = Limits(relatives_per_1000=2.0, hard_words_per_100=0.2)
    assert len(measure([measured_text("see what is " + "word " * 497)]).failures(limits)) == 2
    assert not measure([measured_text("see what is " + "word " * 498)]).failures(limits)


def test_every_rule_fails_by_itself() -> None:
    name = Finding(1, "a.py", 1, "MOST_BYTES")
    broken = {
        "free relatives": measure([measured_text("Say what is left. " + PLAIN * 20)]),
        "which": measure([measured_text("A file which it reads. " + PLAIN)]),
        "sentences begin": measure([measured_text("Of course. " + PLAIN)]),
        "constants begin": measure([measured_text(PLAIN)], [name]),
    }
    for words, measured in broken.items():
        failures = measured.failures(Limits(relatives_per_1000=1.0, hard_words_per_100=3.0))
        assert [words in failure for failure in failures] == [True], (words, failures)
    assert not measure([measured_text(PLAIN)]).failures(Limits())


def test_the_report_begins_with_the_figures_and_the_worst_places() -> None:
    passages = [
        Passage("a.py", 3, "It is the one which matters."),
        Passage("b.py", 7, "It tells whoever asks what is left."),
        Passage("c.py", 9, "Of course."),
    ]
    lines = list(report(measure(passages, [Finding(1, "d.py", 2, "MOST_X")])))
    assert lines == [
        "15 words; 133.33 free relatives in 1,000; 20.00 of who, what, which, none … in 100",
        "b.py:7: whoever asks, what is, whoever, what",
        "a.py:3: which",
        "c.py:9: Of course.  (a sentence's first word)",
        "d.py:2: MOST_X  (a constant's name)",
    ]
    assert len(list(report(measure(passages), shown=1))) == 3


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    file = tmp_path / "wrong.py"
    file.write_text('"""What is here."""\nMOST_BYTES = 1\n')
    return file


def test_the_check_fails_and_names_the_place(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(wrong)]) == 1
    printed = capsys.readouterr().out
    assert f"{wrong}:1: What is, What" in printed
    assert f"{wrong}:2: MOST_BYTES" in printed


def test_the_report_never_fails(wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", str(wrong.parent)]) == 0
    assert "prose: 1 constants begin with" in capsys.readouterr().out


def test_the_check_passes_a_plain_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plain.py").write_text(f'"""{PLAIN}"""\nMAX_BYTES = 1\n')
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("11 words; 0.00 free relatives")

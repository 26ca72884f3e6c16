"""The line without any event loop: exclusion, order, and nothing that stays behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lib.upstreams.chatglm.accounts.cooldowns import Cooling
from lib.upstreams.chatglm.accounts.line import MAX_REMEMBERED, Line, Waiter
from tests.unit.upstreams.chatglm.accounts.fakes import make_account

ACCOUNTS = {name: make_account(name) for name in "abc"}
LABELS = {name: account.label for name, account in ACCOUNTS.items()}
NOW = 1000.0


def waiter_for(line: Line, names: str) -> Waiter:
    waiter = Waiter(tuple(ACCOUNTS[name] for name in names))
    line.join(waiter)
    return waiter


def taken(line: Line, waiter: Waiter) -> str | None:
    account = line.take(waiter, set(), NOW)
    return account.uid if account is not None else None


def test_the_least_recently_used_is_taken_and_among_equals_the_first_given() -> None:
    line = Line()
    order = []
    for _ in range(7):
        waiter = waiter_for(line, "bac")
        name = taken(line, waiter)
        assert name is not None
        order.append(name)
        line.leave(waiter, NOW)
        line.note_use(LABELS[name])
        line.hand_on(LABELS[name], NOW)
        if len(order) == 3:
            line.note_use(LABELS["b"])
    assert "".join(order) == "bacacba"


def test_what_is_taken_or_tried_is_not_taken_again() -> None:
    line = Line()
    first, second = waiter_for(line, "a"), waiter_for(line, "ab")
    assert taken(line, first) == "a"
    assert line.is_taken(LABELS["a"])
    assert line.take(second, {LABELS["b"]}, NOW) is None
    assert taken(line, second) == "b"


def test_what_is_handed_on_goes_to_the_first_who_waits_for_it() -> None:
    line = Line()
    holder, other, first, second = (waiter_for(line, names) for names in ("a", "b", "ab", "a"))
    for waiter in (other, first, second):
        waiter.is_idle = True
    assert taken(line, holder) == "a"
    line.leave(holder, NOW)
    line.hand_on(LABELS["a"], NOW)
    assert [waiter.granted for waiter in (other, first, second)] == [None, ACCOUNTS["a"], None]
    assert line.is_taken(LABELS["a"])
    assert taken(line, first) == "a"
    assert first.granted is None


def test_who_was_handed_something_is_not_handed_more() -> None:
    line = Line()
    first, second = waiter_for(line, "ab"), waiter_for(line, "ab")
    first.is_idle = second.is_idle = True
    line.hand_on(LABELS["a"], NOW)
    line.hand_on(LABELS["b"], NOW)
    assert (first.granted, second.granted) == (ACCOUNTS["a"], ACCOUNTS["b"])


def test_who_leaves_passes_on_what_was_handed_over() -> None:
    line = Line()
    first, second = waiter_for(line, "a"), waiter_for(line, "a")
    first.is_idle = second.is_idle = True
    line.hand_on(LABELS["a"], NOW)
    line.leave(first, NOW)
    assert second.granted == ACCOUNTS["a"]
    line.leave(second, NOW)
    assert not line.is_taken(LABELS["a"])
    assert len(line) == 0


def test_who_asks_the_store_just_now_is_passed_over_and_keeps_nobody_waiting() -> None:
    line = Line()
    holder, asking = waiter_for(line, "b"), waiter_for(line, "ab")
    idle, newcomer = waiter_for(line, "b"), waiter_for(line, "a")
    assert taken(line, holder) == "b"
    idle.is_idle = True
    line.hand_on(LABELS["b"], NOW)
    assert idle.granted == ACCOUNTS["b"]
    assert taken(line, newcomer) == "a"
    assert taken(line, asking) is None


def test_a_newcomer_does_not_take_what_an_earlier_one_waits_for() -> None:
    line = Line()
    earlier, newcomer = waiter_for(line, "a"), waiter_for(line, "ab")
    earlier.is_idle = True  # although a is free: another process had it
    assert line.take(newcomer, {LABELS["b"]}, NOW) is None
    assert taken(line, earlier) == "a"


def test_an_earlier_one_who_was_handed_something_else_keeps_nobody_waiting() -> None:
    line = Line()
    earlier, newcomer = waiter_for(line, "ab"), waiter_for(line, "b")
    earlier.is_idle = True
    earlier.granted = ACCOUNTS["a"]
    assert taken(line, newcomer) == "b"


def test_what_an_earlier_one_cannot_use_is_free_for_the_next() -> None:
    line = Line()
    earlier, newcomer = waiter_for(line, "a"), waiter_for(line, "a")
    earlier.is_idle = True
    earlier.cooling[LABELS["a"]] = Cooling(NOW + 1, "refused")
    assert taken(line, newcomer) == "a"
    newcomer.is_idle = True
    line.hand_on(LABELS["a"], NOW)
    assert newcomer.granted == ACCOUNTS["a"]
    line.take(newcomer, set(), NOW)
    newcomer.is_idle = False
    line.hand_on(LABELS["a"], NOW + 1)
    assert earlier.granted == ACCOUNTS["a"]


def test_what_is_put_back_is_free_and_wakes_nobody() -> None:
    line = Line()
    taker, idle = waiter_for(line, "a"), waiter_for(line, "a")
    assert taken(line, taker) == "a"
    idle.is_idle = True
    line.put_back(LABELS["a"])
    assert idle.granted is None
    assert not line.is_taken(LABELS["a"])


def test_the_memory_of_uses_is_bounded() -> None:
    line = Line()
    line.note_use("again")
    for number in range(MAX_REMEMBERED - 1):
        line.note_use(str(number))
    line.note_use("again")
    line.note_use("one more")
    assert len(line._last_used) == MAX_REMEMBERED
    assert "again" in line._last_used
    assert "0" not in line._last_used


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "take", "idle", "put back", "hand on", "leave", "wake"]),
        st.integers(0, 5),
        st.sampled_from(["a", "b", "ab", "ba", "abc"]),
    ),
    max_size=60,
)


@given(STEPS)
def test_nothing_is_ever_held_twice_or_lost(steps: list[tuple[str, int, str]]) -> None:
    line = Line()
    waiting: list[Waiter] = []
    held: list[str] = []
    for what, number, names in steps:
        waiter = waiting[number % len(waiting)] if waiting else None
        if what == "join":
            waiting.append(waiter_for(line, names))
        elif what == "hand on" and held:
            line.hand_on(held.pop(0), NOW)
        elif what == "put back" and held:
            line.put_back(held.pop(0))
        elif waiter is None:
            continue
        elif what == "leave":
            line.leave(waiter, NOW)
            waiting.remove(waiter)
        elif what == "idle":
            waiter.is_idle = True
        elif what in ("take", "wake"):
            waiter.is_idle = False
            account = line.take(waiter, set(), NOW)
            if account is not None:
                held.append(account.label)
        granted = [waiter.granted.label for waiter in waiting if waiter.granted is not None]
        assert sorted(held + granted) == sorted(line._taken)  # each once, none unaccounted for
        assert len(line) == len(waiting)

"""When a daemon looks again at what Neon is doing."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.pace import LONGEST_SECONDS, SHORTEST_SECONDS, WINDOW, Pace, seconds_taken
from specs.neon import Operation

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def _looks(pace: Pace, took: float) -> list[float]:
    """When a create that takes so long is looked at; the last look finds it done."""
    looks = [pace.next_look(0.0)]
    while looks[-1] < took:
        looks.append(looks[-1] + pace.next_look(looks[-1]))
    return looks


def test_who_knows_nothing_looks_ever_less_often() -> None:
    assert _looks(Pace(), 10.0) == [1.0, 2.0, 3.0, 4.5, 6.75, 10.125]
    assert Pace().next_look(3600.0) == LONGEST_SECONDS


@pytest.mark.parametrize(("low", "high", "operations"), [(1.0, 2.0, 1), (1.0, 2.0, 2), (0.1, 0.4, 2), (5.0, 9.0, 1)])
def test_who_has_learned_looks_seldom_and_in_time(low: float, high: float, operations: int) -> None:
    """Fewer than 1.7 requests a create, and its end is seen within a third of its time."""
    chance, pace = random.Random(7), Pace()
    looked, late, whole = 0, 0.0, 0.0
    for _ in range(400):
        took = sum(chance.uniform(low, high) for _ in range(operations))
        looks = _looks(pace, took)
        looked, late, whole = looked + len(looks), late + looks[-1] - took, whole + took
        pace = pace.with_another(took)
    assert looked / 400 <= 1.7
    assert late / whole <= 1 / 3


def test_a_change_of_neons_times_is_learned_both_ways() -> None:
    slow = Pace((8.0,) * WINDOW)
    assert _looks(slow, 0.5) == [8.0]
    fast = slow
    for _ in range(WINDOW):
        fast = fast.with_another(0.5)
    assert _looks(fast, 0.5) == [0.5]
    assert _looks(fast, 8.0)[:4] == [0.5, 1.5, 2.5, 3.75]


def test_a_create_that_was_seen_to_end_after_an_outage_teaches_no_outage() -> None:
    """Neither one whose times Neon says, in whole seconds, nor one whose times nobody knows holds up the next one."""
    day = 86_400.0
    assert _looks(Pace().with_another(seconds_taken([_operation(0, 0)], day)), 0.5) == [1.0]
    assert _looks(Pace().with_another(seconds_taken([], day)), 0.5) == [LONGEST_SECONDS]


def test_a_create_is_forgotten_when_thirty_two_came_after_it() -> None:
    pace = Pace((8.0,))
    for _ in range(31):
        pace = pace.with_another(0.5)
    assert _looks(pace, 8.0) == [0.5, 8.0]
    assert _looks(pace.with_another(0.5), 8.0)[:2] == [0.5, 1.5]


def test_the_looks_come_when_most_and_nearly_all_and_all_were_done() -> None:
    """Of eleven creates: after the seventh, the ninth and the last."""
    assert _looks(Pace(tuple(float(took) for took in range(11, 0, -1))), 11.0) == [7.0, 9.0, 11.0]


@pytest.mark.parametrize(("elapsed", "seconds"), [(0.5, 0.5), (0.75, 0.25), (0.9, 0.25), (0.95, 1.0), (1.0, 1.0)])
def test_two_looks_are_never_right_behind_each_other(elapsed: float, seconds: float) -> None:
    """A look a twentieth of a second too early is the planned one; the next is a second later."""
    assert Pace((1.0,)).next_look(elapsed) == seconds


@pytest.mark.parametrize(("pace", "elapsed"), [(Pace((86_400.0,)), 0.0), (Pace(), 86_400.0)])
def test_a_look_is_at_most_a_quarter_of_a_minute_away(pace: Pace, elapsed: float) -> None:
    assert pace.next_look(elapsed) == 15.0


@given(st.lists(st.floats(0, 1e6), max_size=50), st.floats(0, 1e6))
def test_a_next_look_always_comes(took: list[float], elapsed: float) -> None:
    pace = Pace()
    for one in took:
        pace = pace.with_another(one)
    assert len(pace.took) <= WINDOW
    assert SHORTEST_SECONDS <= pace.next_look(elapsed) <= LONGEST_SECONDS


def _operation(begun: float | None, ended: float | None) -> Operation:
    def at(seconds: float | None) -> datetime | None:
        return None if seconds is None else NOW + timedelta(seconds=seconds)

    return Operation(id="op", created_at=at(begun), updated_at=at(ended))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([(0, 1.5), (0, 2.5)], 2.5),
        ([(0, 1.5), (1.5, 2.5)], 2.5),
        ([(1.5, 2.5), (0, 1.5)], 2.5),
        ([(0, 2.0), (3.0, None)], 2.0),
        ([(None, 0), (1.0, 4.0)], 3.0),
        ([(0, 60)], 5.0),
        ([(0, 0), (0, 0)], 1.0),
        ([(None, 2.0)], 5.0),
        ([(3.0, 2.0)], 5.0),
        ([], 5.0),
    ],
)
def test_neons_clock_says_how_long_it_took_where_it_says_anything(
    times: list[tuple[float | None, float | None]], expected: float
) -> None:
    assert seconds_taken([_operation(*one) for one in times], 5.0) == expected


def test_a_time_that_cannot_be_read_is_no_error() -> None:
    told = {"id": "op", "status": "finished", "created_at": "soon", "updated_at": "2026-11-24T00:00:00Z"}
    assert Operation.model_validate(told).created_at is None
    assert Operation.model_validate(told).updated_at == NOW

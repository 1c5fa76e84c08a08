"""When a daemon looks again at what Neon is doing."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.poll_interval import (
    MAX_POLL_SECONDS,
    MIN_POLL_SECONDS,
    WINDOW,
    AdaptivePollInterval,
    operation_duration,
)
from specs.neon import Operation

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def _looks(pace: AdaptivePollInterval, took: float) -> list[float]:
    """When a create that takes so long is looked at; the last look finds it done."""
    looks = [pace.next_poll(0.0)]
    while looks[-1] < took:
        looks.append(looks[-1] + pace.next_poll(looks[-1]))
    return looks


def test_who_knows_nothing_looks_ever_less_often() -> None:
    assert _looks(AdaptivePollInterval(), 10.0) == [1.0, 2.0, 3.0, 4.5, 6.75, 10.125]
    assert AdaptivePollInterval().next_poll(3600.0) == MAX_POLL_SECONDS


@pytest.mark.parametrize(("low", "high", "operations"), [(1.0, 2.0, 1), (1.0, 2.0, 2), (0.1, 0.4, 2), (5.0, 9.0, 1)])
def test_who_has_learned_looks_seldom_and_in_time(low: float, high: float, operations: int) -> None:
    """Fewer than 1.7 requests a create, and its end is seen within a third of its time."""
    chance, pace = random.Random(7), AdaptivePollInterval()
    looked, late, whole = 0, 0.0, 0.0
    for _ in range(400):
        took = sum(chance.uniform(low, high) for _ in range(operations))
        looks = _looks(pace, took)
        looked, late, whole = looked + len(looks), late + looks[-1] - took, whole + took
        pace = pace.with_sample(took)
    assert looked / 400 <= 1.7
    assert late / whole <= 1 / 3


def test_a_change_of_neons_times_is_learned_both_ways() -> None:
    slow = AdaptivePollInterval((8.0,) * WINDOW)
    assert _looks(slow, 0.5) == [8.0]
    fast = slow
    for _ in range(WINDOW):
        fast = fast.with_sample(0.5)
    assert _looks(fast, 0.5) == [0.5]
    assert _looks(fast, 8.0)[:4] == [0.5, 1.5, 2.5, 3.75]


def test_a_create_that_was_seen_to_end_after_an_outage_teaches_no_outage() -> None:
    """Neither one whose times Neon says, in whole seconds, nor one whose times nobody knows holds up the next one."""
    day = 86_400.0
    assert _looks(AdaptivePollInterval().with_sample(operation_duration([_operation(0, 0)], day)), 0.5) == [1.0]
    assert _looks(AdaptivePollInterval().with_sample(operation_duration([], day)), 0.5) == [MAX_POLL_SECONDS]


def test_a_create_is_forgotten_when_thirty_two_came_after_it() -> None:
    pace = AdaptivePollInterval((8.0,))
    for _ in range(31):
        pace = pace.with_sample(0.5)
    assert _looks(pace, 8.0) == [0.5, 8.0]
    assert _looks(pace.with_sample(0.5), 8.0)[:2] == [0.5, 1.5]


def test_the_looks_come_when_most_and_nearly_all_and_all_were_done() -> None:
    """Of eleven creates: after the seventh, the ninth and the last."""
    assert _looks(AdaptivePollInterval(tuple(float(took) for took in range(11, 0, -1))), 11.0) == [7.0, 9.0, 11.0]


@pytest.mark.parametrize(("elapsed", "seconds"), [(0.5, 0.5), (0.75, 0.25), (0.9, 0.25), (0.95, 1.0), (1.0, 1.0)])
def test_two_looks_are_never_right_behind_each_other(elapsed: float, seconds: float) -> None:
    """A look a twentieth of a second too early is the planned one; the next is a second later."""
    assert AdaptivePollInterval((1.0,)).next_poll(elapsed) == seconds


@pytest.mark.parametrize(
    ("pace", "elapsed"), [(AdaptivePollInterval((86_400.0,)), 0.0), (AdaptivePollInterval(), 86_400.0)]
)
def test_a_look_is_at_most_a_quarter_of_a_minute_away(pace: AdaptivePollInterval, elapsed: float) -> None:
    assert pace.next_poll(elapsed) == 15.0


@given(st.lists(st.floats(0, 1e6), max_size=50), st.floats(0, 1e6))
def test_a_next_look_always_comes(took: list[float], elapsed: float) -> None:
    pace = AdaptivePollInterval()
    for one in took:
        pace = pace.with_sample(one)
    assert len(pace.samples) <= WINDOW
    assert MIN_POLL_SECONDS <= pace.next_poll(elapsed) <= MAX_POLL_SECONDS


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
    assert operation_duration([_operation(*one) for one in times], 5.0) == expected


def test_a_time_that_cannot_be_read_is_no_error() -> None:
    told = {"id": "op", "status": "finished", "created_at": "soon", "updated_at": "2026-11-24T00:00:00Z"}
    assert Operation.model_validate(told).created_at is None
    assert Operation.model_validate(told).updated_at == NOW

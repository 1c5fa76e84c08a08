"""How long a failed pass waits."""

from __future__ import annotations

import pytest

from reconciler.core.backoff import full_jitter, slow_backoff


@pytest.mark.parametrize(
    ("attempts", "jitter", "seconds"),
    [(0, 1.0, 0.5), (1, 1.0, 1.0), (6, 1.0, 32.0), (7, 1.0, 60.0), (5, 0.5, 8.0), (0, 0.0, 0.1), (9, 0.0, 0.1)],
)
def test_the_wait_doubles_up_to_a_minute_and_chance_takes_any_part_of_it(
    attempts: int, jitter: float, seconds: float
) -> None:
    assert full_jitter(attempts, jitter) == seconds


def test_what_the_other_side_asks_for_is_never_shortened() -> None:
    assert full_jitter(0, 0.5, 90.0) == 90.0
    assert full_jitter(7, 0.5, 2.0) == 30.0
    assert full_jitter(0, 0.0, 0.0) == 0.1


@pytest.mark.parametrize(
    ("attempts", "jitter", "seconds"),
    [(0, 0.0, 30.0), (10, 1.0, 60.0), (11, 0.5, 90.0), (13, 1.0, 480.0), (14, 1.0, 600.0), (15, 0.0, 300.0)],
)
def test_what_only_a_person_can_change_is_asked_for_ever_less_often(
    attempts: int, jitter: float, seconds: float
) -> None:
    assert slow_backoff(attempts, jitter) == seconds


def test_no_number_of_attempts_is_too_large() -> None:
    assert (full_jitter(1_000_000, 1.0), slow_backoff(1_000_000, 1.0)) == (60.0, 600.0)

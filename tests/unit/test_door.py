"""The door to Neon: what closes it, for how long, and who asks meanwhile."""

from __future__ import annotations

import pytest

from reconciler.core.backoff import CAP_SECONDS
from reconciler.errors import (
    NeonAPIError,
    NeonInvalidRequest,
    NeonLocked,
    NeonNotSent,
    NeonOutcomeUnknown,
    NeonRateLimited,
    NeonUnauthorized,
    NeonUnavailable,
    ProjectsUnexamined,
)
from reconciler.runtime.guards.circuit_breaker import MIN_OPEN_SECONDS, RECHECK_SECONDS, CircuitBreaker


class Time:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _error(kind: type[NeonAPIError], status: int | None = None, retry_after: float | None = None) -> NeonAPIError:
    return kind(method="GET", route="/projects", detail="", status=status, retry_after=retry_after)


def _opened() -> tuple[Time, CircuitBreaker]:
    clock = Time()
    door = CircuitBreaker(clock, lambda: 0.5)
    door.record_success("org-1")
    clock.now += RECHECK_SECONDS + 1
    return clock, door


@pytest.mark.parametrize("kind", [NeonNotSent, NeonUnavailable, NeonOutcomeUnknown, NeonUnauthorized])
def test_a_failure_that_may_be_neons_has_the_door_ask(kind: type[NeonAPIError]) -> None:
    """Once; and not again before some time has passed."""
    clock, door = _opened()
    door.record_failure(_error(kind))
    assert door.check(fresh=False) is None
    door.record_success("org-1")
    clock.now += RECHECK_SECONDS - 1
    door.record_failure(_error(kind))
    assert door.check(fresh=False) == "org-1"


@pytest.mark.parametrize("kind", [NeonLocked, NeonRateLimited, NeonInvalidRequest])
def test_what_is_about_one_request_alone_leaves_the_door_open(kind: type[NeonAPIError]) -> None:
    _, door = _opened()
    door.record_failure(_error(kind))
    assert door.check(fresh=False) == "org-1"


def test_a_neon_that_is_down_is_asked_ever_less_often() -> None:
    """Up to the longest back-off; meanwhile every pass is told what was met."""
    clock, door = _opened()
    door.record_failure(_error(NeonUnavailable, 503))
    pauses = []
    for _ in range(12):
        assert door.check(fresh=False) is None
        door.trip(_error(NeonUnavailable, 503))
        began = clock.now
        with pytest.raises(NeonUnavailable):
            door.check(fresh=False)
        while _is_closed(door):
            clock.now += 0.5
        pauses.append(clock.now - began)
    assert pauses == sorted(pauses)
    assert CAP_SECONDS / 2 <= pauses[-1] <= CAP_SECONDS / 2 + 1


def test_close_projects_left_to_examine_does_not_lengthen_the_pause() -> None:
    """A new catalog with many look-alikes examines the next batch soon."""
    clock, door = _opened()
    door.reset()
    for left in range(12, 0, -1):
        door.trip(ProjectsUnexamined(left))
        with pytest.raises(ProjectsUnexamined):
            door.check(fresh=False)
        clock.now += MIN_OPEN_SECONDS
        assert door.check(fresh=False) is None


def test_an_answer_that_asks_for_a_day_holds_all_passes_back_for_a_minute() -> None:
    """And none of them for longer by itself: each would wait for as long as it is told."""
    clock, door = _opened()
    door.record_failure(_error(NeonUnavailable, 503))
    door.trip(_error(NeonUnavailable, 503, retry_after=86_400.0))
    with pytest.raises(NeonUnavailable) as raised:
        door.check(fresh=False)
    assert raised.value.retry_after is None
    clock.now += CAP_SECONDS
    assert not _is_closed(door)


def _is_closed(door: CircuitBreaker) -> bool:
    try:
        door.check(fresh=False)
    except NeonAPIError:
        return True
    return False

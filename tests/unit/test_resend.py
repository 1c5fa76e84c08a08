"""What the client itself sends again, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import errors
from reconciler.neon.protocol import NeonRequest
from reconciler.neon.retry import MAX_RETRIES, RETRY_WINDOW_SECONDS, retry_delay

GET = NeonRequest("GET", "/projects", "/projects")
POST = NeonRequest("POST", "/projects", "/projects", body={}, mutates=True)


def _error(
    kind: type[errors.NeonAPIError], status: int | None, retry_after: float | None = None
) -> errors.NeonAPIError:
    return kind(method="GET", route="/projects", detail="", status=status, retry_after=retry_after)


NOTHING_DONE = [
    (errors.NeonLocked, 423),
    (errors.NeonRateLimited, 429),
    (errors.NeonUnavailable, 503),
]
SWALLOWED = [(errors.NeonNotSent, None), (errors.NeonOutcomeUnknown, None)]
ANSWERED = [
    (errors.NeonInvalidRequest, 400),
    (errors.NeonUnauthorized, 401),
    (errors.NeonUnauthorized, 403),
    (errors.NeonNotFound, 404),
    (errors.NeonOutcomeUnknown, 408),
    (errors.NeonConflict, 409),
    (errors.NeonNotFound, 410),
    (errors.NeonPasswordsNotStored, 412),
    (errors.NeonLimitReached, 422),
    (errors.NeonLocked, 422),
    (errors.NeonOutcomeUnknown, 500),
    (errors.NeonOutcomeUnknown, 502),
    (errors.NeonOutcomeUnknown, 504),
    (errors.NeonOutcomeUnknown, 524),
    (errors.NeonOutcomeUnknown, 200),
]


@pytest.mark.parametrize("request_", [GET, POST], ids=["get", "post"])
@pytest.mark.parametrize(("kind", "status"), NOTHING_DONE)
def test_an_answer_that_says_that_nothing_was_done_is_followed_by_another_try(
    request_: NeonRequest, kind: type[errors.NeonAPIError], status: int
) -> None:
    assert retry_delay(_error(kind, status), request_, retries=0, jitter=0.5, left=10) == 0.125


@pytest.mark.parametrize(("kind", "status"), SWALLOWED)
def test_only_what_changes_nothing_is_sent_again_after_the_network_swallowed_it(
    kind: type[errors.NeonAPIError], status: int | None
) -> None:
    assert retry_delay(_error(kind, status), GET, retries=0, jitter=0.5, left=10) == 0.125
    assert retry_delay(_error(kind, status), POST, retries=0, jitter=0.5, left=10) is None


@pytest.mark.parametrize("status", [200, 302, 403, 404, 407, 423, 429, 502, 503])
def test_what_an_intermediary_answered_is_sent_again_only_where_it_changes_nothing(status: int) -> None:
    """A gateway may answer 503 after it has passed the request on, so a change is looked for first."""
    error = _error(errors.NeonIntermediaryError, status)
    assert retry_delay(error, GET, retries=0, jitter=0.5, left=10) == 0.125
    assert retry_delay(error, POST, retries=0, jitter=0.5, left=10) is None


@pytest.mark.parametrize("request_", [GET, POST], ids=["get", "post"])
@pytest.mark.parametrize(("kind", "status"), ANSWERED)
def test_everything_else_is_left_to_the_loop(
    request_: NeonRequest, kind: type[errors.NeonAPIError], status: int
) -> None:
    assert retry_delay(_error(kind, status), request_, retries=0, jitter=0.5, left=10) is None


@given(
    asked=st.none() | st.floats(0, 86_400),
    jitter=st.floats(0, 1, exclude_max=True),
    resends=st.integers(0, MAX_RETRIES + 1),
    left=st.floats(-1, RETRY_WINDOW_SECONDS),
)
def test_a_pause_is_never_shorter_than_asked_for_nor_longer_than_there_is_time(
    asked: float | None, jitter: float, resends: int, left: float
) -> None:
    pause = retry_delay(_error(errors.NeonRateLimited, 429, asked), GET, retries=resends, jitter=jitter, left=left)
    if pause is None:
        wanted = max(0.25 * 2**resends * jitter, asked or 0)
        assert resends >= MAX_RETRIES or wanted > left
    else:
        assert (asked or 0) <= pause <= left


def test_the_whole_of_a_doubling_ceiling_is_drawn_from() -> None:
    error = _error(errors.NeonUnavailable, 503)
    pauses = [retry_delay(error, GET, retries=n, jitter=0.999, left=60) or 0 for n in range(MAX_RETRIES)]
    assert pauses == pytest.approx([0.25 * 2**n * 0.999 for n in range(MAX_RETRIES)])
    assert retry_delay(error, GET, retries=3, jitter=0.0, left=60) == 0

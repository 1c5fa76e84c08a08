"""How the requests that Neon allows are shared out, in single leases with plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from reconciler.core.rate_limit import BucketConfig, Credit, Grant, Priority, TokenBucket, priority_of, take_tokens
from specs.status import Reason
from tests.unit.test_core_recovering import app

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE, REPAIRS, SWEEPS = Priority
TERMS = BucketConfig(rate=10.0, capacity=20.0, lease_seconds=2.0, lease_size=5)
WIDE = replace(TERMS, lease_size=20)


def _at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _bucket(
    tokens: float,
    owed: Mapping[Priority, tuple[float, float]] = MappingProxyType({}),
    *,
    at: float = 0.0,
    closed_until: float = 0.0,
) -> TokenBucket:
    """A bucket; of each kind what it is owed, and when it asked last."""
    told = {kind: owed.get(kind, (0.0, 0.0)) for kind in (REPAIRS, SWEEPS)}
    return TokenBucket(
        tokens, _at(at), _at(closed_until), {kind: Credit(number, _at(asked)) for kind, (number, asked) in told.items()}
    )


def _lease(
    bucket: TokenBucket, wanted: Mapping[Priority, int] = MappingProxyType({}), terms: BucketConfig = TERMS
) -> tuple[TokenBucket, Grant]:
    return take_tokens(bucket, wanted, NOW, terms)


def _given(grant: Grant) -> Mapping[Priority, int]:
    return {kind: number for kind, number in grant.tokens.items() if number}


@pytest.mark.parametrize(
    ("per_minute", "burst", "rate", "capacity", "slice_seconds", "slice_size"),
    [
        pytest.param(600, 40, 9.95, 25.0, 1.0, 6, id="a quarter of the burst for slices, an eighth for the ways"),
        pytest.param(600, 400, 9.95, 370.0, 2.0, 92, id="no slice lives for more than 2 s, no way takes more than 1 s"),
        pytest.param(600, 1, 9.95, 1.0, 0.025, 1, id="at least one request"),
        pytest.param(60, 4, 0.995, 2.5, 1.0, 1, id="a slice of less than one request"),
    ],
)
def test_the_terms_keep_back_what_flows_in_meanwhile(
    per_minute: float, burst: float, rate: float, capacity: float, slice_seconds: float, slice_size: int
) -> None:
    terms = BucketConfig.from_limits(requests_per_minute=per_minute, burst=burst)
    assert astuple(terms) == pytest.approx((rate, capacity, slice_seconds, slice_size))


@pytest.mark.parametrize(
    ("changes", "urgency"),
    [
        pytest.param({"observed_generation": 0, "connected_at": None}, PEOPLE, id="made"),
        pytest.param({"observed_generation": 1, "connected_at": None}, PEOPLE, id="not connected to yet"),
        pytest.param({"observed_generation": 1, "generation": 2}, PEOPLE, id="changed"),
        pytest.param({"observed_generation": 1, "delete_requested_at": NOW}, PEOPLE, id="to be deleted"),
        pytest.param({"observed_generation": 1}, REPAIRS, id="as it was asked for"),
        pytest.param({"observed_generation": 1, "delete_requested_at": NOW, "deleted_at": NOW}, REPAIRS, id="deleted"),
        pytest.param({"observed_generation": 1, "connected_at": None, "deleted_at": NOW}, REPAIRS, id="never made"),
    ],
)
def test_what_somebody_waits_for_is_for_people_and_the_rest_is_a_repair(
    changes: Mapping[str, Any], urgency: Priority
) -> None:
    assert priority_of(app(Reason.AVAILABLE, **changes)) is urgency


@pytest.mark.parametrize(
    ("tokens", "seconds", "left"), [(4.0, 1.5, 19.0), (4.0, 1.6, 20.0), (4.0, 9.0, 20.0), (4.0, -3.0, 4.0)]
)
def test_the_bucket_fills_at_the_rate_up_to_its_brim(tokens: float, seconds: float, left: float) -> None:
    bucket, grant = _lease(_bucket(tokens, at=-seconds))
    assert (bucket.tokens, grant) == (left, Grant(dict.fromkeys(Priority, 0), left, 0.0))


@pytest.mark.parametrize(("ahead", "kept"), [(-7.0, 0.0), (0.0, 0.0), (3.0, 3.0), (5.0, 5.0), (5.5, 0.0), (900.0, 0.0)])
@pytest.mark.parametrize("closed_until", [0.0, 1.0])
def test_who_read_the_clock_a_little_earlier_does_not_turn_it_back(
    ahead: float, kept: float, closed_until: float
) -> None:
    """What lies further back than 5 s is a clock that was set: it is followed."""
    bucket, _ = _lease(_bucket(9.0, at=ahead, closed_until=closed_until), {PEOPLE: 1})
    assert bucket.updated_at == _at(kept)


@pytest.mark.parametrize("seconds", [0.25, 1.0, 60.0])
def test_a_closed_bucket_gives_nothing_and_says_when_it_opens(seconds: float) -> None:
    bucket, grant = _lease(_bucket(9.0, at=-0.5, closed_until=seconds), {PEOPLE: 3})
    assert grant == Grant({}, 0.0, seconds)
    assert (bucket.tokens, bucket.closed_until) == (14.0, _at(seconds))


def test_who_wants_nothing_of_a_closed_bucket_waits_for_nothing() -> None:
    assert _lease(_bucket(9.0, closed_until=5.0))[1] == Grant({}, 0.0, 0.0)
    assert _lease(_bucket(9.0, closed_until=5.0), {PEOPLE: 0})[1] == Grant({}, 0.0, 0.0)


def test_who_waits_for_a_closed_bucket_is_owed_its_share() -> None:
    bucket, _ = _lease(_bucket(0.0, closed_until=5.0, owed={REPAIRS: (0.25, -1.0)}), {REPAIRS: 1})
    assert bucket.credits[REPAIRS] == Credit(1.75, NOW)


@pytest.mark.parametrize("closed_until", [-1.0, 0.0, 60.5, 9000.0])
def test_a_bucket_is_open_where_it_was_closed_till_now_or_for_more_than_a_minute(closed_until: float) -> None:
    """No refusal holds for so long: that clock was set."""
    assert _given(_lease(_bucket(9.0, closed_until=closed_until), {PEOPLE: 3})[1]) == {PEOPLE: 3}


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ({PEOPLE: 2}, {PEOPLE: 2}),
        ({PEOPLE: 9}, {PEOPLE: 5}),
        ({PEOPLE: 4, REPAIRS: 4}, {PEOPLE: 4, REPAIRS: 1}),
        ({REPAIRS: 3, SWEEPS: 4}, {REPAIRS: 3, SWEEPS: 2}),
        ({PEOPLE: 1, REPAIRS: 1, SWEEPS: 1}, {PEOPLE: 1, REPAIRS: 1, SWEEPS: 1}),
        ({PEOPLE: 5, REPAIRS: 5, SWEEPS: 5}, {PEOPLE: 5}),
    ],
)
def test_people_go_before_repairs_and_these_before_sweeps_within_a_slice(
    wanted: Mapping[Priority, int], given: Mapping[Priority, int]
) -> None:
    bucket, grant = _lease(_bucket(20.0), wanted)
    assert _given(grant) == given
    assert bucket.tokens == grant.remaining == 20.0 - sum(given.values())


@pytest.mark.parametrize(("kind", "given"), [(PEOPLE, 20), (REPAIRS, 15), (SWEEPS, 10)])
def test_repairs_leave_a_quarter_of_the_bucket_alone_and_sweeps_a_half(kind: Priority, given: int) -> None:
    assert _given(_lease(_bucket(20.0), {kind: 30}, WIDE)[1]) == {kind: given}


def test_no_part_of_a_request_is_given() -> None:
    bucket, grant = _lease(_bucket(2.75), {PEOPLE: 4})
    assert (_given(grant), bucket.tokens) == ({PEOPLE: 2}, 0.75)


@pytest.mark.parametrize(
    ("kind", "owed", "waited", "then"),
    [
        (REPAIRS, 0.0, 0.5, 0.75),
        (REPAIRS, 0.25, 1.0, 1.75),
        (SWEEPS, 0.0, 0.5, 0.5),
        (SWEEPS, 0.25, 1.0, 1.25),
        (REPAIRS, 1.875, 1.0, 2.0),
        (SWEEPS, 1.875, 2.0, 2.0),
    ],
)
def test_who_goes_on_asking_is_owed_a_share_of_the_rate_and_never_more_than_two_requests(
    kind: Priority, owed: float, waited: float, then: float
) -> None:
    """Repairs three requests in twenty, sweeps two."""
    bucket, _ = _lease(_bucket(0.0, {kind: (owed, -waited)}), {kind: 1})
    assert astuple(bucket.credits[kind]) == (pytest.approx(then), NOW)


@pytest.mark.parametrize(("waited", "then"), [(2.0, 1.875), (2.5, 1.5), (3600.0, 1.5)])
def test_who_comes_back_after_two_seconds_begins_anew(waited: float, then: float) -> None:
    """As one who has waited for two seconds, whatever was owed to it before."""
    bucket, _ = _lease(_bucket(0.0, {REPAIRS: (0.375, -waited)}), {REPAIRS: 1}, replace(TERMS, rate=5.0))
    assert astuple(bucket.credits[REPAIRS]) == (pytest.approx(then), NOW)


@pytest.mark.parametrize(("waited", "then"), [(0.0, 1.75), (1.5, 1.75), (2.0, 1.75), (2.5, 0.0), (3600.0, 0.0)])
@pytest.mark.parametrize("kind", [REPAIRS, SWEEPS])
def test_who_stops_asking_is_owed_for_two_seconds_what_it_was(kind: Priority, waited: float, then: float) -> None:
    bucket, _ = _lease(_bucket(9.0, {kind: (1.75, -waited)}), {PEOPLE: 1})
    assert bucket.credits[kind] == Credit(then, _at(-waited))


@pytest.mark.parametrize("wanted", [0, 1])
def test_a_clock_that_was_turned_back_costs_nobody_what_is_owed(wanted: int) -> None:
    bucket, _ = _lease(_bucket(0.0, {REPAIRS: (1.5, 900.0)}), {REPAIRS: wanted})
    assert bucket.credits[REPAIRS] == Credit(1.5, NOW)


def test_what_is_owed_is_given_before_what_people_want() -> None:
    bucket, grant = _lease(_bucket(4.0, {REPAIRS: (2.0, 0.0), SWEEPS: (1.5, 0.0)}), {PEOPLE: 9, REPAIRS: 9, SWEEPS: 9})
    assert _given(grant) == {REPAIRS: 2, SWEEPS: 1, PEOPLE: 1}
    assert [bucket.credits[kind].requests for kind in (REPAIRS, SWEEPS)] == [0.0, 0.5]


def test_what_is_owed_is_kept_for_who_asks_again_soon() -> None:
    bucket, grant = _lease(_bucket(5.0, {REPAIRS: (2.0, -1.0)}), {PEOPLE: 9})
    assert (_given(grant), grant.remaining) == ({PEOPLE: 3}, 2.0)
    assert bucket.credits[REPAIRS].requests == 2.0


def test_less_than_a_whole_request_is_kept_for_nobody() -> None:
    assert _given(_lease(_bucket(5.0, {REPAIRS: (0.75, 0.0), SWEEPS: (0.75, 0.0)}), {PEOPLE: 9})[1]) == {PEOPLE: 5}


@pytest.mark.parametrize("kind", [REPAIRS, SWEEPS])
def test_who_comes_by_a_request_that_nobody_else_wants_is_owed_nothing_any_more(kind: Priority) -> None:
    bucket, grant = _lease(_bucket(20.0, {kind: (0.75, 0.0)}), {kind: 3})
    assert _given(grant) == {kind: 3}
    assert bucket.credits[kind].requests == 0.0


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [
        pytest.param(20.0, {PEOPLE: 9}, id="the slice was too small"),
        pytest.param(6.0, {PEOPLE: 9}, id="just one more"),
        pytest.param(12.0, {PEOPLE: 9, SWEEPS: 3}, id="for one of two kinds"),
    ],
)
def test_who_can_have_more_at_once_lets_others_have_a_turn_first(tokens: float, wanted: Mapping[Priority, int]) -> None:
    assert _lease(_bucket(tokens), wanted)[1].retry_after == 0.005


@pytest.mark.parametrize(
    ("tokens", "rate", "wait"),
    [
        pytest.param(5.5, 10.0, 0.5, id="until as much has flowed in as it got"),
        pytest.param(5.75, 1.0, 1.0, id="for half of a slice's life at most"),
        pytest.param(5.0, 0.25, 4.0, id="until there is a whole request"),
        pytest.param(0.5, 10.0, 0.05, id="the same where it got nothing"),
    ],
)
def test_who_emptied_the_bucket_waits_the_longer_the_more_it_got(tokens: float, rate: float, wait: float) -> None:
    assert _lease(_bucket(tokens), {PEOPLE: 9}, replace(TERMS, rate=rate))[1].retry_after == pytest.approx(wait)


@pytest.mark.parametrize("tokens", [1.0, 1.5, 8.0, 10.75])
def test_who_gets_nothing_of_what_is_kept_for_others_asks_again_after_half_of_a_slices_life(tokens: float) -> None:
    assert _lease(_bucket(tokens), {SWEEPS: 3})[1] == Grant(dict.fromkeys(Priority, 0), tokens, 1.0)


def test_who_got_all_waits_for_nothing() -> None:
    assert _lease(_bucket(3.0), {PEOPLE: 3})[1].retry_after == 0.0

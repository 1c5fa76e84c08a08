"""The shared request budget: never more than Neon takes, people first, and nobody starved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core import rate_limit
from reconciler.core.rate_limit import BucketConfig, Credit, Grant, Priority, TokenBucket, take_tokens

START = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = [(700, 40), (700, 5), (60, 40), (60, 1), (6000, 40), (700, 400)]


def _full(terms: BucketConfig) -> TokenBucket:
    owed = {kind: Credit(0, START) for kind in (Priority.REPAIR, Priority.RESYNC)}
    return TokenBucket(terms.capacity, START, START, owed)


@dataclass
class Fleet:
    """Processes that lease slices by one clock, and send each request at the first or the last moment of its slice."""

    terms: BucketConfig
    random: Random
    processes: int
    arrivals: list[float] = field(default_factory=list)
    given: dict[Priority, list[float]] = field(default_factory=lambda: {kind: [] for kind in Priority})

    def run(self, wanted: dict[Priority, int], seconds: float, delay: float, *, pauses: float = 0.0) -> None:
        """Let every process want so much, all the time or with pauses of so many seconds after each as many."""
        bucket = _full(self.terms)
        asks = [(self.random.uniform(0, 1), number) for number in range(self.processes)]
        while asks:
            asks.sort()
            now, process = asks.pop(0)
            if now > seconds:
                continue
            if pauses and now % (2 * pauses) < pauses:
                asks.append((now - now % pauses + pauses, process))
                continue
            bucket, grant = take_tokens(bucket, wanted, START + timedelta(seconds=now), self.terms)
            self._send(now, grant, delay)
            pause = max(grant.retry_after, self.random.uniform(0.001, 0.1))
            asks.append((now + pause, process))

    def _send(self, now: float, grant: Grant, delay: float) -> None:
        for kind, number in grant.tokens.items():
            for _ in range(number):
                sent = now + self.random.choice((0.0, self.terms.lease_seconds))
                self.arrivals.append(sent + self.random.choice((0.0, delay)))
                self.given[kind].append(now)

    def refusals(self, per_minute: float, burst: float) -> int:
        """How many requests Neon's own bucket would have refused."""
        level, at, refused = burst, 0.0, 0
        for arrival in sorted(self.arrivals):
            level = min(burst, level + (arrival - at) * per_minute / 60)
            at = arrival
            if level >= 1:
                level -= 1
            else:
                refused += 1
        return refused


def _fleets(per_minute: float, burst: float) -> Iterator[Fleet]:
    terms = BucketConfig.from_limits(requests_per_minute=per_minute, burst=burst)
    for seed in range(3):
        yield Fleet(terms, Random(seed), processes=3)


@pytest.mark.parametrize(("per_minute", "burst"), [limits for limits in LIMITS if limits[1] > 1])
def test_however_slices_are_spent_neon_refuses_nothing(per_minute: float, burst: float) -> None:
    """Any number of processes, each request anywhere in its slice, on ways of unequal length to Neon."""
    for fleet in _fleets(per_minute, burst):
        delay = min(1, burst / 8 / (per_minute / 60))
        fleet.run({Priority.USER: 9, Priority.RESYNC: 2}, seconds=120, delay=delay, pauses=fleet.random.choice([0, 2]))
        assert len(fleet.arrivals) > burst / 2
        assert fleet.refusals(per_minute, burst) == 0


def _hoarded(terms: BucketConfig) -> Fleet:
    """One process leases all there is and sends it at the last moment; another then leases and sends at once."""
    fleet, bucket = Fleet(terms, Random(1), processes=2), _full(terms)
    for leased_at, sent_after in ((0.0, terms.lease_seconds), (terms.lease_seconds, 0.0)):
        while True:
            now = START + timedelta(seconds=leased_at)
            bucket, grant = take_tokens(bucket, {Priority.USER: 100}, now, terms)
            if not grant.tokens[Priority.USER]:
                break
            fleet.arrivals += [leased_at + sent_after] * grant.tokens[Priority.USER]
    return fleet


def test_without_the_part_that_is_kept_back_neon_would_refuse() -> None:
    """A bucket as large as Neon's: hoarded slices and fresh ones arrive at the same moment."""
    careful = _hoarded(BucketConfig.from_limits(requests_per_minute=700, burst=40))
    careless = _hoarded(BucketConfig(700 / 60, 40, 2.0, 10))
    assert len(careful.arrivals) > 30
    assert careful.refusals(700, 40) == 0
    assert careless.refusals(700, 40) > 20


@pytest.mark.parametrize(("per_minute", "burst"), LIMITS)
def test_under_load_the_whole_rate_is_used(per_minute: float, burst: float) -> None:
    """What is leased in three minutes is nearly all that flowed in."""
    for fleet in _fleets(per_minute, burst):
        fleet.run({Priority.USER: 50}, seconds=180, delay=0)
        flowed = fleet.terms.capacity + 180 * fleet.terms.rate
        assert len(fleet.arrivals) >= 0.9 * flowed - 2
        assert len(fleet.arrivals) <= flowed + 1


@pytest.mark.parametrize(("per_minute", "burst"), LIMITS)
def test_people_go_first_and_nobody_starves(per_minute: float, burst: float) -> None:
    """With everybody asking for more than there is, each kind gets its share and people by far the most."""
    wanted = {Priority.USER: 50, Priority.REPAIR: 50, Priority.RESYNC: 50}
    for fleet in _fleets(per_minute, burst):
        fleet.run(wanted, seconds=300, delay=0)
        share = {kind: len(given) / len(fleet.arrivals) for kind, given in fleet.given.items()}
        assert share[Priority.USER] > 0.6
        assert share[Priority.USER] > share[Priority.REPAIR] > share[Priority.RESYNC] > 0.05
        for moments in fleet.given.values():
            gaps = [later - earlier for earlier, later in pairwise(moments)]
            assert max(gaps) < 40 / fleet.terms.rate + 2


def test_processes_that_ask_one_right_behind_the_other_get_as_much() -> None:
    """Whoever asks first after the bucket was emptied does not always have it all."""
    terms = BucketConfig.from_limits(requests_per_minute=700, burst=40)
    bucket, asks, given = _full(terms), [(number / 1000, number) for number in range(3)], [0, 0, 0]
    while (asks := sorted(asks))[0][0] < 60:
        now, process = asks.pop(0)
        bucket, grant = take_tokens(bucket, {Priority.USER: 16}, START + timedelta(seconds=now), terms)
        given[process] += sum(grant.tokens.values())
        asks.append((now + grant.retry_after, process))
    assert min(given) > 0.2 * sum(given)


def test_without_what_is_owed_sweeps_would_starve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "_MAX_CREDIT", 0.0)
    fleet = Fleet(BucketConfig.from_limits(requests_per_minute=700, burst=40), Random(1), processes=3)
    fleet.run({Priority.USER: 50, Priority.RESYNC: 50}, seconds=60, delay=0)
    assert not fleet.given[Priority.RESYNC]


def test_work_that_waits_for_others_leaves_them_room() -> None:
    """Sweeps alone never empty the bucket, so that a person's request is sent at once."""
    terms = BucketConfig.from_limits(requests_per_minute=700, burst=40)
    bucket, now = _full(terms), START
    for tenth in range(100):
        now = START + timedelta(seconds=tenth / 10)
        bucket, grant = take_tokens(bucket, {Priority.RESYNC: 20, Priority.REPAIR: 20}, now, terms)
        assert bucket.tokens > 0.2 * terms.capacity
    _, grant = take_tokens(bucket, {Priority.USER: 3}, now, terms)
    assert grant.tokens[Priority.USER] == 3


def test_a_bucket_that_neon_contradicted_stays_closed_for_all() -> None:
    terms = BucketConfig.from_limits(requests_per_minute=700, burst=40)
    bucket = _full(terms)
    closed = TokenBucket(0, START, START + timedelta(seconds=5), bucket.credits)
    after, grant = take_tokens(closed, {Priority.USER: 3}, START + timedelta(seconds=4), terms)
    assert not any(grant.tokens.values())
    assert grant.retry_after == pytest.approx(1)
    _, grant = take_tokens(after, {Priority.USER: 3}, START + timedelta(seconds=5), terms)
    assert grant.tokens[Priority.USER] == 3


steps = st.lists(
    st.tuples(
        st.floats(-5, 30, allow_nan=False),
        st.dictionaries(st.sampled_from(list(Priority)), st.integers(0, 100)),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(steps=steps, limits=st.sampled_from(LIMITS))
def test_no_clock_and_no_demand_upsets_it(
    steps: list[tuple[float, dict[Priority, int]]], limits: tuple[float, float]
) -> None:
    """The clock may jump back; nobody gets more than was asked for, than a slice, or than there is."""
    terms = BucketConfig.from_limits(requests_per_minute=limits[0], burst=limits[1])
    bucket, now = _full(terms), START
    for passed, wanted in steps:
        now += timedelta(seconds=passed)
        before = bucket
        bucket, grant = take_tokens(bucket, wanted, now, terms)
        total = sum(grant.tokens.values())
        assert total <= terms.lease_size
        assert all(0 <= grant.tokens[kind] <= wanted.get(kind, 0) for kind in grant.tokens)
        flowed = max(0.0, (now - before.updated_at).total_seconds()) * terms.rate
        assert total <= min(terms.capacity, before.tokens + flowed) + 1e-9
        assert 0 <= bucket.tokens <= terms.capacity
        assert abs((bucket.updated_at - now).total_seconds()) <= 5
        unmet = any(wanted.get(kind, 0) > grant.tokens.get(kind, 0) for kind in Priority)
        assert (grant.retry_after > 0) == unmet

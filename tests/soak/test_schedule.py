"""One seed, one schedule, and as much of everything as is promised."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest

from tests.soak.__main__ import SECONDS
from tests.soak.faults import CHANGES, LATEST_SECONDS, READS, Dice, Fault
from tests.soak.schedule import LEASE_SECONDS, SETTLE_SECONDS, Size, What, schedule
from tests.unit.test_shape import ROOT

_NEVER_OF_CREATES = {Fault.TWICE, Fault.SLOW, Fault.TRICKLE}
_DIGEST = """
import hashlib
from tests.soak.faults import Dice
from tests.soak.schedule import Size, schedule
dice = Dice(7, "daemon-1")
told = [schedule(7, Size.of(60.0)), [dice.cast(method, "/projects") for method in ("GET", "POST") * 500]]
print(hashlib.sha256(repr(told).encode()).hexdigest())
"""


def _digest(hash_seed: str) -> str:
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed}
    ran = subprocess.run([sys.executable, "-c", _DIGEST], env=environment, capture_output=True, text=True, check=True)
    return ran.stdout


def test_one_seed_is_one_schedule_whatever_the_hashes() -> None:
    """Acts, lives and faults are the same in another process."""
    assert _digest("1") == _digest("2")


def test_another_seed_is_another_schedule() -> None:
    """In acts and in lives."""
    one, other = schedule(1, Size.of(60.0)), schedule(2, Size.of(60.0))
    assert one.acts != other.acts
    assert [life.story for life in one.lives] != [life.story for life in other.lives]


def test_the_whole_soak_has_as_much_as_is_promised() -> None:
    """300 kills, 200 pauses, 300 apps, and the schedule has what its size says."""
    size = Size.of(SECONDS)
    plan = schedule(1, size)
    done = [act.what for act in plan.acts]
    assert done.count(What.KILL) > size.kills >= 300
    assert done.count(What.STOP) == size.stops >= 200
    assert len(plan.lives) == size.apps >= 300
    assert {*done} == {*What}


@pytest.mark.parametrize("seconds", [26.0, SECONDS])
def test_pauses_past_the_lease_are_one_at_a_time(seconds: float) -> None:
    """Two daemons of three always go on, and nobody is killed in his sleep."""
    plan = schedule(3, Size.of(seconds))
    long = [act for act in plan.acts if act.what is What.STOP and act.seconds > LEASE_SECONDS]
    assert long
    assert all(one.at + one.seconds < other.at for one, other in pairwise(long))
    for act in plan.acts:
        if act.what is What.KILL:
            assert not any(one.target == act.target and one.at <= act.at <= one.at + one.seconds for one in long)


@pytest.mark.parametrize(("method", "share", "never"), [("GET", READS, set()), ("POST", CHANGES, _NEVER_OF_CREATES)])
def test_faults_stay_within_what_is_promised_of_neon(method: str, share: float, never: set[Fault]) -> None:
    """Nothing arrives beyond the settle time, and no create arrives twice."""
    dice = Dice(1, "daemon-1")
    casts = [dice.cast(method, "/projects") for _ in range(4000)]
    faults = [cast for cast in casts if cast.fault is not None]
    assert abs(len(faults) / len(casts) - share) < 0.03
    assert {cast.fault for cast in faults} == {*Fault} - never
    assert max(cast.delay for cast in faults) <= LATEST_SECONDS < SETTLE_SECONDS

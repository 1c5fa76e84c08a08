"""When to look again at what Neon is doing: learned from how long it took lately.

A look too early costs one of Neon's few requests, a look too late costs the one who waits. Nobody can know how long
Neon takes today, so a look comes when most creates of late were done, the next when nearly all were, then when all
were.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from specs.neon import Operation

WINDOW = 32
FIRST_LOOK_SECONDS = 1.0
SHORTEST_SECONDS = 0.25
LONGEST_SECONDS = 15.0
# Of creates that take 2 to 4 s, this sees the end 0.35 s late with 1.6 looks; a look each second: 0.5 s and 3.5 looks.
_SHARES = (0.6, 0.85, 1.0)
# Neon's times are whole seconds.
_RESOLUTION_SECONDS = 1.0
# A clock is read a moment before what it is compared with was planned.
_SLACK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Pace:
    """How long Neon took lately to carry out a create, in seconds, the newest last."""

    took: tuple[float, ...] = ()

    def with_another(self, seconds: float) -> Pace:
        """The pace after one more create."""
        return Pace((*self.took, seconds)[-WINDOW:])

    def next_look(self, elapsed: float) -> float:
        """Seconds until the next look, ``elapsed`` seconds after the create; never more than ``LONGEST_SECONDS``.

        What was learned may be wrong: a create that was looked at after an outage seems to have taken as long as that.
        """
        for expected in self._expected():
            if expected > elapsed + _SLACK_SECONDS:
                return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, expected - elapsed))
        return min(LONGEST_SECONDS, max(FIRST_LOOK_SECONDS, elapsed / 2))

    def _expected(self) -> tuple[float, ...]:
        if not self.took:
            return (FIRST_LOOK_SECONDS,)
        ordered = sorted(self.took)
        return tuple(ordered[int(share * (len(ordered) - 1))] for share in _SHARES)


def seconds_taken(operations: Iterable[Operation], elapsed: float) -> float:
    """How long operations took by Neon's own clock, at most ``elapsed``; that where Neon does not say.

    Times that are equal say that it took less than a second, however late anybody looked.
    """
    told = [(one.created_at, one.updated_at) for one in operations]
    begun = [at for at, _ in told if isinstance(at, datetime)]
    ended = [at for _, at in told if isinstance(at, datetime)]
    if not begun or not ended or max(ended) < min(begun):
        return elapsed
    return min(elapsed, (max(ended) - min(begun)).total_seconds() or _RESOLUTION_SECONDS)

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
INITIAL_POLL_SECONDS = 1.0
MIN_POLL_SECONDS = 0.25
MAX_POLL_SECONDS = 15.0
# Of creates that take 2 to 4 s, this sees the end 0.35 s late with 1.6 polls; a poll each second: 0.5 s and 3.5 polls.
_QUANTILES = (0.6, 0.85, 1.0)
# Neon's times are whole seconds.
_RESOLUTION_SECONDS = 1.0
# A clock is read a moment before what it is compared with was planned.
_SLACK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class AdaptivePollInterval:
    """How long Neon took lately to carry out a create, in seconds, the newest last."""

    samples: tuple[float, ...] = ()

    def with_sample(self, seconds: float) -> AdaptivePollInterval:
        """The pace after one more create."""
        return AdaptivePollInterval((*self.samples, seconds)[-WINDOW:])

    def next_poll(self, elapsed: float) -> float:
        """Seconds until the next look, ``elapsed`` seconds after the create; never more than ``LONGEST_SECONDS``.

        What was learned may be wrong: a create that was looked at after an outage seems to have taken as long as that.
        """
        for expected in self._expected():
            if expected > elapsed + _SLACK_SECONDS:
                return min(MAX_POLL_SECONDS, max(MIN_POLL_SECONDS, expected - elapsed))
        return min(MAX_POLL_SECONDS, max(INITIAL_POLL_SECONDS, elapsed / 2))

    def _expected(self) -> tuple[float, ...]:
        if not self.samples:
            return (INITIAL_POLL_SECONDS,)
        ordered = sorted(self.samples)
        return tuple(ordered[int(share * (len(ordered) - 1))] for share in _QUANTILES)


def operation_duration(operations: Iterable[Operation], elapsed: float) -> float:
    """How long operations took by Neon's own clock, at most ``elapsed``; that where Neon does not say.

    Times that are equal say that it took less than a second, however late anybody looked.
    """
    told = [(one.created_at, one.updated_at) for one in operations]
    begun = [at for at, _ in told if isinstance(at, datetime)]
    ended = [at for _, at in told if isinstance(at, datetime)]
    if not begun or not ended or max(ended) < min(begun):
        return elapsed
    return min(elapsed, (max(ended) - min(begun)).total_seconds() or _RESOLUTION_SECONDS)

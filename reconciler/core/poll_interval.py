"""When to poll a running create, learned from the durations of recent creates.

A poll too early costs one of Neon's few requests, a poll too late makes the user wait. The duration is unknown, so the
polls follow the quantiles of recent creates: the first when most of them were complete, then nearly all, then all.
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
# For creates of 2 to 4 s this detects the end 0.35 s late with 1.6 polls; a poll each second: 0.5 s and 3.5 polls.
_QUANTILES = (0.6, 0.85, 1.0)
# Neon's times are whole seconds.
_RESOLUTION_SECONDS = 1.0
# The clock is read slightly before the planned time of a poll.
_SLACK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class AdaptivePollInterval:
    """The durations of recent creates at Neon in seconds, the newest last."""

    samples: tuple[float, ...] = ()

    def with_sample(self, seconds: float) -> AdaptivePollInterval:
        """Return the interval after one more create."""
        return AdaptivePollInterval((*self.samples, seconds)[-WINDOW:])

    def next_poll(self, elapsed: float) -> float:
        """Return the seconds until the next poll, ``elapsed`` seconds after the create; at most ``MAX_POLL_SECONDS``.

        Samples may be wrong: a create that was polled only after an outage seems to have taken as long as the outage.
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
    """Return the seconds that operations took by Neon's clock, at most ``elapsed``; ``elapsed`` if that is unknown.

    Equal times mean less than a second, however late the poll was.
    """
    times = [(operation.created_at, operation.updated_at) for operation in operations]
    started = [at for at, _ in times if isinstance(at, datetime)]
    ended = [at for _, at in times if isinstance(at, datetime)]
    if not started or not ended or max(ended) < min(started):
        return elapsed
    return min(elapsed, (max(ended) - min(started)).total_seconds() or _RESOLUTION_SECONDS)

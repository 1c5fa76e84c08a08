"""What may become of a request on its way to Neon and back. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.soak.schedule import SETTLE_SECONDS

READS, CHANGES = 0.21, 0.4
"""The share of requests that a fault meets; most requests are reads."""

LATEST_SECONDS = SETTLE_SECONDS - 1.0
"""How late a request may still arrive: the settle time, less what sending it may take, and a little."""


class Fault(StrEnum):
    """A kind of fault; ``-after`` means that the request took effect all the same."""

    RESET = "reset"
    RESET_AFTER = "reset-after"
    SILENCE = "silence"
    SILENCE_AFTER = "silence-after"
    TRUNCATED = "truncated"
    TRICKLE = "trickle"
    GARBAGE = "garbage"
    SLOW = "slow"
    ERROR = "500"
    ERROR_AFTER = "500-after"
    GATEWAY = "502"
    GATEWAY_AFTER = "502-after"
    UNAVAILABLE = "503"
    LOCKED = "423"
    RATE_LIMITED = "429"
    LATE = "late"
    TWICE = "twice"


STATUSES: Mapping[Fault, int] = {
    Fault.ERROR: 500,
    Fault.ERROR_AFTER: 500,
    Fault.GATEWAY: 502,
    Fault.GATEWAY_AFTER: 502,
    Fault.UNAVAILABLE: 503,
    Fault.LOCKED: 423,
    Fault.RATE_LIMITED: 429,
}
"""What is answered instead. Neon documents 503, 423 and 429 as "nothing was done", so they never come after."""

_WEIGHTS: Mapping[Fault, int] = {
    Fault.RESET: 6,
    Fault.RESET_AFTER: 8,
    Fault.SILENCE: 2,
    Fault.SILENCE_AFTER: 3,
    Fault.TRUNCATED: 5,
    Fault.TRICKLE: 2,
    Fault.GARBAGE: 3,
    Fault.SLOW: 5,
    Fault.ERROR: 3,
    Fault.ERROR_AFTER: 4,
    Fault.GATEWAY: 3,
    Fault.GATEWAY_AFTER: 4,
    Fault.UNAVAILABLE: 4,
    Fault.LOCKED: 4,
    Fault.RATE_LIMITED: 1,
    Fault.LATE: 6,
    Fault.TWICE: 6,
}

_CREATE = ("POST", "/projects")
_RATHER_LATE = {Fault.TWICE, Fault.SLOW, Fault.TRICKLE}


@dataclass(frozen=True, slots=True)
class Cast:
    """What becomes of one request.

    Attributes:
        fault: what, or None.
        delay: seconds, for faults that take time.
    """

    fault: Fault | None
    delay: float = 0.0


class Dice:
    """Decides about the requests of one process, one after the other.

    Args:
        seed: the same seed, the same decisions.
        who: the process.
    """

    def __init__(self, seed: int, who: str) -> None:
        self._chance = random.Random(f"soak {seed} faults {who}")

    def cast(self, method: str, path: str) -> Cast:
        """What becomes of the next request, below the API's prefix.

        A create is not delivered twice: two projects of one nonce are a case for a person, by design, and would never
        be swept. It is late all the more often.
        """
        if self._chance.random() >= (READS if method == "GET" else CHANGES):
            return Cast(None)
        [fault] = self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        if (method, path) == _CREATE and fault in _RATHER_LATE:
            fault = Fault.LATE
        longest = 1.5 if fault is Fault.SLOW else LATEST_SECONDS
        return Cast(fault, self._chance.uniform(0.1, longest))

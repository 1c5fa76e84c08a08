"""What went through the proxies, and what of it reached Neon."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came.

    Attributes:
        who: the process that sent it.
        asked_at: when it was there, in seconds since the epoch.
        path: below the API's prefix.
        raw: its bytes, with ``Connection: close``.
    """

    who: str
    asked_at: float
    method: str
    path: str
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that reached Neon, and how Neon answered.

    Attributes:
        who: the process that sent it.
        asked_at: when it was sent, as the proxy saw it.
        at: when it reached Neon.
        path: below the API's prefix.
        fault: what was done to it or to its answer; empty for nothing.
    """

    who: str
    asked_at: float
    at: float
    method: str
    path: str
    status: int
    fault: str


@dataclass
class Traffic:
    """What went through all proxies.

    Attributes:
        changes: requests that reached Neon and were no reads, in their order.
        answers: how many requests there were to be answered while faults were on.
        faults: how many of them met each fault.
        total: how many requests there were in all.
    """

    changes: list[Arrival] = field(default_factory=list)
    answers: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    total: int = 0

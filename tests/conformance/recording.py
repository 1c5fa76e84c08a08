"""What was checked against the document: counted, and written down where it is another process that counts."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from tests.conformance.schemas import Json

LEAST_STATUSES = 10
_SHOWN = 40


@dataclass(frozen=True)
class Sighting:
    """One request or answer that was judged.

    Attributes:
        side: which of the two.
        method: HTTP method.
        route: path template, None where the document has no such path.
        status: of the answer, 0 for a request.
        problems: what is wrong with it.
        where: the test that ran.
    """

    side: Literal["request", "answer"]
    method: str
    route: str | None
    status: int
    problems: tuple[str, ...]
    where: str


Tell = Callable[[Sighting], None]
"""Takes what was judged."""


@dataclass
class Recording:
    """All that was judged.

    Attributes:
        requests: how often each method and route was sent.
        answers: how often each method and route was answered with each status.
        problems: what was wrong, one line each.
    """

    requests: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    answers: Counter[tuple[str, str | None, int]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def add(self, seen: Sighting) -> None:
        """Count one more."""
        if seen.side == "request":
            self.requests[seen.method, seen.route] += 1
        else:
            self.answers[seen.method, seen.route, seen.status] += 1
        what = f"{seen.side} {seen.method} {seen.route or 'no known route'} {seen.status or ''}".rstrip()
        self.problems += [f"{what}: {problem} ({seen.where})" for problem in seen.problems]

    def read(self, folder: Path) -> None:
        """Count what other processes wrote down; one that was killed may have left half a line."""
        for file in sorted(folder.rglob("*.jsonl")):
            for line in file.read_text().splitlines(keepends=True):
                if line.endswith("\n"):
                    self.add(Sighting(**json.loads(line)))

    @property
    def sent(self) -> set[tuple[str, str]]:
        """Methods and routes of requests."""
        return {(method, route) for method, route in self.requests if route is not None}

    @property
    def answered(self) -> set[tuple[str, str]]:
        """Methods and routes of answers."""
        return {(method, route) for method, route, _ in self.answers if route is not None}

    @property
    def statuses(self) -> set[int]:
        """The distinct statuses of answers."""
        return {status for _, _, status in self.answers}

    def lacks(self, routes: set[tuple[str, str]]) -> list[str]:
        """What keeps this from being whole, where ``routes`` are those that must have been sent and answered."""
        lacking = [f"{method} {route} was never sent" for method, route in sorted(routes - self.sent)]
        lacking += [f"{method} {route} was never answered" for method, route in sorted(routes - self.answered)]
        lacking += [] if self.requests else ["no request was checked"]
        lacking += [] if self.answers else ["no answer was checked"]
        if len(self.statuses) < LEAST_STATUSES:
            lacking.append(f"{len(self.statuses)} distinct statuses were seen, and not {LEAST_STATUSES}")
        return lacking

    def summary(self) -> list[str]:
        """What there is to say at the end, a line each."""
        counts = (
            f"{self.requests.total()} requests on {len(self.sent)} routes and verbs, "
            f"{self.answers.total()} answers on {len(self.answered)}, "
            f"{len(self.statuses)} distinct statuses ({', '.join(map(str, sorted(self.statuses)))}); "
            f"{len(self.problems)} things were wrong"
        )
        return [counts, *self.problems[:_SHOWN]]

    def figures(self) -> Json:
        """The counts, for machines."""
        statuses = Counter[str]()
        for (_, _, status), count in self.answers.items():
            statuses[str(status)] += count
        return {
            "requests": self.requests.total(),
            "answers": self.answers.total(),
            "routes_and_verbs_sent": [" ".join(each) for each in sorted(self.sent)],
            "routes_and_verbs_answered": [" ".join(each) for each in sorted(self.answered)],
            "statuses": dict(sorted(statuses.items())),
            "invalid": len(self.problems),
        }


class Writing:
    """Writes down what was judged, a line each, in a file of this process alone.

    Args:
        folder: where; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, seen: Sighting) -> None:
        """Write one line at once: the process may be killed next."""
        os.write(self._file, json.dumps(asdict(seen)).encode() + b"\n")

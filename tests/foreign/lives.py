"""What every foreign client goes through, and how it is seen that it did."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from tests.conformance.recording import Recording

KEY: Final = "napi_of_a_foreign_client"
_BRANCH: Final = "/projects/{project_id}/branches/{branch_id}"
LIFE: Final = frozenset({
    ("POST", "/projects"),
    ("GET", "/projects"),
    ("GET", "/projects/{project_id}"),
    ("PATCH", "/projects/{project_id}"),
    ("POST", "/projects/{project_id}/branches"),
    ("GET", "/projects/{project_id}/branches"),
    ("POST", _BRANCH + "/roles"),
    ("POST", _BRANCH + "/databases"),
    ("GET", "/projects/{project_id}/connection_uri"),
    ("GET", "/projects/{project_id}/operations"),
    ("DELETE", _BRANCH),
    ("DELETE", "/projects/{project_id}"),
})  # fmt: skip
"""The whole life of a project: each call of it is to succeed."""


@dataclass(frozen=True)
class Served:
    """A ``morphik-apps local-neon`` process, with its Postgres.

    Attributes:
        url: its address, without a slash at the end.
        judged: the folder where it writes down what it answered; None where Neon's document is not to be had.
    """

    url: str
    judged: Path | None

    @contextmanager
    def lives(self, who: str) -> Iterator[None]:
        """A client goes through the whole life of a project in the block, and every answer it gets is valid."""
        before = self._read()
        yield
        after = self._read()
        if self.judged is None:
            return
        answers = Counter(after.answers)
        answers.subtract(before.answers)
        had = {(method, route) for (method, route, status), count in answers.items() if count and status < 300}
        assert had >= LIFE, f"{who} never had {sorted(LIFE - had)}"
        assert after.problems[len(before.problems) :] == []

    def _read(self) -> Recording:
        recording = Recording()
        if self.judged is not None:
            recording.read(self.judged)
        return recording


def connect(uri: str) -> tuple[str, str]:
    """User and database of a connection that was made, and in which a table was made."""
    with psycopg.connect(uri) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS written (by text)")
        row = connection.execute("SELECT current_user, current_database()").fetchone()
    assert row is not None
    return row[0], row[1]


def plain_environment(home: Path) -> dict[str, str]:
    """For a foreign program: no settings of the person at this machine, no proxy, nobody to ask, nothing reported."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "CI": "1", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}

"""A sweep over the one app: the real comparison, and its consequences in the catalog."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from reconciler.core.fleet.resync import diff_fleet
from tests.model import concrete as c
from tests.model.catalog import wake
from tests.model.neon import PARTIAL, in_list
from tests.model.passes import Program
from tests.model.safeguards import Safeguards
from tests.model.state import Project, Row, Seen, State, Work


class _Found(NamedTuple):
    """What a sweep found: differences, a missing project, surplus."""

    drifted: bool
    missing: bool
    surplus: tuple[int, ...]


_NOTHING = _Found(False, False, ())


class Sweeps:
    """Sweeps, each comparison remembered."""

    def __init__(self, program: Program, safe: Safeguards) -> None:
        self._program = program
        self._safe = safe
        self._known: dict[tuple[Row, tuple[Project, ...], str], _Found] = {}

    def sweep(self, state: State, how: str) -> State:
        """The state after a sweep whose list was whole, lagging, partial or blind."""
        row = state.row
        key = (row, state.projects, how)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._compare(row, state.projects, how)
        if found == _NOTHING:
            return state
        return state._replace(work=self._act(state.work, found))

    def _act(self, work: Work, found: _Found) -> Work:
        new = [number for number in found.surplus if number not in work.surplus]
        if found.drifted or found.missing or new:
            work = wake(work, self._safe)
        if found.missing and self._safe.confirming:
            work = work._replace(confirmed=True)
        return work._replace(surplus=tuple(sorted((*work.surplus, *new)))) if new else work

    def _compare(self, row: Row, projects: tuple[Project, ...], how: str) -> _Found:
        if row.deleted and not self._safe.buried:
            return _NOTHING
        listed = tuple(
            Seen(number, project.named, False, False, project.foreign)
            for number, project in enumerate(projects)
            if how != PARTIAL and in_list(project, recoverable=False, how=how)
        )
        verdict = diff_fleet(
            [c.app_of(row, self._program.sayings)],
            c.listing_of(listed, complete=how != PARTIAL),
            known_orphans=[c.project_id(number) for number, project in enumerate(projects) if project.reported],
            listed_from=c.NOW,
            settle_window=timedelta(seconds=c.SETTLE),
        )
        surplus = tuple(c.number_of(project_id) for _, project_id in verdict.duplicates)
        return _Found(bool(verdict.drifted), bool(verdict.missing), surplus)

"""kill -9 of a daemon before and after every effect of a create and of a delete, at every one in turn.

Each point has a catalog with one app, and a daemon that dies there; all share one local Neon. A plain daemon then
finishes every app.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from api.resources.apps.schemas import app_response
from reconciler.catalog.apps import AppStore
from specs.names import parse_project_name
from tests.catalogs import SEALER, create, with_catalog
from tests.postgres import TestServer, own_server
from tests.processes.clients import Document, Neon, connects, for_psql, rows
from tests.processes.crashing import Plan
from tests.processes.running import Running, Stage, settings, staged, until

OWNER = "alice"
# Effects of a pass that follows an answer in time; more are tried until one is not reached.
AT_ONCE = 12
MOST = 60
DYING = {"RESYNC_SECONDS": "300"}


@dataclass
class Case:
    """One point to crash at, and the app that it is tried on."""

    number: int
    after: bool
    url: str
    app_id: str
    mark: Path
    kind: str = ""

    @property
    def effect(self) -> str:
        """The effect that the daemon was killed at; empty when it never came to it."""
        return self.mark.read_text() if self.mark.exists() else ""


class Crashes:
    """Local Neon, and the daemons over the catalogs of the cases."""

    def __init__(self, stage: Stage, postgres: TestServer) -> None:
        self.neon = Neon(stage)
        self._stage = stage
        self._postgres = postgres
        self._template = postgres.migrated_template()
        self._marks = 0

    def case(self, number: int, *, after: bool, kind: str = "") -> Case:
        """A fresh catalog with one app that was asked for; ``number`` counts the effects of ``kind``, or all."""
        url = self._postgres.dsn(self._postgres.create_database(self._template))
        # Copies of one template would be one catalog; and one that has created nothing examines all projects first.
        rows(url, "UPDATE catalog_identity SET catalog_id = gen_random_uuid(), last_create_seq = 1")
        app = with_catalog(url, lambda catalog: create(catalog, f"number {number}", OWNER)).app
        return Case(number, after, url, app.app_id, self._mark(), kind)

    def again(self, case: Case, number: int, *, after: bool) -> Case:
        """Another point, on the app of an earlier one."""
        return Case(number, after, case.url, case.app_id, self._mark())

    def die(self, cases: list[Case]) -> None:
        """Run each case's daemon until it dies at its point, or has nothing more to do."""
        assert self._crashing("die", cases, **DYING).code(120) == 0

    def finish(self, cases: list[Case], status: str) -> None:
        """Run plain daemons until every app has a status and rests."""
        finishing = self._crashing("finish", cases)
        asked = "SELECT status, lease_expires_at, due_at = 'infinity' FROM app_metadata JOIN app_work USING (app_id)"

        def unfinished() -> dict[str, object]:
            seen = {f"{c.after} {c.number} {c.effect}": rows(c.url, asked)[0] for c in cases}
            return {name: row for name, row in seen.items() if row != (status, None, True)}

        try:
            until(lambda: not unfinished(), f"every app is {status}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {unfinished()}") from None
        assert finishing.stop() == 0

    def delete(self, cases: list[Case]) -> None:
        """Ask for every app's end."""
        for case in cases:
            request = partial(AppStore.request_delete, owner_id=OWNER, app_id=case.app_id, request_id="request")
            assert with_catalog(case.url, request) is not None

    def _mark(self) -> Path:
        self._marks += 1
        return self._stage.folder / f"mark-{self._marks}"

    def _crashing(self, mode: str, cases: list[Case], **changes: str) -> Running:
        plans = [
            Plan(url=c.url, plane=f"plane-{c.app_id}", number=c.number, after=c.after, mark=str(c.mark), kind=c.kind)
            for c in cases
        ]
        file = self._stage.folder / f"plans-{self._marks}-{mode}.json"
        file.write_text(json.dumps(plans))
        return self._stage.start_module("tests.processes.crashing", mode, str(file), **changes)


@pytest.fixture(scope="module")
def crashes() -> Iterator[Crashes]:
    """Everything but the cases; the catalogs end with their server."""
    environment = settings("")
    del environment["DATABASE_URL"]
    with own_server() as postgres, staged(environment) as stage:
        stage.local_neon().said("local Neon serves")
        yield Crashes(stage, postgres)


def _at_every_point(make: Callable[[int, bool], Case], run: Callable[[list[Case]], None]) -> list[Case]:
    """Run cases before and after effect 1, 2, …, until there is an effect that is not reached."""
    done: list[Case] = []
    for first in range(1, MOST, AT_ONCE):
        cases = [make(number, after) for number in range(first, first + AT_ONCE) for after in (False, True)]
        run(cases)
        done += cases
        if not all(case.effect for case in cases):
            return done
    raise AssertionError(f"more than {MOST} effects: {[case.effect for case in done]}")


def _report(capsys: pytest.CaptureFixture[str], what: str, cases: list[Case]) -> set[str]:
    """Print what was covered; the names of the effects that daemons died at."""
    died = [case for case in cases if case.effect]
    names = [case.effect for case in died if not case.after]
    with capsys.disabled():
        print(f"\n{what}: {len(died)} crash points; before and after {', '.join(names)}")  # noqa: T201
    assert died
    return {case.effect for case in died}


def _projects(crashes: Crashes, *, recoverable: bool = False) -> dict[str, list[str]]:
    """The ids of projects by the app that their name says."""
    found: dict[str, list[str]] = {}
    for project in crashes.neon.projects(recoverable=recoverable):
        name = parse_project_name(project["name"])
        assert name is not None
        found.setdefault(name.app_id, []).append(project["id"])
    return found


def _served(case: Case) -> Document:
    app = with_catalog(case.url, lambda catalog: catalog.get(OWNER, case.app_id))
    assert app is not None
    return app_response(app, SEALER).model_dump(mode="json")


def test_a_create_and_then_a_delete(crashes: Crashes, capsys: pytest.CaptureFixture[str]) -> None:
    """Exactly one project, recorded, whose URI connects; then none."""

    def create_all(cases: list[Case]) -> None:
        crashes.die(cases)
        crashes.finish(cases, "ready")

    created = _at_every_point(lambda number, after: crashes.case(number, after=after), create_all)
    names = _report(capsys, "create", created)
    assert names >= {"OpenIntent", "CreateProject", "RecordProject", "ProbeDatabase", "RecordStatus"}
    live = _projects(crashes)
    for case in created:
        assert rows(case.url, "SELECT project_id FROM app_metadata") == [(live[case.app_id][0],)]
        assert len(live[case.app_id]) == 1
        assert rows(case.url, "SELECT count(*) FROM create_intents WHERE state = 'open'") == [(0,)]
        assert rows(case.url, "SELECT count(*) FROM create_intents WHERE state = 'recorded'") == [(1,)]
        assert connects(for_psql(_served(case)["morphik_uri"]))

    ready = iter(created)

    def delete_all(cases: list[Case]) -> None:
        crashes.delete(cases)
        crashes.die(cases)
        crashes.finish(cases, "deleted")

    deleted = _at_every_point(lambda number, after: crashes.again(next(ready), number, after=after), delete_all)
    names = _report(capsys, "delete", deleted)
    assert names >= {"GetProject", "AuthorizeMutation", "DeleteProject", "RecordStatus"}
    live, recoverable = _projects(crashes), _projects(crashes, recoverable=True)
    for case in deleted:
        assert case.app_id not in live
        assert len(recoverable[case.app_id]) == 1
        assert _served(case)["morphik_uri"] is None


def test_a_delete_of_an_app_whose_create_is_unknown(crashes: Crashes, capsys: pytest.CaptureFixture[str]) -> None:
    """The daemon died between Neon's answer and its record: the project is found, and deleted."""

    def make(number: int, after: bool) -> Case:
        unknown = crashes.case(1, after=True, kind="CreateProject")
        unknowns.append(unknown)
        return crashes.again(unknown, number, after=after)

    def run(cases: list[Case]) -> None:
        crashes.die(unknowns)
        assert {case.effect for case in unknowns} == {"CreateProject"}
        unknowns.clear()
        crashes.delete(cases)
        crashes.die(cases)
        crashes.finish(cases, "deleted")

    unknowns: list[Case] = []
    deleted = _at_every_point(make, run)
    names = _report(capsys, "delete after an unknown create", deleted)
    assert names >= {"ListProjects", "ListBranches", "RecordProject", "DeleteProject", "RecordStatus"}
    live, recoverable = _projects(crashes), _projects(crashes, recoverable=True)
    for case in deleted:
        assert case.app_id not in live
        assert len(recoverable[case.app_id]) == 1
        assert rows(case.url, "SELECT count(*) FROM create_intents WHERE state = 'open'") == [(0,)]

"""From the small words of a state to the values that the core reads, and the names of its answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from pydantic import SecretStr

from reconciler import errors
from reconciler.core.context import ControlPlane, CreateIntent, Credentials, ReconcileContext
from reconciler.core.ownership import build_annotations
from specs.metadata import AppMetadata
from specs.names import app_id_from_bytes
from specs.neon import (
    Branch,
    BranchList,
    ConnectionDetails,
    CreateProjectResponse,
    Project,
    ProjectListing,
)
from specs.status import AppStatus, Condition, ConditionType, Reason
from tests.addresses import checked
from tests.catalogs import SPEC
from tests.model import state as m

NOW = datetime(2027, 1, 15, tzinfo=UTC)
SETTLE = 30.0
LONG_AGO = NOW - timedelta(days=1)
PLANE = ControlPlane("model", "catalog-1", SETTLE, (".neon.tech",))
ORG = "org-model"
APP_ID = app_id_from_bytes(b"the small model")
LATELY = NOW - timedelta(seconds=1)
AFTER_SETTLE = NOW - timedelta(seconds=1.5 * SETTLE)
AFTER_TWICE_SETTLE = NOW - timedelta(seconds=3 * SETTLE)
_MISSING = {m.PRESENT: None, m.MISSING: LATELY, m.SETTLED: AFTER_SETTLE, m.TWICE_SETTLED: AFTER_TWICE_SETTLE}
_ABSENT = {m.NOT_SEEN: None, m.SEEN_ABSENT: LATELY, m.SECOND_DUE: AFTER_SETTLE}

BASE = AppMetadata(
    app_id=APP_ID,
    owner_id="owner-1",
    app_name="shop",
    spec=SPEC,
    created_at=LONG_AGO,
    updated_at=LONG_AGO,
)
BRANCH = Branch(id="br-main", name="main", default=True)


class Sayings:
    """What a row can say, numbered: status, conditions and observed generation, with times left out."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._sayings: list[tuple[AppStatus, tuple[Condition, ...], int]] = []
        waiting = Condition(
            type=ConditionType.READY,
            status="False",
            reason=Reason.QUEUED,
            message="Waiting.",
            last_transition_time=NOW,
            observed_generation=0,
        )
        self.first = self.number(AppStatus.PENDING, (waiting,), 0)

    def number(self, status: AppStatus, conditions: tuple[Condition, ...], observed: int) -> int:
        """The number of a saying."""
        conditions = tuple(each.model_copy(update={"last_transition_time": NOW}) for each in conditions)
        key = repr((status, conditions, observed))
        if key not in self._numbers:
            self._numbers[key] = len(self._sayings)
            self._sayings.append((status, conditions, observed))
        return self._numbers[key]

    def said(self, number: int) -> tuple[AppStatus, tuple[Condition, ...], int]:
        """What a number stands for."""
        return self._sayings[number]


def project_id(number: int) -> str:
    """The id of a project."""
    return f"project-{number}"


def number_of(name: str) -> int:
    """The number in an id, a nonce or a host made here; ``NONE`` for another."""
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdigit() else m.NONE


def nonce(number: int) -> str:
    """The nonce of an intent."""
    return f"nonce-{number}"


def uri(number: int) -> str:
    """The URI of a project's database."""
    return f"postgresql://{BASE.role}:secret@ep-{number}.neon.tech/app?sslmode=require"


def app_of(row: m.Row, sayings: Sayings) -> AppMetadata:
    """The row as the catalog gives it."""
    status, conditions, observed = sayings.said(row.said)
    recorded = row.project != m.NONE
    return BASE.model_copy(
        update={
            "status": status,
            "conditions": conditions,
            "observed_generation": observed,
            "generation": 2 if row.asked else 1,
            "delete_requested_at": LATELY if row.asked else None,
            "org_id": ORG if recorded else None,
            "project_id": project_id(row.project) if recorded else None,
            "project_recorded_at": AFTER_TWICE_SETTLE if recorded else None,
            "connection_uri_sealed": b"sealed" if row.sealed else None,
            "connected_at": AFTER_TWICE_SETTLE if row.connected else None,
            "missing_since": _MISSING[row.missing],
            "deleted_at": LATELY if row.deleted else None,
        }
    )


def intent_of(number: int, intent: m.Intent) -> CreateIntent:
    """An intent as the catalog gives it."""
    sent_at = AFTER_SETTLE if intent.settled else LATELY
    state: Any = intent.state
    return CreateIntent(number + 1, 1, nonce(number), state, sent_at, _ABSENT[intent.absent])


def snapshot_of(row: m.Row, intents: tuple[m.Intent, ...], work: m.Work, sayings: Sayings) -> ReconcileContext:
    """What a claim brings along."""
    return ReconcileContext(
        app=app_of(row, sayings),
        control_plane=PLANE,
        now=NOW,
        attempts=0,
        jitter=0.0,
        nonce="unwritten",
        intents=tuple(intent_of(number, intent) for number, intent in enumerate(intents)),
        confirmed_missing=work.confirmed,
        duplicate_ids=tuple(project_id(number) for number in work.surplus),
    )


@cache
def project_of(seen: m.Seen) -> Project:
    """A project as Neon describes it; a younger one has the higher number, but for those that say otherwise."""
    born = LATELY if seen.young else LONG_AGO - timedelta(days=seen.early)
    return Project(
        id=project_id(seen.number),
        name=BASE.project_name if seen.named else "renamed by hand",
        region_id=BASE.spec.region,
        pg_version=BASE.spec.pg_version,
        org_id=ORG,
        created_at=born + timedelta(milliseconds=seen.number),
        deleted_at=LATELY if seen.deleted else None,
        recoverable_until=NOW + timedelta(days=7) if seen.deleted else None,
    )


def branches_of(made_by: int) -> BranchList:
    """The branches of a project and the nonce that one carries."""
    found = {} if made_by == m.NONE else build_annotations(BASE, PLANE, intent_of(made_by, m.Intent(m.OPEN, False, 0)))
    return BranchList(branches=(BRANCH,), annotations={BRANCH.id: found})


def created(seen: m.Seen) -> CreateProjectResponse:
    """The answer to a create."""
    details = ConnectionDetails(connection_uri=SecretStr(uri(seen.number)))
    return CreateProjectResponse(project=project_of(seen), branch=BRANCH, connection_uris=(details,))


def listing_of(found: tuple[m.Seen, ...], *, complete: bool) -> ProjectListing:
    """A list of projects."""
    projects = tuple(project_of(seen) for seen in found)
    return ProjectListing(projects=projects, unavailable_project_ids=() if complete else ("project-unknown",))


def credentials_of(number: int) -> Credentials:
    """The credentials of a project, as the catalog holds them."""
    return Credentials(checked(uri(number)), None)


def error_of(name: str) -> errors.ReconcileError:
    """An error of the tree."""
    kind = getattr(errors, name)
    if issubclass(kind, errors.NeonAPIError):
        error: errors.ReconcileError = kind(method="ANY", route="/projects", detail="of the model")
        return error
    made: errors.ReconcileError = kind("of the model")
    return made

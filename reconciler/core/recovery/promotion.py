"""What a person's claim makes good: what the catalog has lost is rebuilt from the names and annotations at Neon.

Nothing is ever deleted. A rebuilt app serves no URI until a person has confirmed its owner, and a project that is gone
is recovered only by a person's word, since its owner may have deleted it in the time that the catalog has forgotten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from reconciler.core.ownership import OwnershipAnnotations
from reconciler.core.recovery.catalog_identity import CatalogIdentity, server_change, split_brain_evidence
from specs.app import DEFAULT_HISTORY_SECONDS, DEFAULT_MAX_CU, DEFAULT_MIN_CU, DEFAULT_SUSPEND_SECONDS, DesiredApp
from specs.metadata import AppMetadata
from specs.names import is_owner_id, parse_project_name
from specs.neon import Project, ProjectListing
from specs.status import AppStatus


@dataclass(frozen=True, slots=True)
class ProjectProvenance:
    """The one project of an app, and the create that made it."""

    app_id: str
    incarnation: int
    create_seq: int
    nonce: str
    project: Project


@dataclass(frozen=True, slots=True)
class LostRow:
    """A row to be rebuilt."""

    provenance: ProjectProvenance
    owner_id: str
    desired: DesiredApp


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """What a claim would do.

    Attributes:
        doubt: why the catalog is in doubt, or None.
        highest: the number of the last create of this catalog, by what is seen.
        rebuild: rows that were lost.
        intents: creates that rows have forgotten; with them their projects are adopted.
        missing: apps whose recorded project is not there; they are not recovered without a person's word.
        left: projects of ours that stay as they are, each with the reason.
        others: other catalogs under the same plane, each with the number of its last create.
    """

    quarantine_reason: str | None
    last_create_seq: int
    rebuild: tuple[LostRow, ...] = ()
    intents: tuple[ProjectProvenance, ...] = ()
    missing: tuple[AppMetadata, ...] = ()
    skipped: tuple[tuple[Project, str], ...] = ()
    foreign_catalogs: Mapping[str, int] = field(default_factory=dict)


def unrecorded_projects(rows: Iterable[AppMetadata], listing: ProjectListing) -> tuple[Project, ...]:
    """The projects that are named like ours and that no row records, the oldest first."""
    recorded = {row.project_id for row in rows}
    found = [p for p in listing.projects if p.id not in recorded and parse_project_name(p.name) is not None]
    return tuple(sorted(found, key=lambda p: (p.created_at, p.id)))


def plan_recovery(
    standing: CatalogIdentity,
    plane: str,
    rows: Collection[AppMetadata],
    listing: ProjectListing,
    annotations: Mapping[str, OwnershipAnnotations | None],
    nonces: Collection[str],
) -> RecoveryPlan:
    """What is to be made good.

    Args:
        standing: what is known of the catalog, read after all else.
        plane: whose projects are ours.
        rows: every app.
        listing: a complete list.
        marks: of the projects that ``unrecorded`` named, by id.
        nonces: of the creates that the catalog remembers.
    """
    doubt = standing.quarantine_reason or server_change(standing)
    of_app: dict[str, list[tuple[Project, OwnershipAnnotations]]] = defaultdict(list)
    others: dict[str, int] = {}
    highest = standing.last_create_seq
    for project in unrecorded_projects(rows, listing):
        mark = annotations.get(project.id)
        if mark is None or mark.control_plane_id != plane or mark.catalog_id is None or mark.create_seq is None:
            continue
        doubt = doubt or split_brain_evidence(standing, plane, project, mark)
        if mark.catalog_id != standing.catalog_id:
            others[mark.catalog_id] = max(others.get(mark.catalog_id, mark.create_seq), mark.create_seq)
            continue
        highest = max(highest, mark.create_seq)
        name = parse_project_name(project.name)
        of_app["" if name is None else name.app_id].append((project, mark))
    sorting = _Classifier(rows, nonces)
    for app_id, found in of_app.items():
        sorting.classify(app_id, found)
    there = listing.seen_ids
    missing = [row for row in rows if _is_missing(row) and row.project_id not in there]
    return RecoveryPlan(
        quarantine_reason=doubt,
        last_create_seq=highest,
        rebuild=tuple(sorting.rebuild),
        intents=tuple(sorting.intents),
        missing=tuple(missing) if doubt is not None else (),
        skipped=tuple(sorting.skipped),
        foreign_catalogs=others,
    )


class _Classifier:
    """Which of our unrecorded projects is what."""

    def __init__(self, rows: Collection[AppMetadata], nonces: Collection[str]) -> None:
        self._rows = {row.app_id: row for row in rows}
        self._taken = {(row.owner_id, row.app_name) for row in rows if row.delete_requested_at is None}
        self._nonces = nonces
        self.rebuild: list[LostRow] = []
        self.intents: list[ProjectProvenance] = []
        self.skipped: list[tuple[Project, str]] = []

    def classify(self, app_id: str, found: list[tuple[Project, OwnershipAnnotations]]) -> None:
        """Take in the projects of one app."""
        why = self._classify(app_id, found)
        if why is not None:
            self.skipped += [(project, why) for project, _ in found]

    def _classify(self, app_id: str, found: list[tuple[Project, OwnershipAnnotations]]) -> str | None:
        if len(found) > 1:
            return f"{len(found)} projects carry the app {app_id}, and nothing tells which is the one"
        [(project, mark)] = found
        if mark.app_id != app_id:
            return f"its name is of the app {app_id}, its annotations are of {mark.app_id}"
        if mark.nonce is None or mark.incarnation is None or mark.create_seq is None:
            return "its annotations are not whole"
        trace = ProjectProvenance(app_id, mark.incarnation, mark.create_seq, mark.nonce, project)
        row = self._rows.get(app_id)
        if row is None:
            return self._lost(trace, mark)
        if mark.nonce in self._nonces:
            return None  # the loop knows what to do with it
        if row.deleted_at is not None:
            return "its app is deleted"
        if row.project_id is not None:
            return f"its app has the project {row.project_id}"
        if row.incarnation != mark.incarnation:
            return "it is of another incarnation of its app"
        self.intents.append(trace)
        return None

    def _lost(self, trace: ProjectProvenance, mark: OwnershipAnnotations) -> str | None:
        owner = mark.owner_id
        try:
            desired = _desired(trace.project, mark)
        except ValidationError:
            return "its annotations name no app as it can be"
        if owner is None or not is_owner_id(owner):
            return "its annotations name no owner"
        if (owner, desired.app_name) in self._taken:
            return f"the owner {owner!r} has another living app of its name, {desired.app_name!r}"
        self._taken.add((owner, desired.app_name))
        self.rebuild.append(LostRow(trace, owner, desired))
        return None


def _desired(project: Project, mark: OwnershipAnnotations) -> DesiredApp:
    """What the app was last asked to be, by what its project is."""
    compute, history = project.default_endpoint_settings, project.history_retention_seconds
    return DesiredApp(
        app_name=mark.app_name or "",
        region=project.region_id,
        pg_version=project.pg_version,
        min_cu=compute.autoscaling_limit_min_cu or DEFAULT_MIN_CU,
        max_cu=compute.autoscaling_limit_max_cu or DEFAULT_MAX_CU,
        suspend_seconds=compute.suspend_timeout_seconds or DEFAULT_SUSPEND_SECONDS,
        history_retention_seconds=DEFAULT_HISTORY_SECONDS if history is None else history,
        quota={name: amount for name, amount in project.quota.model_dump().items() if amount},
    )


def _is_missing(row: AppMetadata) -> bool:
    return (
        row.project_id is not None
        and row.delete_requested_at is None
        and row.status is not AppStatus.LOST
        and row.hold_reason is None
    )

"""The plan of a promotion: lost rows are rebuilt from the names and annotations of projects at Neon.

A promotion deletes nothing. A rebuilt app has no URI until an operator confirms its owner. A missing project is
recovered only when an operator confirms it, since its owner may have deleted it by a request that the catalog lost.
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
    """The only project of an app, and the create that made it."""

    app_id: str
    incarnation: int
    create_seq: int
    nonce: str
    project: Project


@dataclass(frozen=True, slots=True)
class LostRow:
    """A row to rebuild."""

    provenance: ProjectProvenance
    owner_id: str
    desired: DesiredApp


@dataclass(frozen=True, slots=True)
class RecoveryPlan:
    """The effects of a promotion.

    Attributes:
        quarantine_reason: why the catalog is quarantined, or None.
        last_create_seq: the number of this catalog's last create, its projects included.
        rebuild: rows that were lost.
        intents: creates that rows have lost; with them the reconciler adopts their projects.
        missing: apps whose recorded project is missing; it is recovered only when an operator confirms it.
        skipped: owned projects that stay unchanged, each with the reason.
        foreign_catalogs: other catalogs of the same control plane, each with the number of its last create.
    """

    quarantine_reason: str | None
    last_create_seq: int
    rebuild: tuple[LostRow, ...] = ()
    intents: tuple[ProjectProvenance, ...] = ()
    missing: tuple[AppMetadata, ...] = ()
    skipped: tuple[tuple[Project, str], ...] = ()
    foreign_catalogs: Mapping[str, int] = field(default_factory=dict)


def unrecorded_projects(rows: Iterable[AppMetadata], listing: ProjectListing) -> tuple[Project, ...]:
    """Return the projects with a name in the product's form that no row records, the oldest first."""
    recorded = {row.project_id for row in rows}
    projects = [p for p in listing.projects if p.id not in recorded and parse_project_name(p.name) is not None]
    return tuple(sorted(projects, key=lambda p: (p.created_at, p.id)))


def plan_recovery(
    identity: CatalogIdentity,
    control_plane_id: str,
    rows: Collection[AppMetadata],
    listing: ProjectListing,
    annotations: Mapping[str, OwnershipAnnotations | None],
    nonces: Collection[str],
) -> RecoveryPlan:
    """Return the plan of a promotion.

    Args:
        identity: the catalog's identity, read after all other arguments.
        control_plane_id: identifies owned projects.
        rows: all apps.
        listing: a complete list.
        annotations: of the ``unrecorded_projects``, by id.
        nonces: of the creates that the catalog records.
    """
    quarantine_reason = identity.quarantine_reason or server_change(identity)
    of_app: dict[str, list[tuple[Project, OwnershipAnnotations]]] = defaultdict(list)
    foreign_catalogs: dict[str, int] = {}
    last_create_seq = identity.last_create_seq
    for project in unrecorded_projects(rows, listing):
        ownership = annotations.get(project.id)
        if ownership is None or ownership.control_plane_id != control_plane_id:
            continue
        if ownership.catalog_id is None or ownership.create_seq is None:
            continue
        quarantine_reason = quarantine_reason or split_brain_evidence(identity, control_plane_id, project, ownership)
        if ownership.catalog_id != identity.catalog_id:
            known = foreign_catalogs.get(ownership.catalog_id, ownership.create_seq)
            foreign_catalogs[ownership.catalog_id] = max(known, ownership.create_seq)
            continue
        last_create_seq = max(last_create_seq, ownership.create_seq)
        name = parse_project_name(project.name)
        of_app["" if name is None else name.app_id].append((project, ownership))
    classifier = _Classifier(rows, nonces)
    for app_id, projects in of_app.items():
        classifier.classify(app_id, projects)
    listed = listing.seen_ids
    missing = [row for row in rows if _is_missing(row) and row.project_id not in listed]
    return RecoveryPlan(
        quarantine_reason=quarantine_reason,
        last_create_seq=last_create_seq,
        rebuild=tuple(classifier.rebuild),
        intents=tuple(classifier.intents),
        missing=tuple(missing) if quarantine_reason is not None else (),
        skipped=tuple(classifier.skipped),
        foreign_catalogs=foreign_catalogs,
    )


class _Classifier:
    """Sorts the owned, unrecorded projects into the parts of a plan."""

    def __init__(self, rows: Collection[AppMetadata], nonces: Collection[str]) -> None:
        self._rows = {row.app_id: row for row in rows}
        self._taken = {(row.owner_id, row.app_name) for row in rows if row.delete_requested_at is None}
        self._nonces = nonces
        self.rebuild: list[LostRow] = []
        self.intents: list[ProjectProvenance] = []
        self.skipped: list[tuple[Project, str]] = []

    def classify(self, app_id: str, projects: list[tuple[Project, OwnershipAnnotations]]) -> None:
        """Add the projects of one app."""
        skip_reason = self._classify(app_id, projects)
        if skip_reason is not None:
            self.skipped += [(project, skip_reason) for project, _ in projects]

    def _classify(self, app_id: str, projects: list[tuple[Project, OwnershipAnnotations]]) -> str | None:
        if len(projects) > 1:
            return f"{len(projects)} projects name the app {app_id}; the app's own one cannot be identified"
        [(project, annotations)] = projects
        if annotations.app_id != app_id:
            return f"its name is of the app {app_id}, its annotations are of {annotations.app_id}"
        if annotations.nonce is None or annotations.incarnation is None or annotations.create_seq is None:
            return "its annotations are incomplete"
        provenance = ProjectProvenance(
            app_id, annotations.incarnation, annotations.create_seq, annotations.nonce, project
        )
        row = self._rows.get(app_id)
        if row is None:
            return self._rebuild_row(provenance, annotations)
        if annotations.nonce in self._nonces:
            return None  # the reconciler resolves the recorded intent
        if row.deleted_at is not None:
            return "its app is deleted"
        if row.project_id is not None:
            return f"its app has the project {row.project_id}"
        if row.incarnation != annotations.incarnation:
            return "it is of another incarnation of its app"
        self.intents.append(provenance)
        return None

    def _rebuild_row(self, provenance: ProjectProvenance, annotations: OwnershipAnnotations) -> str | None:
        owner = annotations.owner_id
        try:
            desired = _desired(provenance.project, annotations)
        except ValidationError:
            return "its annotations name no valid app"
        if owner is None or not is_owner_id(owner):
            return "its annotations name no owner"
        if (owner, desired.app_name) in self._taken:
            return f"the owner {owner!r} has another living app of its name, {desired.app_name!r}"
        self._taken.add((owner, desired.app_name))
        self.rebuild.append(LostRow(provenance, owner, desired))
        return None


def _desired(project: Project, annotations: OwnershipAnnotations) -> DesiredApp:
    """Return the app's last desired state, derived from its project."""
    compute, history = project.default_endpoint_settings, project.history_retention_seconds
    return DesiredApp(
        app_name=annotations.app_name or "",
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

"""The comparison of Neon's project list with the catalog, in one merge.

A listed project is enough evidence to reconcile its app; absence counts only in a complete list. If more than a few
projects are missing in one list, the key, the organization or the catalog is wrong, and all mutations stop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.core.diff import diff_project, immutable_drift
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import Project, ProjectListing
from specs.status import AppStatus, ConditionType, Reason, find_condition

MASS_DISAPPEARANCE_APPS = 5
MASS_DISAPPEARANCE_PERCENT = 10


@dataclass(frozen=True, slots=True)
class FleetDiff:
    """The result of a resync.

    Attributes:
        drifted: apps whose project has drift, or is listed again.
        missing: apps whose recorded project is not in the complete list; not to be acted on with a ``stop_reason``.
        duplicates: (app_id, project_id) of projects that have an app's name and are not its recorded one, or that are
            missing while their deleted app is on hold because of them.
        orphans: projects with a name in the product's form whose app has no row.
        stop_reason: why all mutations must stop, or None; an incomplete list neither starts nor ends a stop.
        complete: whether the list proves absence.
    """

    drifted: tuple[str, ...]
    missing: tuple[str, ...]
    duplicates: tuple[tuple[str, str], ...]
    orphans: tuple[Project, ...]
    stop_reason: str | None
    complete: bool


def diff_fleet(
    rows: Iterable[AppMetadata],
    listing: ProjectListing,
    *,
    known_orphans: Collection[str],
    listed_from: datetime,
    settle_window: timedelta,
) -> FleetDiff:
    """Merge the list with the catalog.

    Args:
        rows: all apps, tombstones included, as read after the list.
        listing: all pages.
        known_orphans: project ids that were reported before and are skipped.
        listed_from: the catalog's clock before the first page.
        settle_window: how long a list may be stale; it does not prove the absence of a younger project.
    """
    by_id, complete = {project.id: project for project in listing.projects}, listing.is_complete
    seen = listing.seen_ids if complete else None
    known: dict[str, AppMetadata] = {}
    drifted, missing, recorded = [], [], 0
    duplicates, orphans = [], []
    for app in rows:
        known[app.app_id] = app
        if app.project_id is None or _is_excluded(app):
            if app.status == AppStatus.LOST and app.project_id in by_id:
                drifted.append(app.app_id)
            if app.project_id is not None and is_on_hold(app) and _is_absent(app.project_id, seen):
                duplicates.append((app.app_id, app.project_id))
            continue
        recorded += 1
        project = by_id.get(app.project_id)
        if project is not None:
            if _has_drift(app, project):
                drifted.append(app.app_id)
        elif (
            app.hold_reason != "recovery"
            and _recorded_before(app, listed_from - settle_window)
            and _is_absent(app.project_id, seen)
        ):
            missing.append(app.app_id)
    for project in listing.projects:
        name = parse_project_name(project.name)
        if name is None or project.id in known_orphans:
            continue
        app_row = known.get(name.app_id)
        if app_row is None:
            orphans.append(project)
        elif _is_duplicate(app_row, project.id):
            duplicates.append((name.app_id, project.id))
    return FleetDiff(
        drifted=tuple(drifted),
        missing=tuple(missing),
        duplicates=tuple(duplicates),
        orphans=tuple(orphans),
        stop_reason=_mass_disappearance(len(missing), recorded),
        complete=complete,
    )


def _is_absent(project_id: str, seen: Collection[str] | None) -> bool:
    return seen is not None and project_id not in seen


def is_on_hold(app: AppMetadata) -> bool:
    """Whether a deleted app is on hold because its project was recovered at Neon."""
    synced = find_condition(app.conditions, ConditionType.SYNCED)
    return app.deleted_at is not None and synced is not None and synced.reason == Reason.ON_HOLD


def _mass_disappearance(missing: int, recorded: int) -> str | None:
    if missing <= max(MASS_DISAPPEARANCE_APPS, recorded * MASS_DISAPPEARANCE_PERCENT / 100):
        return None
    return (
        f"{missing} of {recorded} projects are missing: the key, the organization or the catalog is wrong. Mutations "
        "are suspended until the projects are listed again or an operator runs `morphik-apps resume`."
    )


def _is_excluded(app: AppMetadata) -> bool:
    """Whether the app's project must not be repaired: its deletion is requested, or an operator must act first."""
    return app.delete_requested_at is not None or app.status == AppStatus.LOST or app.hold_reason == "owner"


def _recorded_before(app: AppMetadata, at: datetime) -> bool:
    return app.project_recorded_at is not None and app.project_recorded_at < at


def _is_duplicate(app: AppMetadata, project_id: str) -> bool:
    if app.deleted_at is not None:
        return True
    return app.project_id not in (None, project_id) and app.hold_reason != "owner"


def _has_drift(app: AppMetadata, project: Project) -> bool:
    if diff_project(app, project) is not None:
        return True
    synced = find_condition(app.conditions, ConditionType.SYNCED)
    recorded = synced is not None and synced.reason == Reason.IMMUTABLE_DRIFT
    if (immutable_drift(app, project) is not None) != recorded:
        return True
    # The project is listed again while the condition still reports it missing.
    ready = find_condition(app.conditions, ConditionType.READY)
    return ready is not None and ready.reason == Reason.PROJECT_MISSING

"""The fleet's list against the catalog, in one merge.

What is seen is enough to look closer; absence counts only in a complete list, and when more than a few apps vanish at
once it is our key, our organization or our catalog that is wrong, and everything stops.
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
    """What a sweep found.

    Attributes:
        drifted: apps whose project differs from what it shall be, or is there again.
        missing: apps whose recorded project is not in the complete list; to be left alone while ``stop`` holds.
        surplus: (app_id, project_id) of projects that carry an app's name and are not its recorded one, or that were
            held of a deleted app and are gone.
        orphans: projects with a name of our form whose app no row knows.
        stop: why everything must stop, or None; a partial list never stops anything, nor ends a stop.
        complete: whether absence could be concluded.
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
        rows: every app that is not beyond its tombstone, as read after the list.
        listing: all pages.
        reported: project ids that were reported before and are left alone.
        listed_from: the catalog's clock before the first page.
        settle: how long a list may lag behind what it lists; of a younger project it says nothing.
    """
    by_id, complete = {project.id: project for project in listing.projects}, listing.is_complete
    seen = listing.seen_ids if complete else None
    known: dict[str, AppMetadata] = {}
    drifted, missing, recorded = [], [], 0
    surplus, orphans = [], []
    for app in rows:
        known[app.app_id] = app
        if app.project_id is None or _is_excluded(app):
            if app.status == AppStatus.LOST and app.project_id in by_id:
                drifted.append(app.app_id)
            if app.project_id is not None and is_on_hold(app) and _is_absent(app.project_id, seen):
                surplus.append((app.app_id, app.project_id))
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
            surplus.append((name.app_id, project.id))
    stop = _mass_disappearance(len(missing), recorded)
    return FleetDiff(
        drifted=tuple(drifted),
        missing=tuple(missing),
        duplicates=tuple(surplus),
        orphans=tuple(orphans),
        stop_reason=stop,
        complete=complete,
    )


def _is_absent(project_id: str, seen: Collection[str] | None) -> bool:
    return seen is not None and project_id not in seen


def is_on_hold(app: AppMetadata) -> bool:
    """Whether a deleted app says that a person brought its project back."""
    synced = find_condition(app.conditions, ConditionType.SYNCED)
    return app.deleted_at is not None and synced is not None and synced.reason == Reason.ON_HOLD


def _mass_disappearance(missing: int, recorded: int) -> str | None:
    if missing <= max(MASS_DISAPPEARANCE_APPS, recorded * MASS_DISAPPEARANCE_PERCENT / 100):
        return None
    return (
        f"{missing} of {recorded} projects vanished at once: the key, the organization or the catalog is the wrong "
        "one. Nothing is changed at Neon until they are there again or an operator runs `morphik-apps resume`."
    )


def _is_excluded(app: AppMetadata) -> bool:
    """Whether nothing of its project is to be repaired: it is to go, or waits for a person."""
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
    said = synced is not None and synced.reason == Reason.IMMUTABLE_DRIFT
    if (immutable_drift(app, project) is not None) != said:
        return True
    # A project that is there again while the app says that it is missing.
    ready = find_condition(app.conditions, ConditionType.READY)
    return ready is not None and ready.reason == Reason.PROJECT_MISSING

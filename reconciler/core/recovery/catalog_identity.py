"""Whether this catalog is the one that it says it is.

A catalog that was restored from a back-up, copied, or failed over with loss believes in a past: it would create again,
recover what its owner deleted, and know nothing of projects that it made. Two witnesses stand outside of its rows:

* its server, which says other things of itself than when the catalog was last looked over (``elsewhere``);
* the projects at Neon: each carries which catalog made it, and the number of that create. The number is counted up in
  the commit before the request, so a project of ours beyond the high-water mark proves that commits were lost, and one
  of another catalog that is younger than ours proves that two work at the same time (``evidence``).

A catalog that has begun no create yet is stopped by any project of another catalog under its CONTROL_PLANE_ID, however
old the project is. Its first create would put the other catalog, which works, in doubt.

Either is enough for *doubt*: nothing is changed at Neon until a person has said which catalog is the right one. What
neither shows: rows that were put back on the same running server, when nothing was created since. Then the emergency
stop is what is left, where many projects seem to have vanished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.core.ownership import OwnershipAnnotations
from specs.names import parse_project_name
from specs.neon import Project, ProjectListing

# By how much Neon's clock and the catalog's may differ, with what a list may lag behind.
CLOCK_MARGIN = timedelta(hours=1)
RESUME_HINT = "Nothing is changed at Neon until a person runs `morphik-apps catalog promote`."
RESUME_HINT_UNUSED = (
    "Nothing is changed at Neon until an operator sets another CONTROL_PLANE_ID and restarts the daemons, or, if the "
    "other catalog is no longer in use, runs `morphik-apps catalog promote`."
)
_SERVER_PARTS = {
    "system": "another Postgres server",
    "database": "another database",
    "table": "tables that were made anew, as by a restore",
    "timeline": "another timeline of its server, as after a failover or a recovery",
    "branch": "another branch at Neon",
}


@dataclass(frozen=True, slots=True)
class CatalogIdentity:
    """What is known of the catalog's identity at one moment.

    Attributes:
        catalog_id, last_create_seq: what its projects carry, and the number of its last create.
        made_at: when it was made.
        server, started: what its server says of itself, and since when it has run.
        kept: what it said when the catalog was first looked over, or claimed; None before that.
        verified_at: when Neon's list was last compared with it.
        doubt: why a person must say which catalog is the right one, or None.
        promoted_at: when a person did so last.
        retired_catalogs: other catalogs that a person declared to be no more, each with the number of its last create.
    """

    catalog_id: str
    last_create_seq: int
    created_at: datetime
    server: str
    server_started_at: datetime
    recorded_server: str | None = None
    verified_at: datetime | None = None
    quarantine_reason: str | None = None
    promoted_at: datetime | None = None
    retired_catalogs: Mapping[str, int] | None = None

    @property
    def is_unused(self) -> bool:
        """Whether the catalog has begun no create and was never claimed, so that nothing at Neon depends on it."""
        return self.last_create_seq == 0 and self.promoted_at is None


def server_change(standing: CatalogIdentity) -> str | None:
    """Why this may be a copy, or a catalog that lacks commits, by what its server says; None where all is as it was."""
    if standing.recorded_server is None or standing.recorded_server == standing.server:
        return None
    kept, here = _parts(standing.recorded_server), _parts(standing.server)
    differing = [text for name, text in _SERVER_PARTS.items() if kept.get(name) != here.get(name)]
    where = ", ".join(differing) or "a server that says other things of itself"
    return (
        f"The catalog is on {where}: it was restored, copied or failed over, and may lack what was committed before. "
        f"{RESUME_HINT}"
    )


def unverified_projects(standing: CatalogIdentity, listing: ProjectListing) -> tuple[Project, ...]:
    """The projects whose annotations are worth a call, the newest first: named like ours, and younger than the last
    look. What is older was there then, and what the catalog records may be left out.

    Before the first look they are those that are younger than the catalog; for an unused one, those of every age.
    """
    named = [p for p in listing.projects if parse_project_name(p.name) is not None]
    if standing.verified_at is not None or not standing.is_unused:
        since = (standing.verified_at or standing.created_at) - CLOCK_MARGIN
        named = [p for p in named if p.created_at > since]
    return tuple(sorted(named, key=lambda p: (p.created_at, p.id), reverse=True))


def split_brain_evidence(
    standing: CatalogIdentity, plane: str, project: Project, annotations: OwnershipAnnotations | None
) -> str | None:
    """Why the mark of a project, which no row records, puts the catalog in doubt; None where it does not.

    ``standing`` must be read after the mark: the create is counted before its project can be there.
    """
    if annotations is None or annotations.catalog_id is None or annotations.create_seq is None:
        return None
    own = annotations.catalog_id == standing.catalog_id
    # An unused catalog may take another CONTROL_PLANE_ID, which must not hide what it lost under the former one.
    if annotations.control_plane_id != plane and not (own and standing.is_unused):
        return None
    if own:
        if annotations.create_seq <= standing.last_create_seq:
            return None
        return (
            f"This catalog made the project {project.id} by its create number {annotations.create_seq}, and remembers "
            f"only {standing.last_create_seq}: commits were lost, by a restore or a failover. {RESUME_HINT}"
        )
    retired_catalogs = (standing.retired_catalogs or {}).get(annotations.catalog_id)
    if retired_catalogs is not None:
        known = annotations.create_seq <= retired_catalogs
    else:
        known = not standing.is_unused and project.created_at <= standing.created_at
    if known:
        return None
    if standing.is_unused:
        return (
            f"This catalog has made no project yet, and the project {project.id} was made by another catalog, "
            f"{annotations.catalog_id}, with the same CONTROL_PLANE_ID, {plane!r}, in the same organization. "
            f"{RESUME_HINT_UNUSED}"
        )
    return (
        f"The project {project.id} was made by another catalog, {annotations.catalog_id}, which works with the same "
        f"CONTROL_PLANE_ID in the same organization. {RESUME_HINT}"
    )


def _parts(server: str) -> dict[str, str]:
    """The parts of what a server says of itself."""
    return dict(part.split(" ", 1) for part in server.split(", ") if " " in part)

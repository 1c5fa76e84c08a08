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

from reconciler.core.mark import Mark
from specs.names import parse_project_name
from specs.neon import Project, ProjectListing

# By how much Neon's clock and the catalog's may differ, with what a list may lag behind.
MARGIN = timedelta(hours=1)
HOW_IT_ENDS = "Nothing is changed at Neon until a person runs `morphik-apps claim`."
HOW_IT_ENDS_UNUSED = (
    "Nothing is changed at Neon until an operator sets another CONTROL_PLANE_ID and restarts the daemons, or, if the "
    "other catalog is no longer in use, runs `morphik-apps claim`."
)
_BECAUSE = {
    "system": "another Postgres server",
    "database": "another database",
    "table": "tables that were made anew, as by a restore",
    "timeline": "another timeline of its server, as after a failover or a recovery",
    "branch": "another branch at Neon",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the catalog's identity at one moment.

    Attributes:
        catalog_id, high_water: what its projects carry, and the number of its last create.
        made_at: when it was made.
        server, started: what its server says of itself, and since when it has run.
        kept: what it said when the catalog was first looked over, or claimed; None before that.
        looked_at: when Neon's list was last compared with it.
        doubt: why a person must say which catalog is the right one, or None.
        claimed_at: when a person did so last.
        set_aside: other catalogs that a person declared to be no more, each with the number of its last create.
    """

    catalog_id: str
    high_water: int
    made_at: datetime
    server: str
    started: datetime
    kept: str | None = None
    looked_at: datetime | None = None
    doubt: str | None = None
    claimed_at: datetime | None = None
    set_aside: Mapping[str, int] | None = None

    @property
    def unused(self) -> bool:
        """Whether the catalog has begun no create and was never claimed, so that nothing at Neon depends on it."""
        return self.high_water == 0 and self.claimed_at is None


def elsewhere(standing: Standing) -> str | None:
    """Why this may be a copy, or a catalog that lacks commits, by what its server says; None where all is as it was."""
    if standing.kept is None or standing.kept == standing.server:
        return None
    kept, here = _parts(standing.kept), _parts(standing.server)
    differing = [text for name, text in _BECAUSE.items() if kept.get(name) != here.get(name)]
    where = ", ".join(differing) or "a server that says other things of itself"
    return (
        f"The catalog is on {where}: it was restored, copied or failed over, and may lack what was committed before. "
        f"{HOW_IT_ENDS}"
    )


def suspects(standing: Standing, listing: ProjectListing) -> tuple[Project, ...]:
    """The projects whose annotations are worth a call, the newest first: named like ours, and younger than the last
    look. What is older was there then, and what the catalog records may be left out.

    Before the first look they are those that are younger than the catalog; for an unused one, those of every age.
    """
    named = [p for p in listing.projects if parse_project_name(p.name) is not None]
    if standing.looked_at is not None or not standing.unused:
        since = (standing.looked_at or standing.made_at) - MARGIN
        named = [p for p in named if p.created_at > since]
    return tuple(sorted(named, key=lambda p: (p.created_at, p.id), reverse=True))


def evidence(standing: Standing, plane: str, project: Project, mark: Mark | None) -> str | None:
    """Why the mark of a project, which no row records, puts the catalog in doubt; None where it does not.

    ``standing`` must be read after the mark: the create is counted before its project can be there.
    """
    if mark is None or mark.catalog_id is None or mark.create_seq is None:
        return None
    own = mark.catalog_id == standing.catalog_id
    # An unused catalog may take another CONTROL_PLANE_ID, which must not hide what it lost under the former one.
    if mark.plane != plane and not (own and standing.unused):
        return None
    if own:
        if mark.create_seq <= standing.high_water:
            return None
        return (
            f"This catalog made the project {project.id} by its create number {mark.create_seq}, and remembers only "
            f"{standing.high_water}: commits were lost, by a restore or a failover. {HOW_IT_ENDS}"
        )
    set_aside = (standing.set_aside or {}).get(mark.catalog_id)
    if set_aside is not None:
        known = mark.create_seq <= set_aside
    else:
        known = not standing.unused and project.created_at <= standing.made_at
    if known:
        return None
    if standing.unused:
        return (
            f"This catalog has made no project yet, and the project {project.id} was made by another catalog, "
            f"{mark.catalog_id}, with the same CONTROL_PLANE_ID, {plane!r}, in the same organization. "
            f"{HOW_IT_ENDS_UNUSED}"
        )
    return (
        f"The project {project.id} was made by another catalog, {mark.catalog_id}, which works with the same "
        f"CONTROL_PLANE_ID in the same organization. {HOW_IT_ENDS}"
    )


def _parts(server: str) -> dict[str, str]:
    """The parts of what a server says of itself."""
    return dict(part.split(" ", 1) for part in server.split(", ") if " " in part)

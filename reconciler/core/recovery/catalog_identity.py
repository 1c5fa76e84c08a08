"""Whether this catalog may have lost commits, or shares its control plane with another catalog.

A catalog that was restored from a backup, copied, or failed over with loss is stale: it would create projects again,
recover projects that their owners deleted, and not record projects that it created. Two facts outside its rows show it:

* the identity of its server differs from the recorded one (``server_change``);
* each project at Neon names the catalog that created it and the number of that create. The commit before the request
  increments the number. So an owned project above ``last_create_seq`` proves lost commits, and a project of another
  catalog that is younger than this catalog proves that two catalogs are active (``split_brain_evidence``).

A catalog that has begun no create yet is quarantined by any project of another catalog with its CONTROL_PLANE_ID, of
any age. Its first create would quarantine the other catalog, which is active.

Either fact is enough for a *quarantine*: no mutations until an operator decides which catalog is authoritative. Neither
fact shows rows that were restored on the same running server if no create followed. Then only the stop after a mass
disappearance protects the fleet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.core.ownership import OwnershipAnnotations
from specs.names import parse_project_name
from specs.neon import Project, ProjectListing

# The maximum difference between Neon's clock and the catalog's, plus the lag of a list.
CLOCK_MARGIN = timedelta(hours=1)
RESUME_HINT = "Mutations are suspended until an operator runs `morphik-apps catalog promote`."
RESUME_HINT_UNUSED = (
    "Mutations are suspended until an operator sets another CONTROL_PLANE_ID and restarts the daemons, or, if the "
    "other catalog is no longer in use, runs `morphik-apps catalog promote`."
)
_SERVER_PARTS = {
    "system": "another Postgres server",
    "database": "another database",
    "table": "tables that were recreated, as by a restore",
    "timeline": "another timeline of its server, as after a failover or a recovery",
    "branch": "another branch at Neon",
}


@dataclass(frozen=True, slots=True)
class CatalogIdentity:
    """The catalog's identity at one moment.

    Attributes:
        catalog_id, last_create_seq: the id in its projects' annotations, and the number of its last create.
        created_at: when the catalog was created.
        server, server_started_at: the identity of its server, and the start of the server.
        recorded_server: the server's identity at the first verification or the last promotion; None before that.
        verified_at: when Neon's list was last compared with it.
        quarantine_reason: why an operator must decide which catalog is authoritative, or None.
        promoted_at: when an operator last promoted it.
        retired_catalogs: catalogs that a promotion retired, each with the number of its last create.
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
        """Whether the catalog has begun no create and was never promoted, so that nothing at Neon depends on it."""
        return self.last_create_seq == 0 and self.promoted_at is None


def server_change(identity: CatalogIdentity) -> str | None:
    """Return why the catalog may be a copy or lack commits, if its server's identity has changed, else None."""
    if identity.recorded_server is None or identity.recorded_server == identity.server:
        return None
    recorded, current = _parts(identity.recorded_server), _parts(identity.server)
    changes = [text for name, text in _SERVER_PARTS.items() if recorded.get(name) != current.get(name)]
    where = ", ".join(changes) or "a server with another identity"
    return f"The catalog is on {where}: it was restored, copied or failed over, and may lack commits. {RESUME_HINT}"


def unverified_projects(identity: CatalogIdentity, listing: ProjectListing) -> tuple[Project, ...]:
    """Return the projects whose annotations must be read, the newest first: those with a name in the product's form
    that are younger than the last verification, which covered older ones. Callers may skip recorded projects.

    Before the first verification: those that are younger than the catalog; for an unused catalog, those of any age.
    """
    named = [p for p in listing.projects if parse_project_name(p.name) is not None]
    if identity.verified_at is not None or not identity.is_unused:
        since = (identity.verified_at or identity.created_at) - CLOCK_MARGIN
        named = [p for p in named if p.created_at > since]
    return tuple(sorted(named, key=lambda p: (p.created_at, p.id), reverse=True))


def split_brain_evidence(
    identity: CatalogIdentity, control_plane_id: str, project: Project, annotations: OwnershipAnnotations | None
) -> str | None:
    """Return why the annotations of an unrecorded project quarantine the catalog, or None.

    ``identity`` must be read after the annotations: the create is counted before its project can exist.
    """
    if annotations is None or annotations.catalog_id is None or annotations.create_seq is None:
        return None
    own = annotations.catalog_id == identity.catalog_id
    # An unused catalog may take another CONTROL_PLANE_ID, which must not hide what it lost under the former one.
    if annotations.control_plane_id != control_plane_id and not (own and identity.is_unused):
        return None
    if own:
        if annotations.create_seq <= identity.last_create_seq:
            return None
        return (
            f"This catalog created the project {project.id} by its create number {annotations.create_seq}, and records "
            f"only {identity.last_create_seq}: a restore or a failover lost commits. {RESUME_HINT}"
        )
    retired_catalogs = (identity.retired_catalogs or {}).get(annotations.catalog_id)
    if retired_catalogs is not None:
        known = annotations.create_seq <= retired_catalogs
    else:
        known = not identity.is_unused and project.created_at <= identity.created_at
    if known:
        return None
    if identity.is_unused:
        return (
            f"This catalog has created no project yet, and the project {project.id} was created by another catalog, "
            f"{annotations.catalog_id}, with the same CONTROL_PLANE_ID, {control_plane_id!r}, in the same "
            f"organization. {RESUME_HINT_UNUSED}"
        )
    return (
        f"The project {project.id} was created by another catalog, {annotations.catalog_id}, which is active with the "
        f"same CONTROL_PLANE_ID in the same organization. {RESUME_HINT}"
    )


def _parts(server: str) -> dict[str, str]:
    """Return the parts of a server's identity."""
    return dict(part.split(" ", 1) for part in server.split(", ") if " " in part)

"""The mark: what a project of ours carries from its first moment, and how it is proven.

The name can be changed by anyone with access to Neon's console; the annotations of a branch cannot be changed by any
call (Neon OpenAPI document, annotations), but a restore from a snapshot may lose them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.snapshot import CreateIntent, Plane
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import BranchList, Project

PLANE = "morphik_plane"
CATALOG = "morphik_catalog"
CREATE_SEQ = "morphik_create_seq"
APP_ID = "morphik_app_id"
INCARNATION = "morphik_incarnation"
NONCE = "morphik_nonce"
OWNER = "morphik_owner"
APP_NAME = "morphik_app_name"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a project says about who made it, and for whom; what is absent or cannot be read is None."""

    plane: str
    catalog_id: str | None
    create_seq: int | None
    app_id: str | None
    incarnation: int | None
    nonce: str | None
    owner_id: str | None
    app_name: str | None


def annotations_of(app: AppMetadata, plane: Plane, intent: CreateIntent) -> dict[str, str]:
    """The annotations of a new project's default branch; from them a lost row can be rebuilt."""
    return {
        PLANE: plane.control_plane_id,
        CATALOG: plane.catalog_id,
        CREATE_SEQ: str(intent.create_seq),
        APP_ID: app.app_id,
        INCARNATION: str(intent.incarnation),
        NONCE: intent.nonce,
        OWNER: app.owner_id,
        APP_NAME: app.app_name,
    }


def mark_of(branches: BranchList) -> Mark | None:
    """The mark on a project, whoever's it is: that of the default branch, else of any; None where there is none."""
    default_first = sorted(branches.branches, key=lambda branch: not branch.default)
    named = [branches.annotations.get(branch.id, {}) for branch in default_first]
    for found in (*named, *(branches.annotations[each] for each in sorted(branches.annotations))):
        if PLANE in found:
            return Mark(
                plane=found[PLANE],
                catalog_id=found.get(CATALOG),
                create_seq=_number(found.get(CREATE_SEQ)),
                app_id=found.get(APP_ID),
                incarnation=_number(found.get(INCARNATION)),
                nonce=found.get(NONCE),
                owner_id=found.get(OWNER),
                app_name=found.get(APP_NAME),
            )
    return None


def belongs_to(project: Project, org_id: str) -> bool:
    """Whether an organization owns the project; ``owner_id`` names it where ``org_id`` is left out (Neon OpenAPI)."""
    return (project.org_id or project.owner_id) == org_id


def carries_name(project: Project, app: AppMetadata) -> bool:
    """Whether the project's name is one that this app's project can have."""
    parsed = parse_project_name(project.name)
    return parsed is not None and parsed.app_id == app.app_id


def carries_annotation(branches: BranchList, app: AppMetadata, plane: Plane) -> bool:
    """Whether any branch says that it belongs to this app."""
    wanted = {PLANE: plane.control_plane_id, APP_ID: app.app_id, INCARNATION: str(app.incarnation)}
    return any(_holds(found, wanted) for found in branches.annotations.values())


def made_by(
    branches: BranchList, app: AppMetadata, plane: Plane, intents: Iterable[CreateIntent]
) -> CreateIntent | None:
    """The intent of this app whose nonce any branch carries, or None."""
    for intent in intents:
        wanted = {
            PLANE: plane.control_plane_id,
            APP_ID: app.app_id,
            INCARNATION: str(intent.incarnation),
            NONCE: intent.nonce,
        }
        if any(_holds(found, wanted) for found in branches.annotations.values()):
            return intent
    return None


def _number(text: str | None) -> int | None:
    """A count that fits the catalog's columns."""
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 19 else None


def _holds(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(found.get(key) == value for key, value in wanted.items())

"""Lists of projects: by pages, by parts of names, and perhaps a little old."""

from __future__ import annotations

from reconciler.local.neon.account import organization_of
from reconciler.local.neon.call import Call
from reconciler.local.neon.documents import project_item
from reconciler.local.neon.messages import Response
from reconciler.local.neon.state import Json, Project

_LONGEST_TIMEOUT = 30_000


def list_projects(call: Call) -> Response:
    """Answer ``GET /projects``. The cursor is there on the last page too: the list ends with an empty page."""
    world, query = call.world, call.request.query
    org_id = organization_of(call, query.get("org_id"))
    limit, search, deleted = _limit(call), query.get("search", ""), call.flag("recoverable")
    then = call.now - world.options.list_lag_seconds
    page: list[Project] = []
    for project in world.after(query.get("cursor")):
        shown = project.org_id == org_id and _was_there(project, then) and _was_deleted(project, then) == deleted
        if shown and (search in project.name or search in project.id):
            page.append(project)
            if len(page) == limit:
                break
    body: Json = {
        "projects": [project_item(world, each, deleted=deleted) for each in page if each.id not in world.unavailable],
        "unavailable_project_ids": [each.id for each in page if each.id in world.unavailable],
        "applications": {},
        "integrations": {},
    }
    return _answered(call, body, page[-1].id if page else None)


def list_shared(call: Call) -> Response:
    """Answer ``GET /projects/shared``: nobody shares a project with the one person that there is."""
    _limit(call)
    return _answered(call, {"projects": [], "unavailable_project_ids": []}, None)


def _limit(call: Call) -> int:
    call.number("timeout", _LONGEST_TIMEOUT, _LONGEST_TIMEOUT, lowest=100)
    return call.number("limit", 10, 400)


def _was_there(project: Project, then: float) -> bool:
    return project.created_at <= then and not project.purging


def _was_deleted(project: Project, then: float) -> bool:
    if project.recovered_at is not None and then < project.recovered_at:
        return True
    return project.deleted_at is not None and project.deleted_at <= then


def _answered(call: Call, body: Json, last: str | None) -> Response:
    cursor = last or call.request.query.get("cursor")
    if cursor:
        body["pagination"] = {"cursor": cursor}
    return Response(200, body)

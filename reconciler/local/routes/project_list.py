"""Routes that list projects, in pages, with a search text, and with a configurable delay."""

from __future__ import annotations

from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext
from reconciler.local.routes.current_user import organization_of
from reconciler.local.schemas.responses import project_item
from reconciler.local.state.models import Json, Project

_MAX_TIMEOUT_MS = 30_000


def list_projects(context: RequestContext) -> Response:
    """Handle ``GET /projects``. The last page has a cursor too; an empty page ends the list."""
    account, query = context.account, context.request.query
    org_id = organization_of(context, query.get("org_id"))
    limit, search, deleted = _limit(context), query.get("search", ""), context.flag("recoverable")
    then = context.now - account.options.list_lag_seconds
    page: list[Project] = []
    for project in account.projects_after(query.get("cursor")):
        shown = project.org_id == org_id and _was_there(project, then) and _was_deleted(project, then) == deleted
        if shown and (search in project.name or search in project.id):
            page.append(project)
            if len(page) == limit:
                break
    body: Json = {
        "projects": [
            project_item(account, project, deleted=deleted) for project in page if project.id not in account.unavailable
        ],
        "unavailable_project_ids": [project.id for project in page if project.id in account.unavailable],
        "applications": {},
        "integrations": {},
    }
    return _page_response(context, body, page[-1].id if page else None)


def list_shared(context: RequestContext) -> Response:
    """Handle ``GET /projects/shared``: always empty, since there is only one user."""
    _limit(context)
    return _page_response(context, {"projects": [], "unavailable_project_ids": []}, None)


def _limit(context: RequestContext) -> int:
    context.number("timeout", _MAX_TIMEOUT_MS, _MAX_TIMEOUT_MS, minimum=100)
    return context.number("limit", 10, 400)


def _was_there(project: Project, then: float) -> bool:
    return project.created_at <= then and not project.purging


def _was_deleted(project: Project, then: float) -> bool:
    if project.recovered_at is not None and then < project.recovered_at:
        return True
    return project.deleted_at is not None and project.deleted_at <= then


def _page_response(context: RequestContext, body: Json, last: str | None) -> Response:
    cursor = last or context.request.query.get("cursor")
    if cursor:
        body["pagination"] = {"cursor": cursor}
    return Response(200, body)

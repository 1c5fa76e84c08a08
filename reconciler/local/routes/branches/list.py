"""Routes that list and count branches."""

from __future__ import annotations

import base64
import binascii
import json

from reconciler.local.errors import bad_request
from reconciler.local.protocol import Response
from reconciler.local.routes.branches.rules import present_branches
from reconciler.local.routes.context import RequestContext
from reconciler.local.schemas.responses import annotation_document, branch_document
from reconciler.local.state.models import Branch, Json

_DEFAULT_LIMIT = 100
_KEYS = ("name", "created_at", "updated_at")
_ORDERS = ("asc", "desc")


def list_branches(context: RequestContext) -> Response:
    """Handle ``GET …/branches``, with their annotations."""
    project, query = context.account.project(context.path["project"]), context.request.query
    key, order = _one_of(query.get("sort_by", "updated_at"), _KEYS, "sort_by"), query.get("sort_order", "desc")
    _one_of(order, _ORDERS, "sort_order")
    context.flag("include_deleted")
    search, limit = query.get("search", ""), context.number("limit", _DEFAULT_LIMIT, 10_000)
    selected = [branch for branch in present_branches(project) if search in branch.name or search in branch.id]
    selected.sort(key=lambda branch: _position(branch, key), reverse=order == "desc")
    if (cursor := query.get("cursor")) is not None:
        after = _read(cursor, key, order)
        descending = order == "desc"
        selected = [
            branch
            for branch in selected
            if (_position(branch, key) < after if descending else _position(branch, key) > after)
        ]
    page = selected[:limit]
    pagination: Json = {"sort_by": key, "sort_order": order}
    if len(selected) > limit:
        pagination["next"] = _written(page[-1], key, order)
    body: Json = {
        "branches": [branch_document(project, branch) for branch in page],
        "annotations": {branch.id: annotation_document(branch) for branch in page if branch.annotation},
        "pagination": pagination,
    }
    return Response(200, body)


def count_branches(context: RequestContext) -> Response:
    """Handle ``GET …/branches/count``."""
    project, search = context.account.project(context.path["project"]), context.request.query.get("search", "")
    return Response(200, {"count": sum(search in branch.name for branch in present_branches(project))})


def _one_of(text: str, allowed: tuple[str, ...], name: str) -> str:
    if text not in allowed:
        raise bad_request(f"{name} must be one of {', '.join(allowed)}")
    return text


def _position(branch: Branch, key: str) -> tuple[str, str]:
    value = branch.name if key == "name" else f"{getattr(branch, key):020.6f}"
    return value, branch.id


def _written(branch: Branch, key: str, order: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([key, order, *_position(branch, key)]).encode()).decode()


def _read(cursor: str, key: str, order: str) -> tuple[str, str]:
    """Read a cursor: the position of a branch, which may have been deleted since."""
    try:
        sorted_by, direction, value, branch_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise bad_request("cursor is not valid") from None
    if (sorted_by, direction) != (key, order):
        raise bad_request("cursor is not valid for this order")
    return str(value), str(branch_id)

"""Routes of operations."""

from __future__ import annotations

from reconciler.local.errors import bad_request, not_found
from reconciler.local.protocol import Response
from reconciler.local.routes.context import MAX_DIGITS, RequestContext
from reconciler.local.schemas.responses import operation_document
from reconciler.local.state.models import Json


def list_operations(context: RequestContext) -> Response:
    """Handle ``GET …/operations``, newest first; the last page has a cursor too."""
    project = context.account.project(context.path["project"])
    limit, cursor = context.number("limit", 1000, 1000), context.request.query.get("cursor")
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= MAX_DIGITS):
        raise bad_request("cursor is not valid")
    before = None if cursor is None else int(cursor)
    older = [operation for operation in reversed(project.operations) if before is None or operation.seq < before]
    page = older[:limit]
    body: Json = {"operations": [operation_document(project, operation) for operation in page]}
    last = str(page[-1].seq) if page else cursor
    if last is not None:
        body["pagination"] = {"cursor": last}
    return Response(200, body)


def read_operation(context: RequestContext) -> Response:
    """Handle ``GET …/operations/{id}``."""
    project = context.account.project(context.path["project"])
    for operation in project.operations:
        if operation.id == context.path["operation"]:
            return Response(200, {"operation": operation_document(project, operation)})
    raise not_found("operation")

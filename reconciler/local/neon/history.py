"""Routes of operations."""

from __future__ import annotations

from reconciler.local.neon.call import MOST_DIGITS, Call
from reconciler.local.neon.documents import operation_document
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import bad_request, not_found
from reconciler.local.neon.state import Json


def list_operations(call: Call) -> Response:
    """Answer ``GET …/operations``, newest first; the cursor is there on the last page too."""
    project = call.world.project(call.path["project"])
    limit, cursor = call.number("limit", 1000, 1000), call.request.query.get("cursor")
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= MOST_DIGITS):
        raise bad_request("cursor is not valid")
    before = None if cursor is None else int(cursor)
    older = [each for each in reversed(project.operations) if before is None or each.seq < before]
    page = older[:limit]
    body: Json = {"operations": [operation_document(project, operation) for operation in page]}
    last = str(page[-1].seq) if page else cursor
    if last is not None:
        body["pagination"] = {"cursor": last}
    return Response(200, body)


def read_operation(call: Call) -> Response:
    """Answer ``GET …/operations/{id}``."""
    project = call.world.project(call.path["project"])
    for operation in project.operations:
        if operation.id == call.path["operation"]:
            return Response(200, {"operation": operation_document(project, operation)})
    raise not_found("operation")

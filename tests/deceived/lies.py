"""What becomes of Neon's answers on their way to the plane."""

from __future__ import annotations

import json
from typing import Any

from reconciler.local.protocol import Request, Response
from tests.deceived.stage import OUT_OF_SCOPE, Json, Lie, body_of


def changed(answer: Response, **fields: Any) -> Response:
    """The answer with other fields."""
    return Response(answer.status, body_of(answer) | fields, answer.headers)


def is_list(request: Request, *, recoverable: bool | None = None) -> bool:
    """Whether projects are listed, and which."""
    asked = request.query.get("recoverable") == "true"
    return (request.method, request.path) == ("GET", "/projects") and recoverable in (None, asked)


def partial(*ids: str) -> Lie:
    """The list names these as unavailable; all of them where none is named."""

    def lie(request: Request, answer: Response) -> Response:
        if not is_list(request):
            return answer
        shown = body_of(answer)["projects"]
        lacking = [each for each in shown if not ids or each["id"] in ids]
        if not lacking:
            return answer
        named = [each["id"] for each in lacking]
        return changed(answer, projects=[e for e in shown if e not in lacking], unavailable_project_ids=named)

    return lie


def unlisted(*ids: str) -> Lie:
    """The list does not show these, as if they were not there."""

    def lie(request: Request, answer: Response) -> Response:
        if not is_list(request):
            return answer
        shown = body_of(answer)["projects"]
        kept = [each for each in shown if each["id"] not in ids]
        return answer if len(kept) == len(shown) else changed(answer, projects=kept)

    return lie


def listed(document: Json, *, recoverable: bool = False) -> Lie:
    """The list shows this one on its first page, whatever was searched for."""

    def lie(request: Request, answer: Response) -> Response:
        if not is_list(request, recoverable=recoverable) or "cursor" in request.query:
            return answer
        return changed(answer, projects=[document, *body_of(answer)["projects"]])

    return lie


def unseen(*ids: str) -> Lie:
    """A bare 404 for these, all where none is named, and lists without them: a key that may not see them."""

    def lie(request: Request, answer: Response) -> Response:
        if is_list(request):
            shown = body_of(answer)["projects"]
            return changed(answer, projects=[each for each in shown if ids and each["id"] not in ids])
        parts = request.path.split("/")
        if parts[1] != "projects" or (ids and parts[2] not in ids):
            return answer
        return Response(404, {"request_id": "r", "code": "", "message": "project not found"})

    return lie


def no_lists(request: Request, answer: Response) -> Response:
    """A 404 that speaks of the key, for every list of projects."""
    return Response(404, {"request_id": "r", "code": "", "message": OUT_OF_SCOPE}) if is_list(request) else answer


def out_of_scope(*ids: str) -> Lie:
    """A 404 that speaks of the key, for these projects, all where none is named; lists do not show them."""

    def lie(request: Request, answer: Response) -> Response:
        told = unseen(*ids)(request, answer)
        return Response(404, {"request_id": "r", "code": "", "message": OUT_OF_SCOPE}) if told.status == 404 else told

    return lie


def another_organization(request: Request, answer: Response) -> Response:
    """The key works for others."""
    if request.path != "/users/me/organizations":
        return answer
    return changed(answer, organizations=[{"id": "org-of-others", "name": "Others"}])


def moved(*ids: str) -> Lie:
    """These projects belong to another organization."""

    def lie(request: Request, answer: Response) -> Response:
        if request.method != "GET" or answer.status != 200:
            return answer
        body = json.loads(json.dumps(answer.body))
        found = [each for each in [*body.get("projects", []), body.get("project") or {}] if each.get("id") in ids]
        for each in found:
            each |= {"org_id": "org-of-others", "owner_id": "org-of-others"}
        return Response(answer.status, body, answer.headers) if found else answer

    return lie

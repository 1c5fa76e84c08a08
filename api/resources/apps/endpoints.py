"""The endpoints of apps. Each handler reads or writes the catalog; reconcilers do the work at Neon."""

from __future__ import annotations

from typing import Any, Final, cast

from starlette.responses import Response

from api import problems
from api.endpoint import AnyEndpoint, Call, Endpoint, ResponseSpec
from api.http.prefer_wait import is_converged, wait_seconds
from api.http.query_params import EmptyQuery
from api.problems import FieldError, app_not_found, invalid_fields
from api.provisioning import InvalidAppRequest
from api.resources.apps import examples
from api.resources.apps.queries import AppsQuery, EventsQuery
from api.resources.apps.schemas import App, AppList, EventList, app_response, app_summary, event_response
from reconciler.catalog.limits import MAX_KEYS
from specs.app import AppRequest
from specs.metadata import AppMetadata
from specs.names import is_app_id
from specs.status import AppStatus


async def create_app(call: Call[EmptyQuery, AppRequest]) -> Response:
    """Write the app's row."""
    try:
        result = await call.services.creator.create(
            call.principal.owner_id, call.body, idempotency_key=call.idempotency_key, request_id=call.request_id
        )
    except InvalidAppRequest as error:
        raise invalid_fields(FieldError(error.field, error.reason)) from None
    app, headers = await _apply_prefer_wait(call, result.app)
    headers["Location"] = f"/ee/apps/{app.app_id}"
    return app_response(app, call.services.sealer).to_response(201 if result.created else 200, headers)


async def list_apps(call: Call[AppsQuery, None]) -> Response:
    """List the apps that the token reaches, without their URIs."""
    query = call.query
    page = await call.services.apps.list(
        call.principal.owner_id,
        status=query.status,
        name=query.name,
        limit=query.limit,
        cursor=query.cursor,
        only_app=call.principal.app_id,
    )
    return AppList(apps=tuple(map(app_summary, page.apps)), next_cursor=page.next_cursor).to_response()


async def get_app(call: Call[EmptyQuery, None]) -> Response:
    """Read one app, with its URIs for a token with ``write``."""
    app = await call.services.apps.get(call.principal.owner_id, _app_id(call))
    if app is None:
        raise app_not_found()
    app, headers = await _apply_prefer_wait(call, app)
    sealer = call.services.sealer if "write" in call.principal.permissions else None
    return app_response(app, sealer).to_response(headers=headers)


async def delete_app(call: Call[EmptyQuery, None]) -> Response:
    """Mark the row for deletion."""
    app = await call.services.apps.request_delete(call.principal.owner_id, _app_id(call), call.request_id)
    if app is None:
        raise app_not_found()
    call.services.notifier()
    app, headers = await _apply_prefer_wait(call, app)
    deleted = app.status is AppStatus.DELETED
    return app_response(app, None).to_response(200 if deleted else 202, headers)


async def list_events(call: Call[EventsQuery, None]) -> Response:
    """Read the app's history, newest first."""
    query = call.query
    page = await call.services.apps.events(
        call.principal.owner_id, _app_id(call), limit=query.limit, cursor=query.cursor
    )
    if page is None:
        raise app_not_found()
    return EventList(events=tuple(map(event_response, page.events)), next_cursor=page.next_cursor).to_response()


def _app_id(call: Call[Any, Any]) -> str:
    """Return the app id of the path. An app that the token does not reach is the same 404 as an unknown one."""
    app_id: Any = call.request.path_params["app_id"]
    if not is_app_id(app_id) or call.principal.app_id not in (None, app_id):
        raise app_not_found()
    return cast("str", app_id)


async def _apply_prefer_wait(call: Call[Any, Any], app: AppMetadata) -> tuple[AppMetadata, dict[str, str]]:
    """Return the app after the wait that the client prefers, and the header that confirms the wait."""
    seconds = wait_seconds(call.request.headers.getlist("prefer"))
    if seconds is None:
        return app, {}
    headers = {"Preference-Applied": f"wait={seconds}"}
    if is_converged(app):
        return app, headers
    await call.services.waiter.until_converged(app.app_id, seconds)
    # The response may contain URIs, and a revocation takes effect within a minute.
    await call.services.authorizer.require_not_revoked(call.principal)
    return await call.services.apps.get(app.owner_id, app.app_id) or app, headers


_TAG: Final = "apps"
_CALLER: Final = (problems.UNAUTHORIZED, problems.FORBIDDEN, problems.INVALID_REQUEST, problems.TOO_MANY_REQUESTS)
_APP: Final = (*_CALLER, problems.APP_NOT_FOUND, problems.NOT_FOUND)
_READ: Final = ("read", "write")
_WRITE: Final = ("write",)
_WAITED: Final = ("Preference-Applied",)

ENDPOINTS: Final[tuple[AnyEndpoint, ...]] = (
    Endpoint(
        name="createApp",
        tag=_TAG,
        method="POST",
        path="/ee/apps",
        summary="Create an app",
        description="Records the desired state; a reconciler then creates the database. A repeated request returns the "
        "same app: the fields of the request are compared with the app of that name, and absent fields are not "
        "compared. With `Prefer: wait=N` the response is delayed until the app is ready. With `Idempotency-Key` a "
        "repeated request returns the same app even after its name was reused. An owner has at most "
        f"{MAX_KEYS} keys; one more is a 429.",
        responses={
            201: ResponseSpec(
                "The app is created; its database is pending.", App, examples.pending_app, ("Location", *_WAITED)
            ),
            200: ResponseSpec("The app of an earlier request.", App, examples.ready_app, ("Location", *_WAITED)),
        },
        handler=create_app,
        query=EmptyQuery,
        permissions=_WRITE,
        app_token=False,
        body=AppRequest,
        body_example=examples.app_request,
        headers=("Idempotency-Key", "Prefer"),
        problems=(
            *_CALLER,
            problems.MALFORMED_BODY,
            problems.INVALID_IDEMPOTENCY_KEY,
            problems.NAME_TAKEN,
            problems.APP_LIMIT_REACHED,
            problems.CREATE_LIMIT_REACHED,
            problems.KEY_LIMIT_REACHED,
        ),
    ),
    Endpoint(
        name="listApps",
        tag=_TAG,
        method="GET",
        path="/ee/apps",
        summary="List apps",
        description="The owner's apps without their URIs, newest first. A token with `app_id` lists that app alone.",
        responses={200: ResponseSpec("A page of apps.", AppList, examples.app_list)},
        handler=list_apps,
        query=AppsQuery,
        permissions=_READ,
        problems=_CALLER,
    ),
    Endpoint(
        name="getApp",
        tag=_TAG,
        method="GET",
        path="/ee/apps/{app_id}",
        summary="Read an app",
        description="A token with `write` gets the app's URIs after the reconciler has connected to the database.",
        responses={200: ResponseSpec("The app.", App, examples.ready_app, _WAITED)},
        handler=get_app,
        query=EmptyQuery,
        permissions=_READ,
        headers=("Prefer",),
        problems=_APP,
    ),
    Endpoint(
        name="deleteApp",
        tag=_TAG,
        method="DELETE",
        path="/ee/apps/{app_id}",
        summary="Delete an app",
        description="Requests the deletion. From then on the app has no URI, and its name is free. A deleted app can "
        "be read until its tombstone expires.",
        responses={
            202: ResponseSpec("Neon is deleting the database.", App, examples.deleting_app, _WAITED),
            200: ResponseSpec("The database is deleted.", App, examples.deleted_app, _WAITED),
        },
        handler=delete_app,
        query=EmptyQuery,
        permissions=_WRITE,
        headers=("Prefer",),
        problems=_APP,
    ),
    Endpoint(
        name="listEvents",
        tag=_TAG,
        method="GET",
        path="/ee/apps/{app_id}/events",
        summary="Read an app's history",
        description="Requests and the reconciler's actions, newest first.",
        responses={200: ResponseSpec("A page of the history.", EventList, examples.event_list)},
        handler=list_events,
        query=EventsQuery,
        permissions=_READ,
        problems=_APP,
    ),
)

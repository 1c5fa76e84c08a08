"""The routes by path template and method."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from reconciler.local.errors import ApiError, not_found
from reconciler.local.protocol import Response
from reconciler.local.routes import (
    connection_uri,
    consumption,
    current_user,
    databases,
    endpoints,
    operations,
    organizations,
    project_list,
    projects,
    roles,
    snapshots,
)
from reconciler.local.routes.branches import create, resource, restore
from reconciler.local.routes.branches import list as branch_list
from reconciler.local.routes.context import RequestContext

Route = Callable[[RequestContext], Response]

PROJECTS = "/projects"
PROJECT = "/projects/{project}"
BRANCH = PROJECT + "/branches/{branch}"
SNAPSHOT = PROJECT + "/snapshots/{snapshot}"
ENDPOINT = PROJECT + "/endpoints/{endpoint}"
ROLE = BRANCH + "/roles/{role}"
DATABASE = BRANCH + "/databases/{database}"
SHARED = PROJECTS + "/shared"
ORGANIZATION = "/organizations/{organization}"
ORGANIZATION_KEYS = ORGANIZATION + "/api_keys"
CONSUMPTION = "/consumption_history/v2/"

_ROUTES: Mapping[str, Mapping[str, Route]] = {
    "/auth": {"GET": current_user.auth},
    "/users/me": {"GET": current_user.user},
    "/users/me/organizations": {"GET": current_user.organizations},
    "/regions": {"GET": current_user.regions},
    "/api_keys": {"GET": organizations.list_personal_keys, "POST": organizations.create_personal_key},
    "/api_keys/{key}": {"DELETE": organizations.revoke_personal_key},
    ORGANIZATION: {"GET": organizations.read_organization},
    ORGANIZATION + "/members": {"GET": organizations.list_members},
    ORGANIZATION_KEYS: {"GET": organizations.list_keys, "POST": organizations.create_key},
    ORGANIZATION_KEYS + "/{key}": {"DELETE": organizations.revoke_key},
    CONSUMPTION + "projects": {"GET": consumption.of_projects},
    CONSUMPTION + "branches": {"GET": consumption.of_branches},
    SHARED: {"GET": project_list.list_shared},
    PROJECTS: {"GET": project_list.list_projects, "POST": projects.create_project},
    PROJECT: {
        "GET": projects.read_project,
        "PATCH": projects.update_project,
        "DELETE": projects.delete_project,
    },
    PROJECT + "/recover": {"POST": projects.recover_project},
    PROJECT + "/connection_uri": {"GET": connection_uri.read_connection_uri},
    PROJECT + "/operations": {"GET": operations.list_operations},
    PROJECT + "/operations/{operation}": {"GET": operations.read_operation},
    PROJECT + "/branches": {"GET": branch_list.list_branches, "POST": create.create_branch},
    PROJECT + "/branches/count": {"GET": branch_list.count_branches},
    BRANCH: {
        "GET": resource.read_branch,
        "PATCH": resource.update_branch,
        "DELETE": resource.delete_branch,
    },
    BRANCH + "/set_as_default": {"POST": resource.set_default},
    BRANCH + "/restore": {"POST": restore.restore_branch},
    BRANCH + "/finalize_restore": {"POST": snapshots.finalize_restore},
    BRANCH + "/snapshot": {"POST": snapshots.create_snapshot},
    PROJECT + "/snapshots": {"GET": snapshots.list_snapshots},
    SNAPSHOT: {"PATCH": snapshots.update_snapshot, "DELETE": snapshots.delete_snapshot},
    SNAPSHOT + "/restore": {"POST": snapshots.restore_snapshot},
    BRANCH + "/endpoints": {"GET": endpoints.list_branch_endpoints},
    BRANCH + "/roles": {"GET": roles.list_roles, "POST": roles.create_role},
    ROLE: {"GET": roles.read_role, "DELETE": roles.delete_role},
    ROLE + "/reveal_password": {"GET": roles.reveal_password},
    ROLE + "/reset_password": {"POST": roles.reset_password},
    BRANCH + "/databases": {"GET": databases.list_databases, "POST": databases.create_database},
    DATABASE: {
        "GET": databases.read_database,
        "PATCH": databases.update_database,
        "DELETE": databases.delete_database,
    },
    PROJECT + "/endpoints": {"GET": endpoints.list_endpoints, "POST": endpoints.create_endpoint},
    ENDPOINT: {
        "GET": endpoints.read_endpoint,
        "PATCH": endpoints.update_endpoint,
        "DELETE": endpoints.delete_endpoint,
    },
    ENDPOINT + "/start": {"POST": endpoints.start_endpoint},
    ENDPOINT + "/suspend": {"POST": endpoints.suspend_endpoint},
    ENDPOINT + "/restart": {"POST": endpoints.restart_endpoint},
}


def _compile(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))


_COMPILED = [(template, _compile(template), methods) for template, methods in _ROUTES.items()]


@dataclass(frozen=True)
class RouteMatch:
    """The route of a request, its template, and the parameters of its path."""

    route: Route
    template: str
    names: dict[str, str]


@lru_cache(maxsize=4096)
def match_route(method: str, path: str) -> RouteMatch:
    """Find the route of a request.

    Raises:
        ApiError: 404 for an unknown path, 405 for a method that a path does not have.
    """
    for template, pattern, methods in _COMPILED:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if method not in methods:
            raise ApiError(405, "method not allowed")
        names = {name: unquote(value) for name, value in match.groupdict().items()}
        return RouteMatch(methods[method], template, names)
    raise not_found("path")

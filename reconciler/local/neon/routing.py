"""Which route answers which request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from reconciler.local.neon import (
    account,
    branch_list,
    branches,
    branching,
    connection,
    consumption,
    databases,
    endpoints,
    history,
    listing,
    organizations,
    projects,
    restore,
    roles,
    snapshots,
)
from reconciler.local.neon.call import Call
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import Problem, not_found

Route = Callable[[Call], Response]

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
    "/auth": {"GET": account.auth},
    "/users/me": {"GET": account.user},
    "/users/me/organizations": {"GET": account.organizations},
    "/regions": {"GET": account.regions},
    "/api_keys": {"GET": organizations.list_personal_keys, "POST": organizations.create_personal_key},
    "/api_keys/{key}": {"DELETE": organizations.revoke_personal_key},
    ORGANIZATION: {"GET": organizations.read_organization},
    ORGANIZATION + "/members": {"GET": organizations.list_members},
    ORGANIZATION_KEYS: {"GET": organizations.list_keys, "POST": organizations.create_key},
    ORGANIZATION_KEYS + "/{key}": {"DELETE": organizations.revoke_key},
    CONSUMPTION + "projects": {"GET": consumption.of_projects},
    CONSUMPTION + "branches": {"GET": consumption.of_branches},
    SHARED: {"GET": listing.list_shared},
    PROJECTS: {"GET": listing.list_projects, "POST": projects.create_project},
    PROJECT: {
        "GET": projects.read_project,
        "PATCH": projects.update_project,
        "DELETE": projects.delete_project,
    },
    PROJECT + "/recover": {"POST": projects.recover_project},
    PROJECT + "/connection_uri": {"GET": connection.read_connection_uri},
    PROJECT + "/operations": {"GET": history.list_operations},
    PROJECT + "/operations/{operation}": {"GET": history.read_operation},
    PROJECT + "/branches": {"GET": branch_list.list_branches, "POST": branching.create_branch},
    PROJECT + "/branches/count": {"GET": branch_list.count_branches},
    BRANCH: {
        "GET": branches.read_branch,
        "PATCH": branches.update_branch,
        "DELETE": branches.delete_branch,
    },
    BRANCH + "/set_as_default": {"POST": branches.set_default},
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


def _compiled(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))


_COMPILED = [(template, _compiled(template), methods) for template, methods in _ROUTES.items()]


@dataclass(frozen=True)
class Found:
    """The route of a request, its template, and the names in its path."""

    route: Route
    template: str
    names: dict[str, str]


@lru_cache(maxsize=4096)
def find(method: str, path: str) -> Found:
    """Find the route of a request.

    Raises:
        Problem: 404 for an unknown path, 405 for a method that a path does not have.
    """
    for template, pattern, methods in _COMPILED:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if method not in methods:
            raise Problem(405, "method not allowed")
        names = {name: unquote(value) for name, value in match.groupdict().items()}
        return Found(methods[method], template, names)
    raise not_found("path")

"""Which route answers which request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from reconciler.local.neon import (
    account,
    branch_list,
    branches,
    branching,
    connection,
    databases,
    endpoints,
    history,
    projects,
    restore,
    roles,
    snapshots,
)
from reconciler.local.neon.call import Call
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import Problem, not_found

Route = Callable[[Call], Response]

_PROJECT = "/projects/{project}"
_BRANCH = _PROJECT + "/branches/{branch}"
_SNAPSHOT = _PROJECT + "/snapshots/{snapshot}"
_ENDPOINT = _PROJECT + "/endpoints/{endpoint}"
_ROLE = _BRANCH + "/roles/{role}"
_DATABASE = _BRANCH + "/databases/{database}"

_ROUTES: Mapping[str, Mapping[str, Route]] = {
    "/auth": {"GET": account.auth},
    "/users/me/organizations": {"GET": account.organizations},
    "/regions": {"GET": account.regions},
    "/projects": {"GET": projects.list_projects, "POST": projects.create_project},
    _PROJECT: {
        "GET": projects.read_project,
        "PATCH": projects.update_project,
        "DELETE": projects.delete_project,
    },
    _PROJECT + "/recover": {"POST": projects.recover_project},
    _PROJECT + "/connection_uri": {"GET": connection.read_connection_uri},
    _PROJECT + "/operations": {"GET": history.list_operations},
    _PROJECT + "/operations/{operation}": {"GET": history.read_operation},
    _PROJECT + "/branches": {"GET": branch_list.list_branches, "POST": branching.create_branch},
    _PROJECT + "/branches/count": {"GET": branch_list.count_branches},
    _BRANCH: {
        "GET": branches.read_branch,
        "PATCH": branches.update_branch,
        "DELETE": branches.delete_branch,
    },
    _BRANCH + "/set_as_default": {"POST": branches.set_default},
    _BRANCH + "/restore": {"POST": restore.restore_branch},
    _BRANCH + "/finalize_restore": {"POST": snapshots.finalize_restore},
    _BRANCH + "/snapshot": {"POST": snapshots.create_snapshot},
    _PROJECT + "/snapshots": {"GET": snapshots.list_snapshots},
    _SNAPSHOT: {"PATCH": snapshots.update_snapshot, "DELETE": snapshots.delete_snapshot},
    _SNAPSHOT + "/restore": {"POST": snapshots.restore_snapshot},
    _BRANCH + "/endpoints": {"GET": endpoints.list_branch_endpoints},
    _BRANCH + "/roles": {"GET": roles.list_roles, "POST": roles.create_role},
    _ROLE: {"GET": roles.read_role, "DELETE": roles.delete_role},
    _ROLE + "/reveal_password": {"GET": roles.reveal_password},
    _ROLE + "/reset_password": {"POST": roles.reset_password},
    _BRANCH + "/databases": {"GET": databases.list_databases, "POST": databases.create_database},
    _DATABASE: {
        "GET": databases.read_database,
        "PATCH": databases.update_database,
        "DELETE": databases.delete_database,
    },
    _PROJECT + "/endpoints": {"GET": endpoints.list_endpoints, "POST": endpoints.create_endpoint},
    _ENDPOINT: {
        "GET": endpoints.read_endpoint,
        "PATCH": endpoints.update_endpoint,
        "DELETE": endpoints.delete_endpoint,
    },
    _ENDPOINT + "/start": {"POST": endpoints.start_endpoint},
    _ENDPOINT + "/suspend": {"POST": endpoints.suspend_endpoint},
    _ENDPOINT + "/restart": {"POST": endpoints.restart_endpoint},
}


def _compiled(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))


_COMPILED = [(_compiled(template), methods) for template, methods in _ROUTES.items()]


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Find the route of a request, and the names in its path.

    Raises:
        Problem: 404 for an unknown path, 405 for a method that a path does not have.
    """
    for pattern, methods in _COMPILED:
        match = pattern.fullmatch(path)
        if match is None:
            continue
        if method not in methods:
            raise Problem(405, "method not allowed")
        return methods[method], {name: unquote(value) for name, value in match.groupdict().items()}
    raise not_found("path")

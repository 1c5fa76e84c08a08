"""The hosts of computes: loopback, where the embedded Postgres listens, or a cell of Neon, where nothing listens.

Neon's hosts are ``<endpoint>[-pooler].<cell>.<region>.<platform>.neon.tech``; older projects have no cell label
(Neon API reference, Projects).
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.local.postgres.commands import database_name, role_name
from reconciler.local.state.account_state import AccountState, read_write
from reconciler.local.state.models import Branch, Endpoint, Project


@dataclass(frozen=True)
class Address:
    """The hosts of a compute, and two further parts of its URIs: the port with its colon, and the query."""

    direct: str
    pooled: str
    compute: str
    compute_pooled: str
    port: str
    query: str


def proxy_host(account: AccountState, project: Project) -> str:
    """Return the proxy host of all computes of a project."""
    if account.options.cell is None:
        return account.options.direct_host
    platform, region = project.region_id.split("-", 1)
    return f"{account.options.cell}.{region}.{platform}.neon.tech"


def address_of(account: AccountState, project: Project, endpoint: Endpoint) -> Address:
    """Return the address of a compute."""
    if account.options.cell is None:
        return _loopback(account)
    behind = proxy_host(account, project)
    return Address(
        f"{endpoint.id}.{behind}",
        f"{endpoint.id}-pooler.{behind}",
        f"{endpoint.id}-dsq.{behind}",
        f"{endpoint.id}-dsq-pooler.{behind}",
        "",
        "sslmode=require&channel_binding=require",
    )


def branch_address(account: AccountState, branch: Branch) -> Address:
    """Return the address of a branch's read-write compute.

    Raises:
        LookupError: the branch has none, and hosts are those of a cell.
    """
    if account.options.cell is None:
        return _loopback(account)
    project = account.project_of_branch(branch.id)
    endpoint = read_write(project, branch)
    if endpoint is None:
        raise LookupError(branch.id)
    return address_of(account, project, endpoint)


def resolve_names(account: AccountState, branch: Branch, database: str, role: str) -> tuple[str, str]:
    """Return the names of a database and a role in URIs: in the shared cluster they differ from the API names."""
    if account.options.cell is None:
        return database_name(branch.storage_key, database), role_name(branch.storage_key, role)
    return database, role


def _loopback(account: AccountState) -> Address:
    direct, pooled = account.options.direct_host, account.options.pooler_host
    return Address(direct, pooled, direct, pooled, f":{account.port}", "sslmode=disable")

"""Where computes are: on loopback, where a Postgres answers, or in a cell of Neon's, where nothing does.

Neon's hosts are ``<endpoint>[-pooler].<cell>.<region>.<platform>.neon.tech``; older projects have no cell label
(Neon API reference, Projects).
"""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.local.neon.commands import database_name, role_name
from reconciler.local.neon.state import Branch, Endpoint, Project
from reconciler.local.neon.world import World, read_write


@dataclass(frozen=True)
class Address:
    """The hosts of a compute, and what else its URIs say: the port with its colon, and the query."""

    direct: str
    pooled: str
    compute: str
    compute_pooled: str
    port: str
    query: str


def proxy_host(world: World, project: Project) -> str:
    """Return the host that all computes of a project lie behind."""
    if world.options.cell is None:
        return world.options.direct_host
    platform, region = project.region_id.split("-", 1)
    return f"{world.options.cell}.{region}.{platform}.neon.tech"


def address_of(world: World, project: Project, endpoint: Endpoint) -> Address:
    """Return the address of a compute."""
    if world.options.cell is None:
        return _loopback(world)
    behind = proxy_host(world, project)
    return Address(
        f"{endpoint.id}.{behind}",
        f"{endpoint.id}-pooler.{behind}",
        f"{endpoint.id}-dsq.{behind}",
        f"{endpoint.id}-dsq-pooler.{behind}",
        "",
        "sslmode=require&channel_binding=require",
    )


def branch_address(world: World, branch: Branch) -> Address:
    """Return the address of a branch's compute that writes.

    Raises:
        LookupError: the branch has none, and URIs are to name it.
    """
    if world.options.cell is None:
        return _loopback(world)
    project = world.home(branch.id)
    endpoint = read_write(project, branch)
    if endpoint is None:
        raise LookupError(branch.id)
    return address_of(world, project, endpoint)


def names_in(world: World, branch: Branch, database: str, role: str) -> tuple[str, str]:
    """Return the names of a database and a role in URIs: in a cluster that all branches share they are others."""
    if world.options.cell is None:
        return database_name(branch.place, database), role_name(branch.place, role)
    return database, role


def _loopback(world: World) -> Address:
    direct, pooled = world.options.direct_host, world.options.pooler_host
    return Address(direct, pooled, direct, pooled, f":{world.port}", "sslmode=disable")

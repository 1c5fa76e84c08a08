"""A project's whole life, step by step."""

from __future__ import annotations

import time

from reconciler.app_database import probe
from reconciler.core.host_allow_list import AddressRule, CheckedURI
from reconciler.core.ownership import APP_ID, APP_NAME, CATALOG, CONTROL_PLANE_ID, CREATE_SEQ, INCARNATION, NONCE, OWNER
from specs.names import BRANCH_NAME, DATABASE_NAME
from specs.neon import (
    BranchCreate,
    ComputeSettings,
    DefaultBranchSpec,
    ProjectCreate,
    ProjectSettings,
    ProjectUpdate,
    Quota,
)
from specs.settings import LOOPBACK_HOSTS, NEON_HOST_SUFFIXES
from tests.live.context import Live
from tests.live.registry import Phase, step

ROLES = "/projects/{project_id}/branches/{branch_id}/roles"
ROLE = ROLES + "/{role_name}"
DATABASES = "/projects/{project_id}/branches/{branch_id}/databases"
DATABASE = DATABASES + "/{database_name}"
RESET = ROLE + "/reset_password"
RESTORE = "/projects/{project_id}/branches/{branch_id}/restore"
BRANCHES = "/projects/{project_id}/branches"

# What a life consists of: each must have succeeded at least once, whoever sent it.
LIFE = (
    ("POST", "/projects"),
    ("GET", "/projects"),
    ("GET", "/projects/{project_id}"),
    ("GET", "/projects/{project_id}/operations"),
    ("GET", "/projects/{project_id}/connection_uri"),
    ("GET", BRANCHES),
    ("POST", BRANCHES),
    ("POST", ROLES),
    ("POST", DATABASES),
    ("POST", RESET),
    ("POST", RESTORE),
    ("PATCH", DATABASE),
    ("DELETE", ROLE),
    ("PATCH", "/projects/{project_id}"),
    ("DELETE", "/projects/{project_id}"),
    ("POST", "/projects/{project_id}/recover"),
)
PG_VERSION = 17
_QUOTA = Quota(active_time_seconds=36_000, logical_size_bytes=1_000_000_000)


@step(Phase.CREATED)
async def create(live: Live) -> None:
    """One call with all that a project of ours carries from its first moment."""
    annotations = {
        CONTROL_PLANE_ID: "live-suite", CATALOG: "live-suite", CREATE_SEQ: "1", APP_ID: live.app_id, INCARNATION: "1",
        NONCE: live.app_id, OWNER: "live-suite", APP_NAME: "live suite",
    }  # fmt: skip
    spec = ProjectCreate(
        name=live.name,
        org_id=live.org_id,
        region_id=live.region,
        pg_version=PG_VERSION,
        branch=DefaultBranchSpec(
            name=BRANCH_NAME, role_name=live.role, database_name=DATABASE_NAME, annotations=annotations
        ),
        default_endpoint_settings=ComputeSettings(autoscaling_limit_min_cu=0.25, autoscaling_limit_max_cu=0.25),
        settings=ProjectSettings(quota=Quota()),
    )
    live.created = await live.neon(lambda client: client.create_project(spec))
    live.answered_at = time.monotonic()
    live.kept["uri"] = live.created.connection_uris[0].connection_uri.get_secret_value()


@step(Phase.WHOLE)
async def read(live: Live) -> None:
    """Its operations end, and what was asked for is there, mark and all."""
    await live.settled()
    project_id = live.made.project.id
    project = await live.neon(lambda client: client.get_project(project_id))
    assert (project.name, project.org_id or project.owner_id) == (live.name, live.org_id), "name or organization"
    assert (project.region_id, project.pg_version) == (live.region, PG_VERSION), "region or version"
    listing = await live.neon(lambda client: client.list_all_projects(org_id=live.org_id, search=live.name))
    assert [each.id for each in listing.projects] == [project_id], "the list"
    branches = await live.neon(lambda client: client.list_branches(project_id))
    assert branches.annotations[live.made.branch.id][NONCE] == live.app_id, "the annotations"


@step(Phase.WHOLE)
async def connect(live: Live) -> None:
    """The URI of the create is what Neon says later too, and connects."""
    assert await live.uri(DATABASE_NAME, live.role) == live.kept["uri"], "the URI is another one"
    rule = AddressRule((*NEON_HOST_SUFFIXES, *LOOPBACK_HOSTS), live.role, DATABASE_NAME)
    await probe.probe(CheckedURI(live.made.connection_uris[0].connection_uri, rule))
    await live.sql(live.kept["uri"], "CREATE TABLE kept AS SELECT 42 AS n")


@step(Phase.CHANGED)
async def branch(live: Live) -> None:
    """A branch with a compute, whose data are its own."""
    project_id, spec = live.made.project.id, BranchCreate(name="side", with_compute=True)
    made = await live.neon(lambda client: client.create_branch(project_id, spec))
    await live.settled()
    live.kept["side"] = made.branch.id
    side = await live.uri(DATABASE_NAME, live.role, made.branch.id)
    await live.sql(side, "UPDATE kept SET n = 43")
    assert await live.sql(live.kept["uri"], "SELECT n FROM kept") == [(42,)], "the branch writes to its parent"


@step(Phase.CHANGED)
async def role_and_database(live: Live) -> None:
    """A second role, and a database that it owns."""
    await live.change("POST", ROLES, {"role": {"name": "second"}})
    await live.change("POST", DATABASES, {"database": {"name": "further", "owner_name": "second"}})
    await live.sql(await live.uri("further", "second"), "CREATE TABLE mine AS SELECT 1 AS n")


@step(Phase.CHANGED)
async def quota(live: Live) -> None:
    """A whole quota is set, and lifted again."""
    project_id = live.made.project.id
    for wanted in (_QUOTA, Quota()):
        spec = ProjectUpdate(settings=ProjectSettings(quota=wanted))
        await live.neon(lambda client, spec=spec: client.update_project(project_id, spec))  # type: ignore[misc]
        await live.settled()
        project = await live.neon(lambda client: client.get_project(project_id))
        assert project.quota == wanted, "the quota"


@step(Phase.DELETED)
async def delete(live: Live) -> None:
    """Deleted, and from then on among the recoverable ones only."""
    project_id = live.made.project.id
    await live.neon(lambda client: client.delete_project(project_id))
    for recoverable in (True, False):
        listing = await live.neon(
            lambda client, recoverable=recoverable: client.list_all_projects(  # type: ignore[misc]
                org_id=live.org_id, search=live.name, recoverable=recoverable
            )
        )
        assert (project_id in {each.id for each in listing.projects}) == recoverable, "the lists"


@step(Phase.RECOVERED)
async def recover(live: Live) -> None:
    """Brought back with its data and its URI."""
    project_id = live.made.project.id
    await live.neon(lambda client: client.recover_project(project_id))
    await live.settled()
    assert await live.uri(DATABASE_NAME, live.role) == live.kept["uri"], "the URI is another one"
    assert await live.sql(live.kept["uri"], "SELECT n FROM kept") == [(42,)], "the data"


@step(Phase.GONE)
async def delete_again(live: Live) -> None:
    """A recovered project can be deleted as any other."""
    project_id = live.made.project.id
    await live.neon(lambda client: client.delete_project(project_id))

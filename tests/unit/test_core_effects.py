"""The closed list of effects: each has a handler, and each call is the request that it names."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core import effects as e
from reconciler.runtime.handlers import HANDLERS, READ_HANDLERS, find_handler
from reconciler.telemetry.reconcile_metrics import REPAIRS
from specs.neon import EndpointCreate, ProjectUpdate
from specs.status import Reason
from tests.unit.core_passes import Neon, passed
from tests.unit.test_core_create import NEW
from tests.unit.test_core_recovering import NOW, app, project

MUTATIONS = {"CreateProject", "UpdateProject", "RecoverProject", "CreateEndpoint", "UnprotectBranch", "DeleteProject"}
PROJECT = "/projects/p-1"


def _effects() -> list[type[e.Effect[Any]]]:
    abstract = (e.Effect, e.Read, e.Mutate)
    kinds = (kind for kind in vars(e).values() if isinstance(kind, type) and issubclass(kind, e.Effect))
    return [kind for kind in kinds if kind not in abstract]


def test_every_effect_has_one_handler_and_a_dry_run_none_that_acts() -> None:
    """A deep resync ends at the first effect without a handler for reads."""
    assert [kind for kind in _effects() if find_handler(HANDLERS, kind) is None] == []
    assert {kind.__name__ for kind in _effects() if issubclass(kind, e.Mutate)} == MUTATIONS
    assert {kind.__name__ for kind in _effects() if find_handler(READ_HANDLERS, kind)} == {
        "VerifyAccess", "ListProjects", "GetProject", "ListBranches", "ListEndpoints", "ListOperations",
        "GetConnectionURI", "DecryptCredentials",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("effect", "method", "path", "content"),
    [
        (e.GetProject("p-1"), "GET", PROJECT, {}),
        (e.ListEndpoints("p-1"), "GET", f"{PROJECT}/endpoints", {}),
        (e.ListOperations("p-1"), "GET", f"{PROJECT}/operations", {"limit": "100"}),
        (
            e.GetConnectionURI("p-1", "br-1", "owner", "db", pooled=True),
            "GET",
            f"{PROJECT}/connection_uri",
            {"database_name": "db", "role_name": "owner", "branch_id": "br-1", "pooled": "true"},
        ),
        (e.UpdateProject("p-1", ProjectUpdate(name="n")), "PATCH", PROJECT, {"project": {"name": "n"}}),
        (e.RecoverProject("p-1"), "POST", f"{PROJECT}/recover", {}),
        (
            e.CreateEndpoint("p-1", EndpointCreate(branch_id="br-1")),
            "POST",
            f"{PROJECT}/endpoints",
            {"endpoint": {"branch_id": "br-1", "type": "read_write"}},
        ),
        (e.UnprotectBranch("p-1", "br-1"), "PATCH", f"{PROJECT}/branches/br-1", {"branch": {"protected": False}}),
        (e.DeleteProject("p-1"), "DELETE", PROJECT, {}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, e.Effect) else "",
)
def test_a_call_is_the_request_that_it_names(
    effect: e.Read[Any] | e.Mutate[Any], method: str, path: str, content: dict[str, Any]
) -> None:
    request = effect.call().request
    assert (request.method, request.path, request.body or dict(request.params)) == (method, path, content)


def test_a_create_sends_its_spec() -> None:
    [create] = [
        effect for effect in passed(NEW, Neon(created=project(NEW))).effects if isinstance(effect, e.CreateProject)
    ]
    assert create.call().request.body == {"project": create.spec.model_dump(mode="json", exclude_none=True)}


def test_the_repairs_of_effects_are_labels_of_the_metric() -> None:
    assert {kind.repairs for kind in _effects() if issubclass(kind, e.Mutate)} - {None} <= set(REPAIRS)


def test_the_key_is_looked_at_again_only_where_that_is_asked_for() -> None:
    of = app(Reason.AVAILABLE)
    assert e.VerifyAccess(fresh=False) in passed(of, Neon(alive=(project(of),))).effects


def test_a_change_is_counted_as_the_sweeps_only_where_that_is_said() -> None:
    of = app(Reason.AVAILABLE, delete_requested_at=NOW)
    assert e.AuthorizeMutation(automatic=False) in passed(of, Neon(alive=(project(of),))).effects

"""One pass of the core, driven by hand: what it asked for, what it wrote, and when it looks again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from reconciler import errors
from reconciler.core import effects as e
from reconciler.core.context import ControlPlane, CreateIntent, Credentials, ReconcileContext, Result, StatusUpdate
from reconciler.core.ownership import build_annotations
from reconciler.core.reconcile import reconcile
from specs.metadata import AppMetadata
from specs.neon import (
    Branch,
    BranchList,
    ConnectionDetails,
    ConnectionParameters,
    CreateProjectResponse,
    Endpoint,
    Operation,
    Project,
    ProjectListing,
    UnreadableProject,
    UpdateProjectResponse,
)
from specs.status import ConditionType, find_condition
from tests.unit.test_core_recovering import NOW, URI

ORG = "org-1"
PLANE = ControlPlane("morphik", "catalog-1", 30.0, (".neon.tech",))
POOLED = SecretStr(URI.get_secret_value().replace("ep-one", "ep-one-pooler"))


def neon_error(kind: type[errors.NeonAPIError]) -> errors.NeonAPIError:
    """An error of Neon's."""
    return kind(method="GET", route="/projects", detail="d")


GONE = neon_error(errors.NeonNotFound)


@dataclass
class Neon:
    """What the world answers; ``errors`` are thrown instead, by the kind of effect."""

    alive: tuple[Project, ...] = ()
    deleted: tuple[Project, ...] = ()
    unavailable: tuple[str, ...] = ()
    unreadable: tuple[UnreadableProject, ...] = ()
    unreadable_branches: int = 0
    marks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    branches: tuple[Branch, ...] = (Branch(id="br-1", name="main", default=True),)
    endpoints: tuple[Endpoint, ...] = (Endpoint(id="ep-1", branch_id="br-1", type="read_write"),)
    operations: tuple[Operation, ...] = ()
    uri: SecretStr = URI
    through_pooler: SecretStr = POOLED
    held: Credentials | None = None
    created: Project | None = None
    uris: tuple[ConnectionDetails, ...] = (
        ConnectionDetails(
            connection_uri=URI, connection_parameters=ConnectionParameters(pooler_host="ep-one-pooler.neon.tech")
        ),
    )
    changed: Project | None = None
    errors: Mapping[Any, errors.ReconcileError] = field(default_factory=dict)

    def answer(self, effect: e.Effect[Any]) -> Any:
        """The answer to one effect, or the error that it meets."""
        if type(effect) in self.errors:
            return self.errors[type(effect)]
        match effect:
            case e.VerifyAccess():
                return ORG
            case e.GetProject(project_id):
                return next((each for each in (*self.alive, *self.deleted) if each.id == project_id), GONE)
            case e.ListProjects(search, recoverable):
                listed = self.deleted if recoverable else self.alive
                matching = tuple(each for each in listed if search in each.id or search in each.name)
                return ProjectListing(
                    projects=matching, unavailable_project_ids=self.unavailable, unreadable=self.unreadable
                )
            case e.ListBranches(project_id):
                marks = {"br-1": dict(self.marks.get(project_id, {}))}
                return BranchList(branches=self.branches, annotations=marks, unreadable=self.unreadable_branches)
            case e.OpenIntent(nonce, again):
                return CreateIntent(again or 1, 1, nonce, "open", NOW)
            case e.GetConnectionURI():
                return self.through_pooler if effect.pooled else self.uri
        return self._of_the_rest(effect)

    def _of_the_rest(self, effect: e.Effect[Any]) -> Any:
        match effect:
            case e.CreateProject():
                assert self.created is not None
                return CreateProjectResponse(project=self.created, branch=self.branches[0], connection_uris=self.uris)
            case e.UpdateProject():
                assert self.changed is not None
                return UpdateProjectResponse(project=self.changed)
            case e.ListEndpoints():
                return self.endpoints
            case e.ListOperations():
                return self.operations
            case e.DecryptCredentials():
                return self.held
        return None


@dataclass(frozen=True)
class Passed:
    """What one pass did."""

    effects: tuple[e.Effect[Any], ...]
    again: Result | None
    error: errors.ReconcileError | None = None

    @property
    def told(self) -> list[StatusUpdate]:
        """What it wrote about the app."""
        return [
            each.update
            for each in self.effects
            if isinstance(each, e.RecordStatus | e.RecordProject | e.RecordCredentials)
        ]

    @property
    def changes(self) -> list[e.Effect[Any]]:
        """What it asked for beyond looking and telling."""
        silent = (e.OpenIntent, e.AuthorizeMutation, e.MarkIntentRejected, e.RecordAbsence, e.DismissDuplicate)
        return [each for each in self.effects if isinstance(each, (e.Mutate, *silent))]

    @property
    def kinds(self) -> list[str]:
        """The names of all that it asked for, in order."""
        return [type(each).__name__ for each in self.effects]

    @property
    def events(self) -> list[str]:
        """The kinds of the events that it told."""
        return [event.type for said in self.told for event in said.events]

    def said(self, kind: ConditionType) -> tuple[str, str] | None:
        """The status and the reason that it wrote last."""
        condition = find_condition(self.told[-1].conditions, kind)
        return None if condition is None else (condition.status, condition.reason)

    @property
    def ready(self) -> tuple[str, str] | None:
        """What it said of the database."""
        return self.said(ConditionType.READY)

    @property
    def synced(self) -> tuple[str, str] | None:
        """What it said of the project."""
        return self.said(ConditionType.SYNCED)


def snapshot(of: AppMetadata, **changes: Any) -> ReconcileContext:
    """What a pass over an app knows; chance takes the half, and nothing failed before."""
    fields: dict[str, Any] = {"control_plane": PLANE, "now": NOW, "attempts": 0, "jitter": 0.5, "nonce": "nonce"}
    return ReconcileContext(of, **fields | changes)


def passed(of: AppMetadata, neon: Neon, **changes: Any) -> Passed:
    """One pass over an app."""
    return driven(reconcile(snapshot(of, **changes)), neon)


def driven(steps: e.EffectGenerator[Any], neon: Neon) -> Passed:
    """Give the answers until the steps end."""
    asked: list[e.Effect[Any]] = []
    answer: Any = None
    try:
        while True:
            effect = steps.throw(answer) if isinstance(answer, errors.ReconcileError) else steps.send(answer)
            asked.append(effect)
            answer = neon.answer(effect)
    except StopIteration as end:
        return Passed(tuple(asked), end.value)
    except errors.ReconcileError as error:
        return Passed(tuple(asked), None, error)


def mark(of: AppMetadata, intent: CreateIntent) -> dict[str, str]:
    """What the project of a create carries."""
    return build_annotations(of, PLANE, intent)

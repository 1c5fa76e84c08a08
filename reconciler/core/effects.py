"""Everything that a reconcile can ask the world for: a closed list.

Each effect names the type of its answer. A driver performs one at a time and sends the answer in, or throws an error
of ``reconciler.errors``. Effects on the catalog are conditional on the lease's fencing token: where another worker
may hold the app, the driver throws ``LeaseLost`` and nothing was written.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from pydantic import SecretStr

from reconciler.core.context import CreateIntent, Credentials, StatusUpdate
from reconciler.core.host_allow_list import CheckedURI
from specs.neon import (
    BranchList,
    CreateProjectResponse,
    Endpoint,
    EndpointCreate,
    EndpointResponse,
    Operation,
    Project,
    ProjectCreate,
    ProjectListing,
    ProjectUpdate,
    RecoverProjectResponse,
    UpdateBranchResponse,
    UpdateProjectResponse,
)

T = TypeVar("T")


class Effect(Generic[T]):
    """One thing to be done by the driver; ``T`` is its answer.

    Attributes:
        mutates: whether it changes something at Neon.
    """

    mutates: ClassVar[bool] = False


EffectGenerator: TypeAlias = Generator[Effect[Any], Any, T]


def perform(effect: Effect[T]) -> EffectGenerator[T]:
    """Yield one effect and give its answer back, typed."""
    answer: T = yield effect
    return answer


# Neon, reading


@dataclass(frozen=True, slots=True)
class VerifyAccess(Effect[str]):
    """Which organization the key works for; the same answer may be used again unless ``fresh``."""

    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ListProjects(Effect[ProjectListing]):
    """Projects whose name or id holds ``search``; deleted ones within their recovery window if ``recoverable``."""

    search: str
    recoverable: bool = False


@dataclass(frozen=True, slots=True)
class GetProject(Effect[Project]):
    """One project, fresh."""

    project_id: str


@dataclass(frozen=True, slots=True)
class ListBranches(Effect[BranchList]):
    """All branches of a project, with their annotations."""

    project_id: str


@dataclass(frozen=True, slots=True)
class ListEndpoints(Effect[tuple[Endpoint, ...]]):
    """All computes of a project."""

    project_id: str


@dataclass(frozen=True, slots=True)
class ListOperations(Effect[tuple[Operation, ...]]):
    """The newest operations of a project."""

    project_id: str


@dataclass(frozen=True, slots=True)
class GetConnectionURI(Effect[SecretStr]):
    """Neon's own connection URI for a role and a database of a branch."""

    project_id: str
    branch_id: str
    role_name: str
    database_name: str
    pooled: bool


# Neon, changing


@dataclass(frozen=True, slots=True)
class CreateProject(Effect[CreateProjectResponse]):
    """The one call that makes an app's project."""

    mutates = True
    spec: ProjectCreate


@dataclass(frozen=True, slots=True)
class UpdateProject(Effect[UpdateProjectResponse]):
    """Put a project's name or settings back."""

    mutates = True
    project_id: str
    update: ProjectUpdate


@dataclass(frozen=True, slots=True)
class RecoverProject(Effect[RecoverProjectResponse]):
    """Bring a deleted project back."""

    mutates = True
    project_id: str


@dataclass(frozen=True, slots=True)
class CreateEndpoint(Effect[EndpointResponse]):
    """Give a branch its read-write compute again."""

    mutates = True
    project_id: str
    spec: EndpointCreate


@dataclass(frozen=True, slots=True)
class UnprotectBranch(Effect[UpdateBranchResponse]):
    """Take a branch's protection away, which blocks the deletion of its project."""

    mutates = True
    project_id: str
    branch_id: str


@dataclass(frozen=True, slots=True)
class DeleteProject(Effect[Project]):
    """Delete a project."""

    mutates = True
    project_id: str


# The app's database


@dataclass(frozen=True, slots=True)
class ProbeDatabase(Effect[None]):
    """Connect with a URI and run a statement; ``AppDatabaseUnreachable`` when that fails."""

    uri: CheckedURI


# The catalog


@dataclass(frozen=True, slots=True)
class OpenIntent(Effect[CreateIntent]):
    """Commit the intent to create, before the request is sent.

    ``again`` names a refused intent whose nonce is used once more, else a new one is made.
    Throws ``MutationsSuspended``, and ``LeaseLost`` when the lease ends too soon for the request.
    """

    nonce: str
    reuse_create_seq: int | None


@dataclass(frozen=True, slots=True)
class AuthorizeMutation(Effect[None]):
    """Ask, right before a change other than a create, whether it may be sent; the lease is renewed.

    A change that nobody asked for (``swept``) is taken from the sweeps' delete budget.
    Throws ``MutationsSuspended`` or ``LeaseLost``.
    """

    automatic: bool = False


@dataclass(frozen=True, slots=True)
class MarkIntentRejected(Effect[None]):
    """Record that the request of an intent was definitely not carried out."""

    create_seq: int


@dataclass(frozen=True, slots=True)
class RecordAbsence(Effect[None]):
    """Record that a complete list did not show the project of an open intent.

    ``proven`` closes the intent: it was the second such list.
    """

    create_seq: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class RecordProject(Effect[None]):
    """Write the project's id, once: compare-and-set on there being none."""

    create_seq: int
    project_id: str
    org_id: str
    credentials: Credentials | None
    update: StatusUpdate


@dataclass(frozen=True, slots=True)
class RecordCredentials(Effect[None]):
    """Seal and publish a URI that was connected to."""

    credentials: Credentials
    update: StatusUpdate


@dataclass(frozen=True, slots=True)
class RecordStatus(Effect[None]):
    """Write what was observed: conditions, status, a few columns, and the events that go with them."""

    update: StatusUpdate


@dataclass(frozen=True, slots=True)
class DecryptCredentials(Effect[Credentials | None]):
    """The credentials that the catalog holds, opened.

    None when there are none, no key opens them, or they are not allowed (any more).
    """


@dataclass(frozen=True, slots=True)
class DismissDuplicate(Effect[None]):
    """Forget a project id that a sweep took for a surplus; ``report`` keeps it as one that is left alone."""

    project_id: str
    report: bool

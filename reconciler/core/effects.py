"""All effects that a reconcile can request: a closed list.

Each effect names the type of its result. The runtime performs one at a time and sends the result, or throws an error
of ``reconciler.errors``. Effects on the catalog are conditional on the lease's fencing token: if another worker may
hold the lease, the runtime writes nothing and throws ``LeaseLost``.
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
    """One request to the runtime; ``T`` is the type of its result.

    Attributes:
        mutates: whether it is a mutation.
    """

    mutates: ClassVar[bool] = False


EffectGenerator: TypeAlias = Generator[Effect[Any], Any, T]


def perform(effect: Effect[T]) -> EffectGenerator[T]:
    """Yield one effect and return its typed result."""
    result: T = yield effect
    return result


# Reads of Neon


@dataclass(frozen=True, slots=True)
class VerifyAccess(Effect[str]):
    """Verify the key and return its organization's id; a cached result is valid unless ``fresh``."""

    fresh: bool = False


@dataclass(frozen=True, slots=True)
class ListProjects(Effect[ProjectListing]):
    """Projects whose name or id contains ``search``; deleted ones within their recovery window if ``recoverable``."""

    search: str
    recoverable: bool = False


@dataclass(frozen=True, slots=True)
class GetProject(Effect[Project]):
    """One project, never from a cache."""

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


# Mutations


@dataclass(frozen=True, slots=True)
class CreateProject(Effect[CreateProjectResponse]):
    """Create an app's project by one request."""

    mutates = True
    spec: ProjectCreate


@dataclass(frozen=True, slots=True)
class UpdateProject(Effect[UpdateProjectResponse]):
    """Set a project's name or settings."""

    mutates = True
    project_id: str
    update: ProjectUpdate


@dataclass(frozen=True, slots=True)
class RecoverProject(Effect[RecoverProjectResponse]):
    """Recover a deleted project."""

    mutates = True
    project_id: str


@dataclass(frozen=True, slots=True)
class CreateEndpoint(Effect[EndpointResponse]):
    """Create the read-write compute of a branch that has none."""

    mutates = True
    project_id: str
    spec: EndpointCreate


@dataclass(frozen=True, slots=True)
class UnprotectBranch(Effect[UpdateBranchResponse]):
    """Remove a branch's protection, which blocks the deletion of its project."""

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
    """Connect with a URI and execute a statement. Throws ``AppDatabaseUnreachable`` if that fails."""

    uri: CheckedURI


# The catalog


@dataclass(frozen=True, slots=True)
class OpenIntent(Effect[CreateIntent]):
    """Commit the intent to create, before the request is sent.

    ``reuse_create_seq`` names a rejected intent whose nonce is reused; None makes a new intent.
    Throws ``MutationsSuspended``, and ``LeaseLost`` if the lease ends too soon for the request.
    """

    nonce: str
    reuse_create_seq: int | None


@dataclass(frozen=True, slots=True)
class AuthorizeMutation(Effect[None]):
    """Authorize a mutation other than a create immediately before it is sent, and renew the lease.

    An ``automatic`` mutation, which no user requested, counts against the automatic delete budget.
    Throws ``MutationsSuspended`` or ``LeaseLost``.
    """

    automatic: bool = False


@dataclass(frozen=True, slots=True)
class MarkIntentRejected(Effect[None]):
    """Record that Neon definitely did not execute the request of an intent."""

    create_seq: int


@dataclass(frozen=True, slots=True)
class RecordAbsence(Effect[None]):
    """Record that a complete list did not contain the project of an open intent.

    ``confirmed`` closes the intent: this was the second such list.
    """

    create_seq: int
    confirmed: bool


@dataclass(frozen=True, slots=True)
class RecordProject(Effect[None]):
    """Write the project's id: a compare-and-set that requires that the row has none."""

    create_seq: int
    project_id: str
    org_id: str
    credentials: Credentials | None
    update: StatusUpdate


@dataclass(frozen=True, slots=True)
class RecordCredentials(Effect[None]):
    """Seal and publish a URI after a successful connection."""

    credentials: Credentials
    update: StatusUpdate


@dataclass(frozen=True, slots=True)
class RecordStatus(Effect[None]):
    """Write the observed state: conditions, status, timestamps and events."""

    update: StatusUpdate


@dataclass(frozen=True, slots=True)
class DecryptCredentials(Effect[Credentials | None]):
    """Decrypt the credentials in the catalog.

    None if there are none, no key decrypts them, or the address rule does not allow them (any more).
    """


@dataclass(frozen=True, slots=True)
class DismissDuplicate(Effect[None]):
    """Remove a project id from the app's duplicates; ``report`` records it as known, and nothing changes it."""

    project_id: str
    report: bool

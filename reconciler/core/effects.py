"""All effects that a reconcile can request: a closed list.

Each effect names the type of its result. The runtime performs one at a time and sends the result, or throws an error
of ``reconciler.errors``. A ``Read`` or a ``Mutate`` is one call of Neon's API. Effects on the catalog are conditional
on the lease's fencing token: if another worker may hold the lease, the runtime writes nothing and throws ``LeaseLost``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from pydantic import SecretStr

from reconciler.core.context import CreateIntent, Credentials, StatusUpdate
from reconciler.core.host_allow_list import CheckedURI
from reconciler.neon import codec
from reconciler.neon.protocol import NeonCall
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
    """One request to the runtime; ``T`` is the type of its result."""


class Read(Effect[T], ABC):
    """A read of Neon by one call."""

    @abstractmethod
    def call(self) -> NeonCall[T]:
        """Return the request and the reader of its response. Raises InvalidNeonId."""


class Mutate(Effect[T], ABC):
    """A mutation of Neon by one call. The runtime sends it only under an authorization.

    Attributes:
        repairs: what the mutation restores if it removes drift, as a label of the metric of repairs.
    """

    repairs: ClassVar[str | None] = None

    @abstractmethod
    def call(self) -> NeonCall[T]:
        """Return the request and the reader of its response. Raises InvalidNeonId."""


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
class GetProject(Read[Project]):
    """One project, never from a cache."""

    project_id: str

    def call(self) -> NeonCall[Project]:
        """Return the call."""
        return codec.get_project(self.project_id)


@dataclass(frozen=True, slots=True)
class ListBranches(Effect[BranchList]):
    """All branches of a project, with their annotations."""

    project_id: str


@dataclass(frozen=True, slots=True)
class ListEndpoints(Read[tuple[Endpoint, ...]]):
    """All computes of a project."""

    project_id: str

    def call(self) -> NeonCall[tuple[Endpoint, ...]]:
        """Return the call."""
        return codec.list_endpoints(self.project_id)


@dataclass(frozen=True, slots=True)
class ListOperations(Read[tuple[Operation, ...]]):
    """The newest operations of a project."""

    project_id: str

    def call(self) -> NeonCall[tuple[Operation, ...]]:
        """Return the call."""
        return codec.list_operations(self.project_id)


@dataclass(frozen=True, slots=True)
class GetConnectionURI(Read[SecretStr]):
    """Neon's own connection URI for a role and a database of a branch."""

    project_id: str
    branch_id: str
    role_name: str
    database_name: str
    pooled: bool

    def call(self) -> NeonCall[SecretStr]:
        """Return the call."""
        return codec.get_connection_uri(
            self.project_id, self.database_name, self.role_name, branch_id=self.branch_id, pooled=self.pooled
        )


# Mutations


@dataclass(frozen=True, slots=True)
class CreateProject(Mutate[CreateProjectResponse]):
    """Create an app's project by one request."""

    spec: ProjectCreate

    def call(self) -> NeonCall[CreateProjectResponse]:
        """Return the call."""
        return codec.create_project(self.spec)


@dataclass(frozen=True, slots=True)
class UpdateProject(Mutate[UpdateProjectResponse]):
    """Set a project's name or settings."""

    repairs = "settings"
    project_id: str
    update: ProjectUpdate

    def call(self) -> NeonCall[UpdateProjectResponse]:
        """Return the call."""
        return codec.update_project(self.project_id, self.update)


@dataclass(frozen=True, slots=True)
class RecoverProject(Mutate[RecoverProjectResponse]):
    """Recover a deleted project."""

    repairs = "recovered"
    project_id: str

    def call(self) -> NeonCall[RecoverProjectResponse]:
        """Return the call."""
        return codec.recover_project(self.project_id)


@dataclass(frozen=True, slots=True)
class CreateEndpoint(Mutate[EndpointResponse]):
    """Create the read-write compute of a branch that has none."""

    repairs = "compute"
    project_id: str
    spec: EndpointCreate

    def call(self) -> NeonCall[EndpointResponse]:
        """Return the call."""
        return codec.create_endpoint(self.project_id, self.spec)


@dataclass(frozen=True, slots=True)
class UnprotectBranch(Mutate[UpdateBranchResponse]):
    """Remove a branch's protection, which blocks the deletion of its project."""

    project_id: str
    branch_id: str

    def call(self) -> NeonCall[UpdateBranchResponse]:
        """Return the call."""
        return codec.update_branch(self.project_id, self.branch_id, protected=False)


@dataclass(frozen=True, slots=True)
class DeleteProject(Mutate[Project]):
    """Delete a project."""

    project_id: str

    def call(self) -> NeonCall[Project]:
        """Return the call."""
        return codec.delete_project(self.project_id)


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

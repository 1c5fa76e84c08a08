"""The state of the simulator, with ids, lookups and the scheduling of operations."""

from __future__ import annotations

import random
import string
import uuid
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator

from reconciler.local.auth.api_keys import ApiKeyStore
from reconciler.local.errors import locked, not_found
from reconciler.local.options import LocalNeonOptions
from reconciler.local.state.fault_injection import OutcomePlan
from reconciler.local.state.models import (
    Branch,
    Endpoint,
    Operation,
    Project,
)

ADJECTIVES = (
    "aged", "autumn", "bold", "broad", "calm", "cold", "cool", "crimson", "damp", "dark", "dawn", "dry", "empty",
    "falling", "flat", "floral", "fragrant", "frosty", "gentle", "green", "hidden", "holy", "icy", "jolly", "late",
    "lingering", "little", "long", "lucky", "misty", "morning", "muddy", "noisy", "odd", "old", "orange", "patient",
    "plain", "polished", "proud", "purple", "quiet", "rapid", "red", "restless", "rough", "round", "royal", "shiny",
    "silent", "small", "snowy", "soft", "solitary", "spring", "square", "steep", "still", "summer", "super", "sweet",
    "tight", "tiny", "twilight", "wandering", "weathered", "white", "wild", "winter", "wispy", "withered", "yellow",
)  # fmt: skip
NOUNS = (
    "art", "band", "bar", "base", "bird", "block", "boat", "bonus", "bread", "breeze", "brook", "bush", "butterfly",
    "cake", "cell", "cherry", "cloud", "credit", "dawn", "dew", "disk", "dream", "dust", "feather", "field", "fire",
    "firefly", "flower", "fog", "forest", "frog", "frost", "glade", "glitter", "grass", "hall", "hat", "haze", "heart",
    "hill", "king", "lab", "lake", "leaf", "limit", "math", "meadow", "mode", "moon", "morning", "mountain", "mouse",
    "mud", "night", "paper", "pine", "poetry", "pond", "queen", "rain", "recipe", "resonance", "rice", "river", "salad",
    "scene", "sea", "shadow", "shape", "silence", "sky", "smoke", "snow", "snowflake", "sound", "star", "sun", "sunset",
    "surf", "term", "thunder", "tooth", "tree", "truth", "union", "unit", "violet", "voice", "water", "waterfall",
    "wave", "wildflower", "wind", "wood",
)  # fmt: skip
# The id of the account's document among those of projects; no project has such an id.
ACCOUNT = "account"
_LETTERS = string.ascii_letters + string.digits
_MAX_OPERATIONS = 2000
_OPERATION_RETENTION_SECONDS = 183 * 86400.0


class AccountState:
    """All projects, the keys, and the simulator's source of randomness."""

    def __init__(self, options: LocalNeonOptions, seed: int, token: Callable[[int], str] | None) -> None:
        self.options = options
        self.port = options.port
        self.projects: dict[str, Project] = {}
        self.order: list[str] = []
        self.unavailable: set[str] = set()
        self.changed: set[str] = set()
        self.active: dict[str, None] = {}
        self.deleted: dict[str, None] = {}
        self.needs_reschedule: set[str] = set()
        self.next_runs: dict[str, float] = {}
        self._projects_of_branches: dict[str, str] = {}
        self.keys = ApiKeyStore(options)
        self.outcomes = OutcomePlan(seed, options.failure_rate)
        self.expiring: dict[str, None] = {}
        self._random = random.Random(seed)  # noqa: S311 - served, passwords come from ``token``
        self._token = token

    def password(self) -> str:
        """Return a new password."""
        return "npg_" + self._secret(32)

    def key_token(self) -> str:
        """Return a new API key."""
        return "napi_" + self._secret(64)

    def _secret(self, length: int) -> str:
        if self._token is not None:
            return self._token(length)
        return "".join(self._random.choices(_LETTERS, k=length))

    def new_id(self, prefix: str, taken: Callable[[str], bool]) -> str:
        """Return a new id of the form ``<prefix>adjective-noun-12345678``."""
        while True:
            label = f"{self._random.choice(ADJECTIVES)}-{self._random.choice(NOUNS)}"
            number = f"{self._random.randrange(10**7, 10**8)}"
            tail = number if not prefix else "a" + format(int(number) + 0x10000000, "x")[:7]
            fresh = f"{prefix}{label}-{tail}"
            if not taken(fresh):
                return fresh

    def database_id(self) -> int:
        """Return a number for a database."""
        return self._random.randrange(1_000_000, 2**31)

    def add(self, project: Project) -> None:
        """Add a new or loaded project."""
        if project.id not in self.projects:
            insort(self.order, project.id)
        self.projects[project.id] = project
        self.needs_reschedule.add(project.id)
        if not project.org_id:
            project.org_id = self.options.org_id
        if project.unfinished():
            self.active[project.id] = None
        if project.deleted_at is not None:
            self.deleted[project.id] = None
        expiries = [branch.expires_at for branch in project.branches.values()]
        expiries += [snapshot.expires_at for snapshot in project.snapshots.values()]
        if any(moment is not None for moment in expiries):
            self.expiring[project.id] = None

    def remove(self, project: Project) -> None:
        """Remove a project whose recovery window is over."""
        del self.projects[project.id]
        self.order.remove(project.id)
        self.active.pop(project.id, None)
        self.deleted.pop(project.id, None)
        self.next_runs.pop(project.id, None)
        self.changed.add(project.id)

    def projects_after(self, cursor: str | None) -> Iterator[Project]:
        """Iterate over all projects by id, after a cursor."""
        start = 0 if cursor is None else bisect_right(self.order, cursor)
        return (self.projects[self.order[index]] for index in range(start, len(self.order)))

    def project_of_branch(self, branch_id: str) -> Project:
        """Return the project of an existing branch. Searched once for each branch, newest projects first."""
        project = self.projects.get(self._projects_of_branches.get(branch_id, ""))
        if project is None:
            project = next(owner for owner in reversed(self.projects.values()) if branch_id in owner.branches)
            self._projects_of_branches[branch_id] = project.id
        return project

    def project(self, project_id: str) -> Project:
        """Return a project that is not deleted.

        Raises:
            ApiError: 404.
        """
        project = self.projects.get(project_id)
        if project is None or project.deleted_at is not None:
            raise not_found("project")
        return project

    def free_project(self, project_id: str) -> Project:
        """Return a project without unfinished operations, in order to change it.

        Raises:
            ApiError: 404 when it does not exist, 423 while operations run.
        """
        project = self.project(project_id)
        if project.id in self.active:
            raise locked()
        return project

    def start(
        self,
        project: Project,
        now: float,
        action: str,
        branch: Branch | None = None,
        endpoint: Endpoint | None = None,
        *,
        carried_out: bool = False,
        dropped_role: str | None = None,
        dropped_database: str | None = None,
    ) -> Operation:
        """Schedule an operation after the unfinished ones of the project.

        ``carried_out`` means that the command of an earlier operation covers this one, which then only takes its time.
        """
        low, high = self.options.operation_seconds
        first = not project.unfinished()
        seconds = self._random.uniform(low, high)
        project.sequence += 1
        operation = Operation(
            id=str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            seq=project.sequence,
            action=action,
            branch_id=None if branch is None else branch.id,
            endpoint_id=None if endpoint is None else endpoint.id,
            status="running" if first else "scheduling",
            seconds=seconds,
            finish_by=now + seconds if first else None,
            carried_out=carried_out,
            dropped_role=dropped_role,
            dropped_database=dropped_database,
            outcome="finish" if project.purging else self.outcomes.draw(),
            created_at=now,
            updated_at=now,
        )
        recent = (
            previous
            for previous in project.operations[-_MAX_OPERATIONS:]
            if previous.created_at > now - _OPERATION_RETENTION_SECONDS
        )
        project.operations = [*recent, operation]
        self.active[project.id] = None
        self.mark_dirty(project)
        return operation

    def mark_dirty(self, project: Project, now: float | None = None) -> None:
        """Record that a project changed; with a time, also as its ``updated_at``."""
        project.updated_at = project.updated_at if now is None else now
        self.changed.add(project.id)
        self.needs_reschedule.add(project.id)


def find_branch(project: Project, branch_id: str) -> Branch:
    """Return a branch.

    Raises:
        ApiError: 404.
    """
    branch = project.branches.get(branch_id)
    if branch is None or branch.deleting:
        raise not_found("branch")
    return branch


def find_endpoint(project: Project, endpoint_id: str) -> Endpoint:
    """Return an endpoint.

    Raises:
        ApiError: 404.
    """
    endpoint = project.endpoints.get(endpoint_id)
    if endpoint is None:
        raise not_found("endpoint")
    return endpoint


def endpoints_of(project: Project, branch: Branch) -> list[Endpoint]:
    """Return the computes of a branch."""
    return [endpoint for endpoint in project.endpoints.values() if endpoint.branch_id == branch.id]


def read_write(project: Project, branch: Branch) -> Endpoint | None:
    """Return the read-write compute of a branch, if it has one."""
    return next((endpoint for endpoint in endpoints_of(project, branch) if endpoint.type == "read_write"), None)

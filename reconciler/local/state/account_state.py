"""The state of the machine, and what every route needs of it: ids, look-ups, and scheduling."""

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
# Stands for the account where documents are named by their project: no project has such an id.
ACCOUNT = "account"
_LETTERS = string.ascii_letters + string.digits
_MAX_OPERATIONS = 2000
_OPERATION_RETENTION_SECONDS = 183 * 86400.0


class AccountState:
    """All projects, and the machine's own source of chance."""

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
        """Make a password."""
        return "npg_" + self._secret(32)

    def key_token(self) -> str:
        """Make a key of the API."""
        return "napi_" + self._secret(64)

    def _secret(self, length: int) -> str:
        if self._token is not None:
            return self._token(length)
        return "".join(self._random.choices(_LETTERS, k=length))

    def new_id(self, prefix: str, taken: Callable[[str], bool]) -> str:
        """Make an id of the form ``<prefix>word-word-12345678`` that is not taken."""
        while True:
            label = f"{self._random.choice(ADJECTIVES)}-{self._random.choice(NOUNS)}"
            number = f"{self._random.randrange(10**7, 10**8)}"
            tail = number if not prefix else "a" + format(int(number) + 0x10000000, "x")[:7]
            fresh = f"{prefix}{label}-{tail}"
            if not taken(fresh):
                return fresh

    def database_id(self) -> int:
        """Make a number for a database."""
        return self._random.randrange(1_000_000, 2**31)

    def add(self, project: Project) -> None:
        """Take in a new or loaded project."""
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
        expiries = [each.expires_at for each in project.branches.values()]
        expiries += [each.expires_at for each in project.snapshots.values()]
        if any(moment is not None for moment in expiries):
            self.expiring[project.id] = None

    def remove(self, project: Project) -> None:
        """Drop a project whose time to be recovered is over."""
        del self.projects[project.id]
        self.order.remove(project.id)
        self.active.pop(project.id, None)
        self.deleted.pop(project.id, None)
        self.next_runs.pop(project.id, None)
        self.changed.add(project.id)

    def projects_after(self, cursor: str | None) -> Iterator[Project]:
        """Go through all projects by id, from behind a cursor."""
        start = 0 if cursor is None else bisect_right(self.order, cursor)
        return (self.projects[self.order[index]] for index in range(start, len(self.order)))

    def project_of_branch(self, branch_id: str) -> Project:
        """Return the project of a branch that is there. Searched once for each branch, newest projects first."""
        project = self.projects.get(self._projects_of_branches.get(branch_id, ""))
        if project is None:
            project = next(each for each in reversed(self.projects.values()) if branch_id in each.branches)
            self._projects_of_branches[branch_id] = project.id
        return project

    def project(self, project_id: str) -> Project:
        """Look up a project that is not deleted."""
        project = self.projects.get(project_id)
        if project is None or project.deleted_at is not None:
            raise not_found("project")
        return project

    def free_project(self, project_id: str) -> Project:
        """Look up a project on which nothing is running, in order to change it."""
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
        """Schedule an operation behind those that the project has already.

        ``carried_out`` says that the command of an earlier one leaves nothing to do for it but to take its time.
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
            each
            for each in project.operations[-_MAX_OPERATIONS:]
            if each.created_at > now - _OPERATION_RETENTION_SECONDS
        )
        project.operations = [*recent, operation]
        self.active[project.id] = None
        self.mark_dirty(project)
        return operation

    def mark_dirty(self, project: Project, now: float | None = None) -> None:
        """Note that a project was changed, and at a given time also in what its answers show."""
        project.updated_at = project.updated_at if now is None else now
        self.changed.add(project.id)
        self.needs_reschedule.add(project.id)


def find_branch(project: Project, branch_id: str) -> Branch:
    """Look up a branch."""
    branch = project.branches.get(branch_id)
    if branch is None or branch.deleting:
        raise not_found("branch")
    return branch


def find_endpoint(project: Project, endpoint_id: str) -> Endpoint:
    """Look up an endpoint."""
    endpoint = project.endpoints.get(endpoint_id)
    if endpoint is None:
        raise not_found("endpoint")
    return endpoint


def endpoints_of(project: Project, branch: Branch) -> list[Endpoint]:
    """Return the computes of a branch."""
    return [endpoint for endpoint in project.endpoints.values() if endpoint.branch_id == branch.id]


def read_write(project: Project, branch: Branch) -> Endpoint | None:
    """Return the one compute of a branch that can write, if there is one."""
    return next((each for each in endpoints_of(project, branch) if each.type == "read_write"), None)

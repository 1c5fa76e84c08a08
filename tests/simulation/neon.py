"""Neon as the processes of a simulation meet it, and as it truly is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from zlib import crc32

from reconciler.core import effects as e
from reconciler.core.ownership import CONTROL_PLANE_ID
from reconciler.errors import NeonAPIError, NeonOutcomeUnknown, ReconcileError
from reconciler.local.options import LocalNeonOptions
from reconciler.local.protocol import Request, Response
from reconciler.local.schemas.responses import connection_uri, project_document, project_item
from reconciler.local.simulator import LocalNeon
from reconciler.local.state.account_state import read_write
from reconciler.local.state.models import Branch, Project
from reconciler.local.undocumented_fields import UndocumentedFields
from reconciler.neon import codec
from reconciler.neon.protocol import NeonCall, NeonRequest
from specs import neon as words
from tests.simulation.clock import Clock
from tests.simulation.faults import ANSWERS, RETRY_AFTER, UNREAD, Kind
from tests.simulation.steps import ListAll, Step

T = TypeVar("T")
PLANE_ID = "simulated"
ORG_ID = "org-simulated"
# How old what a list shows may be. The rule of two looks (``find.SECOND_LOOK``) covers a quarter of the settle time.
STALE_SECONDS = 7.0


@dataclass(frozen=True)
class Answered:
    """What came of a step: a value, or an error."""

    value: Any = None
    error: ReconcileError | None = None


def unknown(request: NeonRequest, detail: str) -> Answered:
    """No answer, or none that says anything."""
    error = NeonOutcomeUnknown(method=request.method, route=request.route, detail=detail)
    return Answered(error=error)


class SimulatedNeon:
    """The model of Neon in virtual time, with the faults of its lists and its door.

    Attributes:
        version: counts every change.
        hides_all: whether a partial list shows nothing; about half of the projects where not.
        foreign: ids of projects that people made.
        connected: the URIs at which a database has answered.
        applied: the changes that took effect: method and path.
    """

    def __init__(self, clock: Clock, seed: int, skew: float = 0.0) -> None:
        options = LocalNeonOptions(org_id=ORG_ID, cell="c-1")
        self.machine = LocalNeon(options, seed)
        self._clock = clock
        self._skew = skew
        self._quirks = UndocumentedFields(seed)
        self.version = 0
        self.foreign: set[str] = set()
        self.connected: set[str] = set()
        self.applied: list[tuple[str, str]] = []
        self.until = {Kind.UNAUTHORIZED: 0.0, Kind.STALE: 0.0, Kind.PARTIAL: 0.0}
        self.hides_all = True
        self._recovered: dict[str, float] = {}

    # What processes see

    @property
    def now(self) -> float:
        """Neon's clock."""
        return self._clock.now + self._skew

    def answer(self, step: Step, org_id: str | None, *, new_words: bool = False) -> Answered:
        """Carry a request out now, and read its answer as ``NeonClient`` does."""
        try:
            if isinstance(step, ListAll | e.ListProjects):
                return Answered(self._listing(step, org_id, new_words=new_words))
            call = call_of(step, org_id)
            response = self._respond(call.request)
            return Answered(_read(call, response, self._worded(response.body, new_words)))
        except NeonAPIError as error:
            return Answered(error=error)

    def refusal(self, call: NeonCall[Any], kind: Kind) -> Answered:
        """The answer of a fault, whatever happened."""
        headers = {"Retry-After": RETRY_AFTER[kind]} if kind in RETRY_AFTER else {}
        return _decoded(call, ANSWERS[kind][0], headers, b'{"message": "refused", "code": ""}')

    def unread(self, call: NeonCall[Any], kind: Kind) -> Answered:
        """A success that says nothing, whatever happened."""
        return _decoded(call, 200, {}, UNREAD[kind])

    def has_fate_left(self) -> bool:
        """Whether no operation took the fate that was ordered; it is forgotten then."""
        left = bool(self.machine._account.outcomes._planned)
        self.machine._account.outcomes._planned.clear()
        return left

    def release(self) -> None:
        """Let what is stuck go on."""
        self.machine.resume_hanging(self.now)

    def _worded(self, body: Any, new_words: bool) -> Any:
        return self._quirks.apply(body) if new_words else body

    def _respond(self, asked: NeonRequest) -> Response:
        if self._clock.now < self.until[Kind.UNAUTHORIZED]:
            return Response(401, {"message": "authentication failed", "code": ""})
        return self.send(asked.method, asked.path, asked.body, dict(asked.params))

    def send(self, method: str, path: str, body: object = None, query: dict[str, str] | None = None) -> Response:
        """Carry out any request at all, such as a person's."""
        response = self.machine.handle(Request(method, path, query or {}, body), self.now)
        if method != "GET" and response.status < 300:
            self.version += 1
            self.applied.append((method, path))
            if path.endswith("/recover"):
                self._recovered[path.split("/")[2]] = self.now
        return response

    def _listing(self, step: ListAll | e.ListProjects, org_id: str | None, *, new_words: bool) -> words.ProjectListing:
        search = step.search if isinstance(step, e.ListProjects) else None
        recoverable = isinstance(step, e.ListProjects) and step.recoverable
        projects: dict[str, words.Project] = {}
        unavailable: list[str] = []
        unreadable: list[words.UnreadableProject] = []
        cursor: str | None = None
        while True:
            call = codec.list_projects(org_id=org_id, search=search, cursor=cursor, recoverable=recoverable)
            response = self._respond(call.request)
            body = response.body
            if response.status == 200 and isinstance(body, dict):
                body = self._aged(body, search or "", recoverable=recoverable, last=cursor is None)
                body = self._worded(self._parted(body), new_words)
            page = _read(call, response, body)
            projects |= {project.id: project for project in page.projects}
            unavailable += page.unavailable_project_ids
            unreadable += page.unreadable
            if search is not None or not page.projects or page.cursor is None:
                break
            cursor = page.cursor
        return words.ProjectListing(
            projects=tuple(projects.values()),
            unavailable_project_ids=tuple(unavailable),
            unreadable=tuple(unreadable),
        )

    def _aged(self, body: dict[str, Any], search: str, *, recoverable: bool, last: bool) -> dict[str, Any]:
        """The list as it was a moment ago, by what has come and gone since."""
        if self._clock.now >= self.until[Kind.STALE] or not last:
            return body
        then = self.now - STALE_SECONDS
        shown = []
        for project in self.projects():
            gone = project.deleted_at is not None
            if then < self._recovered.get(project.id, 0.0):
                gone = True
            elif project.deleted_at is not None and then < project.deleted_at:
                gone = False
            if project.created_at <= then and gone == recoverable and search in project.name + " " + project.id:
                shown.append(project_item(self.machine._account, project))
        return body | {"projects": shown}

    def _parted(self, body: dict[str, Any]) -> dict[str, Any]:
        if self._clock.now >= self.until[Kind.PARTIAL]:
            return body
        shown = [each for each in body["projects"] if not self.hides_all and crc32(each["id"].encode()) % 2]
        lacking = [each["id"] for each in body["projects"] if each not in shown]
        return body | {"projects": shown, "unavailable_project_ids": lacking}

    # What is true

    def projects(self) -> list[Project]:
        """All projects, deleted ones too."""
        world = self.machine._account
        return [world.projects[project_id] for project_id in world.order]

    def ours(self) -> Iterator[tuple[Project, dict[str, str]]]:
        """The living projects that our requests made, with their annotations as they were made."""
        for project in self.projects():
            if project.deleted_at is None and project.id not in self.foreign and not project.purging:
                found = next(
                    (b.annotation for b in project.branches.values() if b.annotation.get(CONTROL_PLANE_ID)), None
                )
                if found is not None and found[CONTROL_PLANE_ID] == PLANE_ID:
                    yield project, found

    def living(self, project_id: str | None) -> Project | None:
        """A project, unless it is deleted."""
        project = self.machine._account.projects.get(project_id or "")
        return project if project is not None and project.deleted_at is None else None

    def described(self, project: Project) -> words.Project:
        """A project as Neon describes it."""
        return words.Project.model_validate(project_document(self.machine._account, project))

    def uri(self, project: Project, role: str, database: str) -> str:
        """The direct URI of the default branch."""
        branch = project.default_branch
        return connection_uri(self.machine._account, branch, database, branch.roles[role], pooled=False)

    def connects(self, uri: str) -> bool:
        """Whether a database answers at a URI."""
        self.machine.advance(self.now)
        if not any(self._answers(project, uri) for project in self.projects() if project.deleted_at is None):
            return False
        self.connected.add(uri)
        return True

    def _answers(self, project: Project, uri: str) -> bool:
        def leads(branch: Branch) -> bool:
            endpoint = read_write(project, branch)
            return endpoint is not None and not endpoint.starting and self._at(branch, uri)

        return any(leads(branch) for branch in project.branches.values())

    def _at(self, branch: Branch, uri: str) -> bool:
        world = self.machine._account
        return any(
            connection_uri(world, branch, name, branch.roles[database.owner_name], pooled=False) == uri
            for name, database in branch.databases.items()
        )


def _read(call: NeonCall[T], response: Response, body: Any) -> T:
    """The answer as ``NeonClient`` reads it; a success is not written out and parsed again, which would take long."""
    if response.status < 300:
        return call.parse(body)
    return codec.decode(call, response.status, response.headers, json.dumps(body).encode())


def _decoded(call: NeonCall[Any], status: int, headers: dict[str, str], body: bytes) -> Answered:
    try:
        codec.decode(call, status, headers, body)
    except NeonAPIError as error:
        return Answered(error=error)
    raise AssertionError(f"{call.request.route} takes this for an answer: {status} {body!r}")


def call_of(step: Step, org_id: str | None) -> NeonCall[Any]:
    """The request of an effect, as ``NeonClient`` sends it."""
    if isinstance(step, ListAll):
        return codec.list_projects(org_id=org_id)
    if isinstance(step, e.ListProjects):
        return codec.list_projects(org_id=org_id, search=step.search, recoverable=step.recoverable)
    if isinstance(step, e.ListBranches):
        return codec.list_branches(step.project_id)
    if isinstance(step, e.VerifyAccess):
        return codec.list_organizations()
    assert isinstance(step, e.Read | e.Mutate)
    return step.call()

"""Local Neon behind a door that has its troubles, what is true in it, and the people at its console."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from enum import StrEnum

import httpx

from reconciler.core.ownership import APP_ID
from reconciler.local.protocol import Response
from reconciler.local.schemas.responses import connection_uri
from reconciler.local.state.models import Project
from specs.uri import MorphikURI
from tests.simulation.clock import Clock
from tests.simulation.faults import Kind
from tests.simulation.neon import SimulatedNeon

BASE = "/api/v2"
SEED = 1
FOREVER = 1e18


class Trouble(StrEnum):
    """How Neon misbehaves for a while."""

    UNAVAILABLE = "503"
    LOCKED = "423"
    RATE_LIMITED = "429"
    UNAUTHORIZED = "401"
    ERROR_AFTER = "500 after the change"
    LOST_BEFORE = "the request is lost"
    LOST_AFTER = "the answer is lost"
    PARTIAL = "lists lack everything"


_STATUS = {
    Trouble.UNAVAILABLE: 503,
    Trouble.LOCKED: 423,
    Trouble.RATE_LIMITED: 429,
    Trouble.UNAUTHORIZED: 401,
    Trouble.ERROR_AFTER: 500,
}


class Crash(BaseException):
    """The daemon is gone at this moment; nobody hears of it."""


@dataclass
class Door:
    """What stands between the plane and Neon.

    Attributes:
        neon: what is behind it.
        trouble: what is wrong at the moment.
        crash_in: how many requests the daemon will still send before it is gone.
        crash_after: whether the last of them takes effect.
        sent: the requests that arrived, as ``METHOD /path``.
    """

    neon: SimulatedNeon
    trouble: Trouble | None = None
    crash_in: int | None = None
    crash_after: bool = False
    sent: list[str] = field(default_factory=list)

    async def carry(self, asked: httpx.Request) -> httpx.Response:
        """Carry a request to Neon and its answer back, as far as they come."""
        await asyncio.sleep(0)
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                if self.crash_after:
                    self._handle(asked)
                self.crash_in = None
                raise Crash
        mutates = asked.method != "GET"
        match self.trouble:
            case Trouble.LOST_BEFORE:
                raise httpx.ReadTimeout("lost")
            case Trouble.LOST_AFTER if mutates:
                self._handle(asked)
                raise httpx.ReadTimeout("lost")
            case Trouble.ERROR_AFTER if mutates:
                self._handle(asked)
                return httpx.Response(500, content=b"<html>")
            case Trouble.UNAVAILABLE | Trouble.LOCKED | Trouble.RATE_LIMITED | Trouble.UNAUTHORIZED:
                return httpx.Response(_STATUS[self.trouble], json={"message": "not now", "code": ""})
        answer = self._handle(asked)
        return httpx.Response(answer.status, headers=dict(answer.headers), json=answer.body)

    def _handle(self, asked: httpx.Request) -> Response:
        path = asked.url.path.removeprefix(BASE)
        self.sent.append(f"{asked.method} {path}")
        body = json.loads(asked.content) if asked.content else None
        answer = self.neon.send(asked.method, path, body, dict(asked.url.params))
        if self.trouble is Trouble.PARTIAL and (asked.method, path) == ("GET", "/projects"):
            assert isinstance(answer.body, dict)
            return Response(answer.status, self.neon._parted(answer.body), answer.headers)
        return answer


class Truth:
    """What is true at Neon, and what people do to it there."""

    def __init__(self, clock: Clock) -> None:
        self.neon = SimulatedNeon(clock, SEED)
        self.neon.until[Kind.PARTIAL] = FOREVER  # the door says when
        self.destroyed: set[str] = set()
        self.passwords: set[str] = set()
        self.ever: dict[str, set[tuple[str, str]]] = {}

    def made_for(self, app_id: str) -> list[Project]:
        """Every project that was made for an app and is known still, deleted ones too."""
        return [each for each in self.neon.projects() if each.default_branch.annotation.get(APP_ID) == app_id]

    def of(self, app_id: str) -> Project | None:
        """The app's project, deleted or not; the first one that was made for it."""
        return min(self.made_for(app_id), key=lambda project: project.created_at, default=None)

    def lives(self, app_id: str) -> bool:
        """Whether the app's project is there."""
        project = self.of(app_id)
        return project is not None and project.deleted_at is None

    def uris(self, app_id: str) -> tuple[str, str] | None:
        """The two URIs that lead to the app's database now, for a client of ours."""
        project = self.of(app_id)
        return None if project is None else (self._uri(project, pooled=False), self._uri(project, pooled=True))

    def note(self) -> None:
        """Remember every password and every pair of URIs that there is now."""
        for project in self.neon.projects():
            branch = project.default_branch
            self.passwords |= {role.password for role in branch.roles.values()}
            app_id = branch.annotation.get(APP_ID)
            if app_id is not None:
                uris = self._uri(project, pooled=False), self._uri(project, pooled=True)
                self.ever.setdefault(app_id, set()).add(uris)

    def person(self, act: str, app_id: str) -> bool:
        """Somebody does something to the app's project in Neon's console; whether Neon did it."""
        project = self.of(app_id)
        if project is None:
            return False
        path, body = f"/projects/{project.id}", None
        match act:
            case "rename":
                method, body = "PATCH", {"project": {"name": "renamed by hand"}}
            case "delete":
                method = "DELETE"
            case "recover":
                method, path = "POST", f"{path}/recover"
            case "delete the compute":
                endpoint = next(iter(project.endpoints), "none")
                method, path = "DELETE", f"{path}/endpoints/{endpoint}"
            case "reset the password":
                branch = project.default_branch
                role = next(iter(branch.roles))
                method, path = "POST", f"{path}/branches/{branch.id}/roles/{role}/reset_password"
            case _:
                raise ValueError(act)
        self.note()
        return self.neon.send(method, path, body).status < 300

    def destroy(self, app_id: str) -> bool:
        """The app's project goes for ever, beyond recovery; whether it did."""
        project = self.of(app_id)
        world = self.neon.machine._account
        if project is None or project.deleted_at is not None or project.id in world.active:
            return False
        self.note()
        world.remove(project)
        self.neon.version += 1
        self.destroyed.add(app_id)
        return True

    def _uri(self, project: Project, *, pooled: bool) -> str:
        branch = project.default_branch
        [database] = branch.databases.values()
        role = branch.roles[database.owner_name]
        uri = connection_uri(self.neon.machine._account, branch, database.name, role, pooled=pooled)
        return MorphikURI.from_postgresql(uri).build()

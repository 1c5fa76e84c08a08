"""People with access to Neon's console, who rename, remove, bring back and change projects behind everybody's back."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from reconciler.core.ownership import APP_ID
from reconciler.local.state.models import Project
from tests.soak.clients import Wish
from tests.soak.schedule import What


@dataclass
class Console:
    """One person at the console.

    Attributes:
        http: local Neon without a proxy before it.
        projects: all there are, by id.
        wishes: what clients asked for, so that only what is ready, or deleted for good, is meddled with.
        chance: whose project it is next.
        brought_back: projects of deleted apps that were recovered, and when, in seconds since the epoch.
        counts: what was done.
    """

    http: httpx.AsyncClient
    projects: dict[str, Project]
    wishes: list[Wish]
    chance: random.Random
    brought_back: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    async def meddle(self, what: What) -> None:
        """Do it to some project, if there is one that it can be done to."""
        project = self._some_project(deleted=what is What.BRING_BACK)
        if project is None:
            return
        path, body = f"/projects/{project.id}", dict[str, Any]()
        match what:
            case What.RENAME:
                done = await self._call("PATCH", path, {"project": {"name": f"of-{self.chance.randrange(1000)}"}})
            case What.TAMPER:
                changed = {"history_retention_seconds": self.chance.choice((0, 3600, 7200))}
                done = await self._call("PATCH", path, {"project": changed})
            case What.REMOVE:
                done = await self._call("DELETE", path)
            case _:
                self.brought_back[project.id] = time.time()
                done = await self._call("POST", f"{path}/recover", body)
                if not done:
                    del self.brought_back[project.id]
        if done:
            self.counts[str(what)] += 1

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> bool:
        """One call; a project that is locked at the moment is left alone."""
        return (await self.http.request(method, path, json=body)).is_success

    def _some_project(self, *, deleted: bool) -> Project | None:
        """The only project of an app that was seen to be ready and is to be kept, or of one seen to be deleted."""
        suitable = {
            wish.app_id for wish in self.wishes if (wish.gone if deleted else wish.uri and wish.delete_sent_at is None)
        }
        many = Counter(app_of(project) for project in self.projects.values())
        found = [
            project
            for project in self.projects.values()
            if (project.deleted_at is not None) == deleted
            and app_of(project) in suitable
            and many[app_of(project)] == 1
            and project.id not in self.brought_back
        ]
        return self.chance.choice(found) if found else None


def app_of(project: Project) -> str | None:
    """The app that a project's annotations name."""
    return next(
        (branch.annotation[APP_ID] for branch in project.branches.values() if APP_ID in branch.annotation), None
    )

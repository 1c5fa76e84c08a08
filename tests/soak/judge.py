"""Compares what is at Neon, what the catalog says and what clients were told.

Neon's own state is the truth: local Neon is asked behind its API, and its proxies remember every change that arrived.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from reconciler.core.ownership import NONCE
from reconciler.local.state.models import Project
from specs.names import format_project_name
from tests.soak.clients import Wish
from tests.soak.console import app_of
from tests.soak.schedule import SETTLE_SECONDS
from tests.soak.traffic import Arrival

ROWS = """SELECT a.app_id, owner_id, app_name, status, generation, observed_generation, project_id, deleted_at,
    (spec ->> 'history_retention_seconds')::integer AS history_retention_seconds,
    delete_requested_at IS NOT NULL AS deleting,
    due_at = 'infinity' AND lease_expires_at IS NULL AND duplicate_ids = '{}' AS rests
    FROM app_metadata a JOIN app_work USING (app_id)"""
INTENTS = "SELECT app_id, create_seq, nonce, state, sent_at FROM create_intents ORDER BY app_id, create_seq"
STOPPED = "SELECT mutation_stop_reason AS reason FROM catalog_identity WHERE mutation_stopped_at IS NOT NULL"
ORPHANS = "SELECT project_id FROM orphan_projects"
WRITTEN = """SELECT
    (SELECT md5(string_agg(a::text, ';' ORDER BY app_id)) FROM app_metadata a) AS apps,
    (SELECT md5(string_agg(w::text, ';' ORDER BY app_id)) FROM app_work w) AS work,
    (SELECT count(*) FROM app_events) AS events,
    (SELECT count(*) FROM create_intents) AS intents"""
_LOGGED = re.compile(r"npg_\w{6}|(?:morphik|postgresql)://[^\s\"]*:[^\s\"@]+@")
Rows = Sequence[Mapping[str, Any]]


@dataclass
class Findings:
    """What is not as it must be, a line each.

    Attributes:
        leaked: live projects of ours that are no living app's recorded one, and that no person brought back.
        doubled: living apps with more than one live project.
        lost: what was acknowledged and is not so: an app that is not there, not ready, not deleted.
        unsettled: what has still to happen by itself, or says so.
    """

    leaked: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.leaked or self.doubled or self.lost or self.unsettled)

    def text(self) -> str:
        """All of it, for people."""
        named = (("leaked", self.leaked), ("doubled", self.doubled), ("lost", self.lost), ("unsettled", self.unsettled))
        return "\n".join(f"{name}: {line}" for name, lines in named for line in lines)


def look(
    rows: Rows, intents: Rows, projects: Mapping[str, Project], wishes: Iterable[Wish], brought_back: Iterable[str]
) -> Findings:
    """What is not as it must be when everything has come to rest."""
    found, by_app, allowed = Findings(), {row["app_id"]: row for row in rows}, {*brought_back}
    living = {row["project_id"]: row for row in rows if row["deleted_at"] is None}
    live = [project for project in projects.values() if project.deleted_at is None and app_of(project) is not None]
    for project in live:
        if project.id not in living and project.id not in allowed:
            found.leaked.append(f"project {project.id}, {project.name}, of app {app_of(project)}")
    many = Counter(app_of(project) for project in live)
    found.doubled += [f"app {app} has {n} live projects" for app, n in many.items() if n > 1]
    asked = {wish.app_id for wish in wishes} | {None}
    for wish in wishes:
        if wish.app_id is not None:
            found.lost += _lost(wish, by_app.get(wish.app_id), projects)
    found.lost += [f"app {app} is there and nobody was told so" for app in by_app if app not in asked]
    for row in rows:
        if not row["rests"] or row["status"] not in ("ready", "deleted"):
            found.unsettled.append(f"app {row['app_id']} is {row['status']}, rests: {row['rests']}")
        elif row["deleted_at"] is None and row["project_id"] in projects:
            found.unsettled += _differs(row, projects[row["project_id"]])
    found.unsettled += [f"a create of app {each['app_id']} is open" for each in intents if each["state"] == "open"]
    return found


def _lost(wish: Wish, row: Mapping[str, Any] | None, projects: Mapping[str, Project]) -> list[str]:
    """What an acknowledged app is not."""
    what = f"app {wish.app_id}, {wish.name}"
    if row is None:
        return [f"{what} is not there"]
    if wish.deleted or row["deleting"]:
        if wish.delete_sent_at is None:
            return [f"{what} is being deleted, and nobody asked for that"]
        return [] if row["deleted_at"] is not None else [f"{what} is {row['status']} and not deleted"]
    project = projects.get(row["project_id"])
    if project is None or project.deleted_at is not None:
        return [f"{what} is {row['status']} and has no live project"]
    return [] if row["status"] == "ready" else [f"{what} is {row['status']} and not ready"]


def _differs(row: Mapping[str, Any], project: Project) -> list[str]:
    """What people changed at Neon and is not put back."""
    wanted = (format_project_name(row["app_name"], row["app_id"]), row["history_retention_seconds"])
    seen = (project.name, project.history_retention_seconds)
    return [] if seen == wanted else [f"app {row['app_id']}: project {project.id} is {seen}, not {wanted}"]


def wrong_deletes(
    rows: Rows,
    changes: Iterable[Arrival],
    projects: Mapping[str, Project],
    wishes: Iterable[Wish],
    brought_back: Mapping[str, float],
) -> list[str]:
    """Deletes that took effect though nobody had asked for the app's end, and that were of no surplus.

    Of what a person had brought back too: that is held, and not deleted again.
    """
    recorded = {row["app_id"]: row["project_id"] for row in rows}
    ended = {wish.app_id: wish.delete_sent_at for wish in wishes if wish.delete_sent_at is not None}
    wrong = []
    for each in changes:
        if each.method != "DELETE" or each.status // 100 != 2:
            continue
        project_id = each.path.rpartition("/")[2]
        app = app_of(projects[project_id])
        what = f"{each.who} deleted project {project_id} of app {app} at {each.at:.3f} ({each.fault or 'no fault'})"
        if each.asked_at > brought_back.get(project_id, each.asked_at):
            wrong.append(f"{what}, which a person had brought back")
        elif recorded.get(app) in (None, project_id) and ended.get(app, each.asked_at + 1) > each.asked_at:
            wrong.append(f"{what}, whose end nobody had asked for")
    return wrong


def copies(projects: Iterable[Project]) -> list[str]:
    """Nonces that more than one project was made with: a create was sent again that may have taken effect."""
    seen = Counter(branch.annotation.get(NONCE) for project in projects for branch in project.branches.values())
    return [f"{number} projects of nonce {nonce}" for nonce, number in seen.items() if nonce and number > 1]


def hasty(intents: Rows) -> list[str]:
    """Creates of one app that came sooner after another than the settle time."""
    return [
        f"app {late['app_id']}: create {late['create_seq']} came {seconds:.2f} s after create {early['create_seq']}"
        for early, late in pairwise(intents)
        if early["app_id"] == late["app_id"]
        and (seconds := (late["sent_at"] - early["sent_at"]).total_seconds()) < SETTLE_SECONDS
    ]


def surpluses(projects: Iterable[Project]) -> int:
    """How many projects there ever were beyond one for each app."""
    made = Counter(app_of(project) for project in projects)
    return sum(number - 1 for number in made.values())


def told_secrets(logs: Iterable[Path], secrets: Iterable[str], events: Iterable[str]) -> list[str]:
    """Where a credential can be read; never which."""
    canaries = [secret for secret in secrets if secret]
    texts = [(log.name, log.read_text(errors="replace")) for log in logs] + [("app_events", "\n".join(events))]
    return [
        f"{name} tells a credential"
        for name, text in texts
        if _LOGGED.search(text) or any(canary in text for canary in canaries)
    ]


def defects(logs: Iterable[Path]) -> list[str]:
    """What processes logged and should never: tracebacks, and events that end in ``crashed``."""
    marks = ("Traceback", "crashed")
    return [
        f"{log.name}: {line[:600]}"
        for log in logs
        for line in log.read_text(errors="replace").splitlines()
        if any(mark in line for mark in marks)
    ]

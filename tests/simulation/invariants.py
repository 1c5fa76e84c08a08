"""What must hold at every moment, judged by what is true and not by what the processes believe."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from reconciler.catalog.work_queue import Lease
from reconciler.core import effects as e
from reconciler.core.context import CreateIntent
from reconciler.core.ownership import APP_ID, NONCE
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.settings import SEND_MARGIN_SECONDS
from tests.simulation.neon import ORG_ID
from tests.simulation.steps import Violation
from tests.simulation.world import CHANGE_WITHIN, World

_PROJECT_ID = re.compile(r"\b[a-z]+-[a-z]+-[0-9]{8}\b")
_FLEET = re.compile(rf"{ORG_ID}|\bother projects\b|\b[0-9]+ (of [0-9]+|projects)\b")


def check_sender(world: World, lease: Lease, step: e.Effect[Any]) -> None:
    """Whether the sender of a change still holds the app."""
    if world.holders[lease.app_id] != lease.token:
        raise Violation(f"{type(step).__name__} is sent for {lease.app_id}, whose lease is another's")


def check_sending(world: World, app_id: str, step: e.Effect[Any]) -> None:
    """Whether a change may be sent, at the moment when it is."""
    app, intents = world.catalog.rows[app_id], world.catalog.intents[app_id]
    if world.catalog.plane.stopped_at < world.clock.now - CHANGE_WITHIN:
        raise Violation(f"{type(step).__name__} is sent while everything is stopped")
    if isinstance(step, e.CreateProject):
        _check_create(world, app, intents, step)
    elif isinstance(step, e.DeleteProject):
        if not _may_delete(world, app, intents, step.project_id):
            raise Violation(f"a DELETE of {step.project_id} is sent for {app_id}, which is not proven")
    elif getattr(step, "project_id", None) != app.project_id:
        raise Violation(f"{type(step).__name__} is sent for a project that is not the recorded one")


def _check_create(world: World, app: AppMetadata, intents: Iterable[CreateIntent], step: e.CreateProject) -> None:
    nonce = step.spec.branch.annotations[NONCE]
    intent = next((each for each in intents if each.nonce == nonce and each.state == "open"), None)
    if intent is None:
        raise Violation("a create is sent without a committed intent")
    if world.clock.now - intent.sent_at.timestamp() > SEND_MARGIN_SECONDS + 0.001:
        raise Violation("a create is sent too long after its intent")
    if app.delete_requested_at is not None and app.delete_requested_at < intent.sent_at:
        raise Violation("a create is sent for an app whose delete was acknowledged before")


def _may_delete(world: World, app: AppMetadata, intents: list[CreateIntent], project_id: str) -> bool:
    if project_id == app.project_id:
        project = world.neon.living(project_id)
        return app.delete_requested_at is not None and (project is None or _is_ours(world, app, project_id))
    settled = app.project_id is not None or app.deleted_at is not None
    return settled and _is_ours(world, app, project_id, nonces=intents)


def _is_ours(world: World, app: AppMetadata, project_id: str, nonces: Iterable[CreateIntent] | None = None) -> bool:
    """By name or mark; by name and nonce where ``nonces`` are given."""
    project = world.neon.living(project_id)
    if project is None:
        return project_id not in world.neon.foreign
    parsed = parse_project_name(project.name)
    named = parsed is not None and parsed.app_id == app.app_id
    found = [branch.annotation for branch in project.branches.values()]
    if nonces is None:
        return named or any(each.get(APP_ID) == app.app_id for each in found)
    known = {intent.nonce for intent in nonces}
    if project_id in world.neon.foreign:
        return False
    return named and any(each.get(NONCE) in known for each in found)


class Watch:
    """Looks at the world after each event that changed it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = (-1, -1, -1)
        self._recorded: dict[str, str] = {}
        self._observed: dict[str, int] = {}
        self._read_events = 0

    def look(self) -> bool:
        """Check everything if anything changed; whether it did."""
        now = (self._world.catalog.version, self._world.neon.version, self._world.acts)
        if now == self._seen:
            return False
        self._seen = now
        for app in self._world.catalog.rows.values():
            self._check_row(app)
        self._check_projects()
        for event in self._world.catalog.events[self._read_events :]:
            _check_text(" ".join(event))
            if event[0] in self._world.catalog.rows:
                _check_owner_text(self._world.catalog.rows[event[0]], event[3])
        self._read_events = len(self._world.catalog.events)
        return True

    def _check_row(self, app: AppMetadata) -> None:
        before = self._recorded.get(app.app_id)
        if app.project_id != before:
            if before is not None or app.project_id is None:
                raise Violation(f"the recorded project of {app.app_id} was replaced: {before} by {app.project_id}")
            self._check_recorded(app, app.project_id)
            self._recorded[app.app_id] = app.project_id
        if not self._observed.get(app.app_id, 0) <= app.observed_generation <= app.generation:
            raise Violation(f"a generation of {app.app_id} was observed before it was there, or forgotten again")
        self._observed[app.app_id] = app.observed_generation
        if app.delete_requested_at is not None and app.can_expose_uri:
            raise Violation(f"{app.app_id} serves a URI after its delete")
        if app.deleted_at is not None and (app.connection_uri_sealed or app.pooled_uri_sealed or app.data_key_sealed):
            raise Violation(f"{app.app_id} is deleted and keeps credentials")
        if app.can_expose_uri:
            self._check_served(app)
        for condition in app.conditions:
            _check_text(f"{condition.message} {condition.reason} {condition.operator_message}")
            _check_owner_text(app, condition.message)

    def _check_recorded(self, app: AppMetadata, project_id: str) -> None:
        if list(self._recorded.values()).count(project_id):
            raise Violation(f"{project_id} is recorded twice")
        if project_id in self._world.neon.foreign:
            raise Violation(f"{project_id} is recorded for {app.app_id}, and no intent of it made it but a person")
        known = {intent.nonce for intent in self._world.catalog.intents[app.app_id]}
        project = self._world.neon.machine._account.projects.get(project_id)
        found = project is not None and [branch.annotation.get(NONCE) for branch in project.branches.values()]
        if not found or not known & set(found):
            raise Violation(f"{project_id} is recorded for {app.app_id}, and no intent of it made it")

    def _check_served(self, app: AppMetadata) -> None:
        held = self._world.catalog.open_seal(app)
        project = self._world.neon.machine._account.projects.get(app.project_id or "")
        if held is None:
            raise Violation(f"{app.app_id} serves a URI of nothing")
        if held.connection_uri.get_secret_value() not in self._world.neon.connected:
            raise Violation(f"{app.app_id} serves a URI that was never connected to")
        if project is None:
            return  # gone for ever, which nobody has seen yet
        passwords = {role.password for branch in project.branches.values() for role in branch.roles.values()}
        if not any(password in held.connection_uri.get_secret_value() for password in passwords):
            raise Violation(f"{app.app_id} serves a URI of another project")

    def _check_projects(self) -> None:
        living: dict[str, int] = {}
        for project, mark in self._world.neon.ours():
            app_id = mark[APP_ID]
            known = self._world.catalog.intents.get(app_id, [])
            if all(intent.nonce != mark[NONCE] for intent in known):
                raise Violation(f"{project.id} is there, and no intent explains it")
            living[app_id] = living.get(app_id, 0) + 1
        for app_id, count in living.items():
            if count > 1 and app_id not in self._world.beyond | self._world.duplicated:
                raise Violation(f"{count} projects of {app_id} are alive")


def _check_text(text: str) -> None:
    if "npg_" in text or ("://" in text and "@" in text):
        raise Violation("a credential is in a text for people")


def _check_owner_text(app: AppMetadata, text: str) -> None:
    """An owner reads nothing of the fleet, the organization, other projects, or the values of settings."""
    others = set(_PROJECT_ID.findall(text)) - {app.project_id}
    if others or _FLEET.search(text):
        raise Violation(f"the owner of {app.app_id} reads what is the operator's: {text}")

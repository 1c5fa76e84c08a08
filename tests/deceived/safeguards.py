"""Safeguards, switched off."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler import errors
from reconciler.core.context import ControlPlane, CreateIntent, ReconcileContext
from reconciler.core.effects import GetProject
from reconciler.core.fleet import resync
from reconciler.core.ownership import matching_intent
from reconciler.core.stages import create, create_lookup, delete, duplicates, missing
from reconciler.neon import protocol
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.handlers import HANDLERS
from reconciler.runtime.handlers.session import Session
from specs.metadata import AppMetadata
from specs.neon import BranchList, Project, ProjectListing


def partial_is_complete(patch: pytest.MonkeyPatch) -> None:
    """What a partial list lacks is absent."""
    patch.setattr(ProjectListing, "is_complete", property(lambda _: True))


def no_settle_time(patch: pytest.MonkeyPatch) -> None:
    """A list shows everything at once."""
    patch.setattr(ReconcileContext, "settle_window", property(lambda _: timedelta(0)))


def one_look(patch: pytest.MonkeyPatch) -> None:
    """Once the settle time is over, one list is enough."""
    patch.setattr(create_lookup, "RECHECK_FRACTION", 0)


def live_list_not_read(patch: pytest.MonkeyPatch) -> None:
    """What is not found is not looked for in the lists."""
    patch.setattr(missing, "find_by_id", lambda _listing, _id: None)


def lists_are_fresh(patch: pytest.MonkeyPatch) -> None:
    """What a list lacks of the youngest projects counts as vanished."""
    patch.setattr(resync, "_recorded_before", lambda app, _at: app.project_id is not None)


def key_not_asked_again(patch: pytest.MonkeyPatch) -> None:
    """An empty list is believed whoever's key it was asked with."""
    honest = OrganizationGuard.verify

    async def confirm(self: OrganizationGuard, **_: Any) -> str:
        return await honest(self)

    patch.setattr(OrganizationGuard, "verify", confirm)


def no_witnesses(patch: pytest.MonkeyPatch) -> None:
    """The key need not see anything else."""

    async def see_others(*_: object) -> None:
        return

    patch.setattr(OrganizationGuard, "_verify_visibility", see_others)


def scope_not_read(patch: pytest.MonkeyPatch) -> None:
    """A 404 is a 404, whatever it says."""
    honest = protocol._error_class

    def kind(request: protocol.NeonRequest, status: int, code: str, message: str) -> type[errors.NeonAPIError]:
        return honest(request, status, code, message.replace("not allowed", ""))

    patch.setattr(protocol, "_error_class", kind)
    no_witnesses(patch)


def refusal_is_emptiness(patch: pytest.MonkeyPatch) -> None:
    """A list that is refused is an empty one."""
    projects, branches = NeonClient.list_all_projects, NeonClient.list_branches

    async def list_all_projects(self: NeonClient, **options: Any) -> ProjectListing:
        try:
            return await projects(self, **options)
        except errors.NeonRejected:
            return ProjectListing(projects=())

    async def list_branches(self: NeonClient, project_id: str) -> BranchList:
        try:
            return await branches(self, project_id)
        except errors.NeonRejected:
            return BranchList(branches=())

    patch.setattr(NeonClient, "list_all_projects", list_all_projects)
    patch.setattr(NeonClient, "list_branches", list_branches)
    no_witnesses(patch)


def part_of_a_name(patch: pytest.MonkeyPatch) -> None:
    """A name that holds the app's id is the app's."""
    for module in (create_lookup, duplicates):
        patch.setattr(module, "has_app_name", lambda project, app: app.app_id in project.name)


def part_of_an_id(patch: pytest.MonkeyPatch) -> None:
    """The first project that a search finds is the one that was searched for."""
    for module in (missing, delete):
        patch.setattr(module, "find_by_id", lambda listing, _id: next(iter(listing.projects), None))


def any_nonce(patch: pytest.MonkeyPatch) -> None:
    """The name alone proves a project ours."""

    def made(
        _b: BranchList, _a: AppMetadata, _p: ControlPlane, intents: tuple[CreateIntent, ...]
    ) -> CreateIntent | None:
        return replace(intents[0], state="absent")

    patch.setattr(create_lookup, "matching_intent", made)
    copies_are_taken(patch)
    copies_are_surplus(patch)
    patch.setattr(duplicates, "matching_intent", made)


def copies_are_taken(patch: pytest.MonkeyPatch) -> None:
    """Of several that carry one nonce, the oldest is taken."""
    patch.setattr(create_lookup, "_ambiguous", lambda _found: None)


def nonce_of_the_recorded(patch: pytest.MonkeyPatch) -> None:
    """What carries the nonce of the recorded project is a surplus too."""

    def made(
        b: BranchList, app: AppMetadata, plane: ControlPlane, intents: tuple[CreateIntent, ...]
    ) -> CreateIntent | None:
        found = matching_intent(b, app, plane, intents)
        return None if found is None else replace(found, state="absent")

    patch.setattr(duplicates, "matching_intent", made)


def copies_are_surplus(patch: pytest.MonkeyPatch) -> None:
    """What carries a nonce is a surplus, however many do."""

    def copied(*_: object) -> Any:
        yield from ()
        return False

    patch.setattr(duplicates, "_has_clone", copied)


def any_organization(patch: pytest.MonkeyPatch) -> None:
    """Whose a project is does not matter."""
    for module in (create_lookup, create, missing, delete, duplicates):
        patch.setattr(module, "is_in_organization", lambda _project, _org_id: True)


def delete_what_is_recorded(patch: pytest.MonkeyPatch) -> None:
    """A recorded project needs no proof."""

    def proven(*_: object) -> Any:
        yield from ()
        return True

    patch.setattr(delete, "_is_owned", proven)


def no_mass_stop(patch: pytest.MonkeyPatch) -> None:
    """However many vanish, each is looked at for itself."""
    patch.setattr(resync, "MASS_DISAPPEARANCE_APPS", 10**9)
    no_witnesses(patch)


def list_is_enough(patch: pytest.MonkeyPatch) -> None:
    """A candidate for a surplus is not looked at again."""

    async def get_project(session: Session, effect: GetProject) -> Project:
        listing = await session.client.list_all_projects(org_id=None)
        found = next((each for each in listing.projects if each.id == effect.project_id), None)
        if found is None:
            raise errors.NeonNotFound(method="GET", route="/projects/{project_id}", status=404, detail="not listed")
        return found

    patch.setitem(HANDLERS, GetProject, get_project)  # type: ignore[misc]

"""Safeguards of the pure core, each switched off by a function that says what the program believes then."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.catalog.work_queue import Lease
from reconciler.core import conditions, neon_operations
from reconciler.core import effects as e
from reconciler.core.context import ControlPlane, CreateIntent, Event, ReconcileContext, Result, StatusUpdate
from reconciler.core.diff import project_to_create
from reconciler.core.effects import EffectGenerator, RecordProject
from reconciler.core.fleet import resync
from reconciler.core.ownership import matching_intent as made_by_nonce
from reconciler.core.reconcile import STAGES
from reconciler.core.stages import (
    connection,
    create,
    create_lookup,
    delete,
    duplicates,
    missing,
)
from reconciler.errors import NeonAPIError
from specs.metadata import AppMetadata
from specs.neon import BranchList, CreateProjectResponse, Project, ProjectListing
from tests.simulation.catalog import Catalog
from tests.simulation.without_catalog import no_fence

STAGE_MODULES = (neon_operations, conditions, *(sys.modules[stage.__module__] for stage in STAGES))


def no_settle_wait(patch: pytest.MonkeyPatch) -> None:
    """Absence is believed at once."""
    patch.setattr(ReconcileContext, "settle_window", property(lambda _: timedelta(0)))


def nonce_not_checked(patch: pytest.MonkeyPatch) -> None:
    """The name alone proves a project ours."""

    def made_by(_b: BranchList, _a: AppMetadata, _p: object, intents: tuple[CreateIntent, ...]) -> CreateIntent | None:
        return replace(intents[0], state="absent") if intents else None

    patch.setattr(create_lookup, "matching_intent", made_by)
    patch.setattr(duplicates, "matching_intent", made_by)
    patch.setattr(create_lookup, "_ambiguous", lambda _found: None)
    copies_are_surplus(patch)


def copies_are_surplus(patch: pytest.MonkeyPatch) -> None:
    """A nonce proves a project ours however many carry it."""
    honest = made_by_nonce

    def made_by(
        branches: BranchList, app: AppMetadata, plane: ControlPlane, intents: tuple[CreateIntent, ...]
    ) -> CreateIntent | None:
        made = honest(branches, app, plane, intents)
        return None if made is None else replace(made, state="absent")

    def copied(*_: object) -> EffectGenerator[bool]:
        yield from ()
        return False

    patch.setattr(duplicates, "matching_intent", made_by)
    patch.setattr(duplicates, "_has_clone", copied)


def intent_after_the_create(patch: pytest.MonkeyPatch) -> None:
    """The create is sent first, and its intent written afterwards."""

    def send(s: ReconcileContext, org_id: str) -> EffectGenerator[Result]:
        yield e.AuthorizeMutation()
        intent = CreateIntent(1, 1, s.nonce, "open", s.now)
        made = yield e.CreateProject(project_to_create(s.app, s.control_plane, intent, org_id))
        opened = yield e.OpenIntent(s.nonce, None)
        yield create._record_created(s, org_id, opened, made)
        return Result(1.0)

    patch.setattr(create, "_send", send)


def no_intent(patch: pytest.MonkeyPatch) -> None:
    """The same, and a create is sent however late it is."""
    intent_after_the_create(patch)
    patch.setattr("tests.simulation.tasks.SEND_MARGIN_SECONDS", 1e9)


def delete_unproven(patch: pytest.MonkeyPatch) -> None:
    """What is recorded is deleted, whatever it is now."""

    def proven(_s: ReconcileContext, _org_id: str, _project: Project) -> EffectGenerator[bool]:
        yield from ()
        return True

    patch.setattr(delete, "_is_owned", proven)


def surplus_unproven(patch: pytest.MonkeyPatch) -> None:
    """What bears the name is deleted."""

    def proven(_s: ReconcileContext, _org_id: str, _project: Project) -> EffectGenerator[bool]:
        yield from ()
        return True

    patch.setattr(duplicates, "_is_deletable_duplicate", proven)


def partial_lists_believed(patch: pytest.MonkeyPatch) -> None:
    """What a partial list lacks is absent."""
    patch.setattr(ProjectListing, "is_complete", property(lambda _: True))


def create_sent_again(patch: pytest.MonkeyPatch) -> None:
    """A lost answer is taken for a refusal."""
    patch.setattr(create, "NeonRetryable", NeonAPIError)


def absence_not_proven(patch: pytest.MonkeyPatch) -> None:
    """A lone 404 is believed."""
    patch.setattr(delete, "_confirm_deletion", lambda s, _project_id: delete._mark_deleted(s, None))


def one_look(patch: pytest.MonkeyPatch) -> None:
    """Once the settle time is over, one list is enough."""
    patch.setattr(create_lookup, "RECHECK_FRACTION", 0)


def no_mass_stop(patch: pytest.MonkeyPatch) -> None:
    """However many projects vanish at once, each is looked at for itself."""
    patch.setattr(resync, "MASS_DISAPPEARANCE_APPS", 10**9)


def no_tombstone(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks for projects of deleted apps."""
    honest = resync._is_duplicate
    patch.setattr(resync, "_is_duplicate", lambda app, project_id: app.deleted_at is None and honest(app, project_id))


def surplus_not_swept(patch: pytest.MonkeyPatch) -> None:
    """A late create stays."""
    patch.setattr(resync, "_is_duplicate", lambda _app, _project_id: False)


def secret_in_the_event(patch: pytest.MonkeyPatch) -> None:
    """The event of a create tells the URI."""
    honest = create._record_created

    def recording(
        s: ReconcileContext, org_id: str, intent: CreateIntent, created: CreateProjectResponse
    ) -> RecordProject:
        effect = honest(s, org_id, intent, created)
        uri = created.connection_uris[0].connection_uri.get_secret_value()
        said = replace(effect.update, events=(Event("ProjectCreated", "Created", f"Connect with {uri}."),))
        return replace(effect, update=said)

    patch.setattr(create, "_record_created", recording)


def uri_after_delete(patch: pytest.MonkeyPatch) -> None:
    """A URI is served until the project is gone."""
    patch.setattr(
        AppMetadata,
        "can_expose_uri",
        property(lambda app: app.connection_uri_sealed is not None and bool(app.connected_at)),
    )


def not_connected_to(patch: pytest.MonkeyPatch) -> None:
    """A URI is published as Neon gave it."""

    def probe(*_: object) -> EffectGenerator[None]:
        yield from ()

    for module in (neon_operations, connection):
        patch.setattr(module, "probe_database", probe)


def observed_ahead(patch: pytest.MonkeyPatch) -> None:
    """A generation is said to be observed before anybody looked."""
    honest = conditions.build_status_update

    def progress(s: ReconcileContext, **said: Any) -> StatusUpdate:
        return replace(honest(s, **said), observed_generation=s.app.generation + 1)

    for module in STAGE_MODULES:
        if hasattr(module, "build_status_update"):
            patch.setattr(module, "build_status_update", progress)


def not_held(patch: pytest.MonkeyPatch) -> None:
    """A project that a person brought back is nothing to speak of."""

    def hold(_s: ReconcileContext, project_id: str) -> EffectGenerator[None]:
        yield e.DismissDuplicate(project_id, report=True)

    patch.setattr(duplicates, "_hold_restored", hold)


def written_again(patch: pytest.MonkeyPatch) -> None:
    """What is known already is written once more."""

    def record(_s: ReconcileContext, said: StatusUpdate) -> EffectGenerator[None]:
        yield e.RecordStatus(said)

    for module in STAGE_MODULES:
        if hasattr(module, "record_if_changed"):
            patch.setattr(module, "record_if_changed", record)


def late_recover_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A delete does not wait for a recover of ours that may still arrive."""
    patch.setattr(delete, "recovery_in_flight_since", lambda _: None)


def lost_is_recreated(patch: pytest.MonkeyPatch) -> None:
    """In the place of a project that is gone comes a new, empty one."""

    def vanished(s: ReconcileContext, org_id: str, _project_id: str) -> EffectGenerator[Result]:
        return (yield from create._send(s, org_id))

    patch.setattr(missing, "reconcile_missing", vanished)
    no_fence(patch)
    honest = Catalog.open_intent

    def open_intent(self: Catalog, lease: Lease, effect: e.OpenIntent) -> CreateIntent:
        row = self.rows[lease.app_id]
        self.rows[lease.app_id] = row.model_copy(update={"project_id": None})
        try:
            return honest(self, lease, effect)
        finally:
            self.rows[lease.app_id] = row

    patch.setattr(Catalog, "open_intent", open_intent)
    patch.setattr(Catalog, "_is_free", lambda _self, _app: True)

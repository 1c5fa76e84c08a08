"""Safeguards of the catalog and the driver, each switched off in their twins."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core import effects as e
from reconciler.core.context import CreateIntent, Result
from tests.simulation import catalog as twin
from tests.simulation.catalog import Catalog
from tests.simulation.fleet import FleetCatalog


def no_fence(patch: pytest.MonkeyPatch) -> None:
    """The catalog takes every write."""
    patch.setattr(Catalog, "fenced", False)


def held_up_create_sent(patch: pytest.MonkeyPatch) -> None:
    """A create is sent however long ago it was permitted."""
    patch.setattr("tests.simulation.tasks.SEND_MARGIN_SECONDS", 1e9)


def delete_does_not_stop_a_create(patch: pytest.MonkeyPatch) -> None:
    """The intent is opened for an app that is being deleted."""
    honest = Catalog.open_intent

    def open_intent(self: Catalog, lease: Lease, effect: e.OpenIntent) -> CreateIntent:
        app = self.rows[lease.app_id]
        self.rows[lease.app_id] = app.model_copy(update={"delete_requested_at": None})
        try:
            return honest(self, lease, effect)
        finally:
            self.rows[lease.app_id] = app

    patch.setattr(Catalog, "open_intent", open_intent)


def stop_ignored(patch: pytest.MonkeyPatch) -> None:
    """What is stopped goes on."""
    patch.setattr(twin.Plane, "stopped", lambda _self, _now: False)


def credentials_kept(patch: pytest.MonkeyPatch) -> None:
    """The seals of a deleted app stay."""
    honest = Catalog._update

    def update(self: Catalog, app_id: str, **columns: Any) -> None:
        if "deleted_at" in columns:
            columns = {name: value for name, value in columns.items() if not name.endswith("_sealed")}
        honest(self, app_id, **columns)

    patch.setattr(Catalog, "_update", update)


def wake_lost(patch: pytest.MonkeyPatch) -> None:
    """What happens to an app while a pass looks at it wakes nobody."""
    honest = Catalog.release

    def release(self: Catalog, lease: Lease, outcome: Result) -> bool:
        return honest(self, replace(lease, wake_count=self.work[lease.app_id].wake_count), outcome)

    patch.setattr(Catalog, "release", release)


def lease_never_ends(patch: pytest.MonkeyPatch) -> None:
    """A lease is given back or held for ever."""
    honest = Catalog._claim

    def claim(self: Catalog, app_id: str) -> WorkItem:
        claimed = honest(self, app_id)
        self.work[app_id].due_at = math.inf
        return claimed

    patch.setattr(Catalog, "_claim", claim)


def lease_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    """A change is permitted whoever holds the app, and a lease that was lost ends no pass."""

    def permit(self: Catalog, _lease: Lease, *, swept: bool) -> None:
        assert swept in {True, False}
        assert not self.plane.stopped(math.inf)

    patch.setattr(Catalog, "permit", permit)
    patch.setattr("tests.simulation.tasks.Task.cancel", lambda _self: None)


def held_up_change_sent(patch: pytest.MonkeyPatch) -> None:
    """A change is sent however long ago it was permitted."""
    patch.setattr("tests.simulation.tasks.CHANGE_WITHIN", 1e9)


def reopened_as_of_old(patch: pytest.MonkeyPatch) -> None:
    """An intent that is sent again keeps the time of its first request."""
    honest = Catalog.open_intent

    def open_intent(self: Catalog, lease: Lease, effect: e.OpenIntent) -> CreateIntent:
        before = {each.create_seq: each.sent_at for each in self.intents[lease.app_id]}
        made = honest(self, lease, effect)
        kept = [replace(i, sent_at=before.get(i.create_seq, i.sent_at)) for i in self.intents[lease.app_id]]
        self.intents[lease.app_id] = kept
        return made

    patch.setattr(Catalog, "open_intent", open_intent)


def orphans_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What is left alone is told to nobody."""
    patch.setattr(FleetCatalog, "report_orphan", lambda _self, _project_id, _app_id: False)
    honest = FleetCatalog.drop_surplus

    def drop(self: FleetCatalog, lease: Lease, project_id: str, *, report: bool) -> None:
        assert report in {True, False}
        honest(self, lease, project_id, report=False)

    patch.setattr(FleetCatalog, "drop_surplus", drop)

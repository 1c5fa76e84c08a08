"""What the loop measures and says: each change once, each turn once, a no-op nothing; figures of known labels only."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from api.metrics import metric_descriptions
from reconciler.core import effects as e
from reconciler.core.context import Credentials, StatusUpdate
from reconciler.core.rate_limit import BucketConfig
from reconciler.errors import (
    MutationsSuspended,
    NeonAPIError,
    NeonIntermediaryError,
    NeonLocked,
    NeonNotSent,
    NeonOutcomeUnknown,
    NeonUnauthorized,
)
from reconciler.neon import codec
from reconciler.neon.protocol import OUTCOMES, CompletedRequest, NeonCall, NeonRequest
from reconciler.telemetry.neon_metrics import ROUTES, TokenEstimate
from reconciler.telemetry.reconcile_metrics import ReconcileMetrics
from reconciler.telemetry.recorder import ReconcileRecorder, Recorder
from specs.metadata import AppMetadata
from specs.neon import ProjectUpdate
from specs.status import AppStatus, Condition, ConditionType
from tests.catalogs import SPEC

ASKED = datetime(2026, 1, 1, tzinfo=UTC)
LOGGER = "reconciler.telemetry.recorder"


def _app(**given: Any) -> AppMetadata:
    row: dict[str, Any] = {
        "app_id": "a" * 24,
        "owner_id": "alice",
        "app_name": "notes",
        "spec": SPEC,
        "created_at": ASKED,
        "updated_at": ASKED,
    }
    return AppMetadata(**(row | given))


def _said(status: AppStatus, reason: str = "OnHold", **columns: datetime) -> StatusUpdate:
    condition = Condition(
        type=ConditionType.SYNCED,
        status="False",
        reason=reason,
        message="secret-word",
        last_transition_time=ASKED,
        observed_generation=1,
    )
    return StatusUpdate(status, (condition,), 1, columns)  # type: ignore[arg-type]  # the names are columns


def _exchange(status: int | None, failure: type[NeonAPIError] | None = None, *, whole: bool = True) -> CompletedRequest:
    return CompletedRequest(NeonRequest("GET", "/projects", "/projects"), "req-1", status, 0.2, whole, failure)


class Seen:
    """A witness, its metrics and its records."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, LOGGER)
        self._caplog = caplog
        self.registry = CollectorRegistry()
        self.witness = Recorder(ReconcileMetrics(self.registry))

    def watch(self, **given: Any) -> ReconcileRecorder:
        """Who sees a pass over an app."""
        return self.witness.for_app(_app(**given))

    def records(self) -> list[tuple[str, dict[str, Any]]]:
        """Level and fields of each record."""
        return [(r.levelname, getattr(r, "fields", {})) for r in self._caplog.records if r.name == LOGGER]

    def figure(self, name: str, **labels: str) -> float | None:
        """A sample's value."""
        return self.registry.get_sample_value(f"morphik_apps_{name}", labels)


@pytest.fixture
def seen(caplog: pytest.LogCaptureFixture) -> Seen:
    """A fresh witness."""
    return Seen(caplog)


def _calls() -> list[NeonCall[Any]]:
    """Every call that the codec can build, with whatever arguments."""
    some: dict[str, Any] = {"protected": True}

    class Anything:
        def model_dump(self, **_options: object) -> dict[str, Any]:
            return {}

        def __getattr__(self, _name: str) -> None:
            return None

    built = []
    for name in codec.__all__:
        make = getattr(codec, name)
        if not inspect.isfunction(make) or "NeonCall" not in str(inspect.signature(make).return_annotation):
            continue
        needed = [p for p in inspect.signature(make).parameters.values() if p.default is p.empty]
        arguments = {p.name: some.get(p.name, Anything() if p.name == "spec" else "x-1") for p in needed}
        built.append(make(**arguments))
    return built


def test_every_route_of_the_client_is_known_from_the_start() -> None:
    """What the codec can build is what the series are made for, no more and no less."""
    built = {(call.request.method, call.request.route) for call in _calls()}
    assert built == set(ROUTES)
    assert len(ROUTES) == len(set(ROUTES))


@pytest.mark.parametrize(
    ("exchange", "outcome"),
    [
        (_exchange(201), "success"),
        (_exchange(200, NeonOutcomeUnknown, whole=False), "unknown"),
        (_exchange(400), "rejected"),
        (_exchange(401), "unauthorized"),
        (_exchange(403), "unauthorized"),
        (_exchange(404), "not_found"),
        (_exchange(410), "not_found"),
        (_exchange(408), "unknown"),
        (_exchange(302), "unknown"),
        (_exchange(500), "unknown"),
        (_exchange(524), "unknown"),
        (_exchange(422), "rejected"),
        (_exchange(423), "locked"),
        (_exchange(429), "rate_limited"),
        (_exchange(429, NeonOutcomeUnknown, whole=False), "unknown"),
        (_exchange(503, NeonIntermediaryError), "intermediary"),
        (_exchange(200, NeonIntermediaryError), "intermediary"),
        (_exchange(503), "unavailable"),
        (_exchange(None, NeonNotSent, whole=False), "not_sent"),
        (_exchange(None, NeonOutcomeUnknown, whole=False), "unknown"),
        (_exchange(None, whole=False), "broken_off"),
        (_exchange(200, whole=False), "broken_off"),
    ],
)
def test_what_came_of_a_request(seen: Seen, exchange: CompletedRequest, outcome: str) -> None:
    """One of the known outcomes, counted once and timed."""
    assert exchange.outcome == outcome
    assert outcome in OUTCOMES
    seen.witness.on_neon_response(exchange)
    counted = {
        each: seen.figure("neon_requests_total", method="GET", route="/projects", outcome=each) for each in OUTCOMES
    }
    assert counted == {each: float(each == outcome) for each in OUTCOMES}
    assert seen.figure("neon_request_duration_seconds_sum", method="GET", route="/projects") == 0.2


def test_the_shared_bucket_is_shown_as_it_was_seen_and_flows_full_again() -> None:
    """It holds what the terms say at most."""
    now = [0.0]
    terms = BucketConfig(rate=1, capacity=4, lease_seconds=1, lease_size=1)
    level = TokenEstimate(terms, clock=lambda: now[0])
    assert level() == 4
    level.update(0.5)
    assert level() == 0.5
    now[0] = 2.0
    assert level() == 2.5
    now[0] = 100
    assert level() == 4


def test_a_change_is_one_record(seen: Seen) -> None:
    """With the app, the project, what was done, what came of it, and the id that Neon knows it by."""
    watch = seen.watch(project_id="p-1")
    with watch.mutation(e.UpdateProject("p-1", ProjectUpdate(name="notes"))):
        seen.witness.on_neon_response(_exchange(200))
    [(level, fields)] = seen.records()
    assert fields.pop("duration_seconds") >= 0
    assert (level, fields) == (
        "INFO",
        {
            "app_id": "a" * 24,
            "project_id": "p-1",
            "effect": "UpdateProject",
            "outcome": "success",
            "neon_request_id": "req-1",
        },
    )
    assert seen.figure("repairs_total", kind="settings") == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NeonLocked(method="POST", route="/projects", detail="busy", status=423), "NeonLocked"),
        (asyncio.CancelledError(), "cancelled"),
        (ZeroDivisionError(), "cancelled"),
    ],
)
def test_a_change_that_fails_is_one_record(seen: Seen, error: BaseException, outcome: str) -> None:
    """However it ends; nothing was repaired, and the error goes on."""
    watch = seen.watch(project_id="p-1")
    with pytest.raises(type(error)), watch.mutation(e.RecoverProject("p-1")):
        raise error
    [(level, fields)] = seen.records()
    assert (level, fields["outcome"], fields["effect"]) == ("INFO", outcome, "RecoverProject")
    assert "neon_request_id" not in fields
    assert seen.figure("repairs_total", kind="recovered") == 0


@pytest.mark.parametrize(
    ("effect", "kind"),
    [
        (e.UpdateProject("p-1", ProjectUpdate(name="notes")), "settings"),
        (e.RecoverProject("p-1"), "recovered"),
        (e.CreateEndpoint("p-1", None), "compute"),  # type: ignore[arg-type]  # what is asked for does not matter
        (e.DeleteProject("p-2"), "duplicate"),
        (e.DeleteProject("p-1"), None),
        (e.UnprotectBranch("p-1", "br-1"), None),
    ],
)
def test_repairs_are_counted_by_kind(seen: Seen, effect: e.Mutate[Any], kind: str | None) -> None:
    """A delete is one only of a project that is not the app's; an update of the desired state repairs nothing."""
    with seen.watch(project_id="p-1").mutation(effect):
        pass
    if effect.repairs is not None:
        with seen.watch(project_id="p-1", generation=2, observed_generation=1).mutation(effect):
            pass
    kinds = ("settings", "recovered", "compute", "credentials", "duplicate")
    assert {k: seen.figure("repairs_total", kind=k) for k in kinds} == {k: float(k == kind) for k in kinds}


def test_credentials_read_again_are_a_repair_once_there_were_some(seen: Seen) -> None:
    """The first ones are not."""
    effect = e.RecordCredentials(Credentials(None, None), _said(AppStatus.READY))  # type: ignore[arg-type]
    seen.watch().on_recorded(effect)
    assert seen.figure("repairs_total", kind="credentials") == 0
    seen.watch(connected_at=ASKED, status="ready").on_recorded(effect)
    assert seen.figure("repairs_total", kind="credentials") == 1


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (AppStatus.READY, "INFO"),
        (AppStatus.DELETED, "INFO"),
        (AppStatus.DEGRADED, "WARNING"),
        (AppStatus.FAILED, "ERROR"),
        (AppStatus.LOST, "ERROR"),
        (AppStatus.PROVISIONING, None),
        (AppStatus.DELETING, None),
    ],
)
def test_a_turn_is_one_line(seen: Seen, status: AppStatus, level: str | None) -> None:
    """Once in a pass, however often it is written, and never for an app that was so before; without any message."""
    watch = seen.watch(project_id="p-1", status="updating")
    for _ in range(2):
        watch.on_recorded(e.RecordStatus(_said(status)))
    seen.watch(status=status).on_recorded(e.RecordStatus(_said(status)))
    records = seen.records()
    assert [found for found, _ in records] == ([] if level is None else [level])
    for _, fields in records:
        assert (fields["status"], fields["was"], fields["reason"]) == (status, "updating", "OnHold")
        assert "secret-word" not in str(fields)


def test_times_to_ready_and_to_deleted(seen: Seen) -> None:
    """From the request, by the catalog's clock; ready counts the first time only."""
    first = _said(AppStatus.READY, connected_at=ASKED + timedelta(seconds=7))
    seen.watch().on_recorded(e.RecordStatus(first))
    seen.watch(connected_at=ASKED).on_recorded(e.RecordStatus(first))
    doomed = ASKED + timedelta(hours=1)
    gone = _said(AppStatus.DELETED, deleted_at=doomed + timedelta(seconds=3))
    seen.watch(delete_requested_at=doomed).on_recorded(e.RecordStatus(gone))
    assert seen.figure("time_to_ready_seconds_count") == seen.figure("time_to_deleted_seconds_count") == 1
    assert seen.figure("time_to_ready_seconds_sum") == 7
    assert seen.figure("time_to_deleted_seconds_sum") == 3
    assert [fields.get("after_seconds") for _, fields in seen.records()] == [7, None, 3]


@pytest.mark.parametrize(
    ("meet", "level"),
    [
        (lambda w: w.on_error(NeonUnauthorized(method="GET", route="/projects", detail="no", status=401)), "ERROR"),
        (lambda w: w.on_error(MutationsSuspended("many projects vanished")), "ERROR"),
        (lambda w: w.on_error(MutationsSuspended("sweeps may delete 10"), budget=True), "WARNING"),
        (lambda w: w.on_neon_response(_exchange(503)), "WARNING"),
        (lambda w: w.on_neon_response(_exchange(None, NeonNotSent, whole=False)), "WARNING"),
        (lambda w: w.on_error(NeonLocked(method="GET", route="/projects", detail="busy", status=423)), None),
        (lambda w: w.on_neon_response(_exchange(404)), None),
        (lambda w: w.on_neon_response(_exchange(None, whole=False)), None),
    ],
)
def test_what_is_about_the_whole_plane_is_said_once(
    seen: Seen, meet: Callable[[Recorder], None], level: str | None
) -> None:
    """An error when a person must act, a warning when it passes by itself; not once for every app."""
    for _ in range(50):
        meet(seen.witness)
    assert [found for found, _ in seen.records()] == ([] if level is None else [level])


def test_metrics_are_named_and_explained() -> None:
    """One prefix, base units, a text each, and no name of a tenant's in any label."""
    metrics = metric_descriptions()
    assert len(metrics) > 20
    for name, text in metrics.items():
        assert name.startswith("morphik_apps_")
        assert text.endswith(".")
        assert not name.endswith(("_ms", "_milliseconds", "_minutes"))

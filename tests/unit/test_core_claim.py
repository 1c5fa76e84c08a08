"""What a claim would make good, of what is seen at Neon and in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.ownership import OwnershipAnnotations
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from reconciler.core.recovery.promotion import RecoveryPlan, plan_recovery, unrecorded_projects
from specs.metadata import AppMetadata
from specs.neon import ComputeSettingsResponse, Project, ProjectListing, ProjectSettingsResponse, QuotaResponse
from tests.catalogs import SPEC

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
STANDING = CatalogIdentity(
    "ours", 9, NOW - timedelta(days=30), "here", NOW, recorded_server="here", quarantine_reason="lost"
)
A, B = "a" * 24, "b" * 24


def _row(app_id: str, **changes: object) -> AppMetadata:
    fields = {
        "app_id": app_id, "owner_id": "alice", "app_name": "shop", "spec": SPEC, "created_at": NOW, "updated_at": NOW,
    }  # fmt: skip
    return AppMetadata.model_validate(fields | changes)


def _project(app_id: str, project_id: str = "p-1") -> Project:
    return Project(
        id=project_id,
        name=f"shop-{app_id}",
        region_id="aws-eu-central-1",
        pg_version=16,
        created_at=NOW,
        history_retention_seconds=0,
        default_endpoint_settings=ComputeSettingsResponse(autoscaling_limit_min_cu=1, suspend_timeout_seconds=0),
        settings=ProjectSettingsResponse(quota=QuotaResponse(active_time_seconds=7)),
    )


def _mark(of: str, **changes: object) -> OwnershipAnnotations:
    mark = OwnershipAnnotations("morphik", "ours", 12, of, 1, f"nonce-{of[0]}", "alice", "shop")
    return replace(mark, **changes)  # type: ignore[arg-type]


def _plan(
    rows: list[AppMetadata],
    found: Mapping[Project, OwnershipAnnotations | None],
    nonces: set[str] | None = None,
    **changes: object,
) -> RecoveryPlan:
    listing = ProjectListing(projects=tuple(found))
    marks = {project.id: mark for project, mark in found.items()}
    standing = replace(STANDING, **changes)  # type: ignore[arg-type]
    return plan_recovery(standing, "morphik", rows, listing, marks, nonces or set())


def test_a_lost_app_is_what_its_project_is() -> None:
    claim = _plan([], {_project(A): _mark(A)})
    [lost] = claim.rebuild
    assert (lost.owner_id, lost.provenance.app_id, lost.provenance.create_seq, lost.provenance.nonce) == (
        "alice",
        A,
        12,
        "nonce-a",
    )
    desired = lost.desired
    assert (desired.app_name, desired.region, desired.pg_version) == ("shop", "aws-eu-central-1", 16)
    assert (desired.min_cu, desired.max_cu, desired.suspend_seconds) == (1, 2, 300)
    assert (desired.history_retention_seconds, desired.quota) == (0, {"active_time_seconds": 7})
    assert (claim.last_create_seq, claim.skipped, claim.intents, claim.missing) == (12, (), (), ())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"app_id": B}, "its annotations are of"),
        ({"nonce": None}, "incomplete"),
        ({"incarnation": None}, "incomplete"),
        ({"app_name": None}, "no valid app"),
        ({"app_name": "a\nb"}, "no valid app"),
        ({"owner_id": ""}, "no owner"),
        ({"owner_id": None}, "no owner"),
        ({"owner_id": "a\x00"}, "no owner"),
        ({"owner_id": "a" * 256}, "no owner"),
    ],
)
def test_what_does_not_say_enough_is_left_alone(changes: dict[str, object], why: str) -> None:
    claim = _plan([], {_project(A): _mark(A, **changes)})
    assert claim.rebuild == ()
    [(_, said)] = claim.skipped
    assert why in said


@pytest.mark.parametrize(
    "changes",
    [
        {"history_retention_seconds": 2**31},
        {"history_retention_seconds": -1},
        {"default_endpoint_settings": ComputeSettingsResponse(suspend_timeout_seconds=2**31)},
        {"default_endpoint_settings": ComputeSettingsResponse(autoscaling_limit_max_cu=0.1)},
        {"default_endpoint_settings": ComputeSettingsResponse(autoscaling_limit_min_cu=0.1)},
        {"pg_version": 2**31},
    ],
)
def test_a_project_that_no_row_can_describe_is_left_alone(changes: dict[str, object]) -> None:
    """One answer of Neon's must not break the claim of all the others."""
    claim = _plan([], {_project(A).model_copy(update=changes): _mark(A), _project(B, "p-2"): _mark(B, app_name="b")})
    assert [lost.provenance.app_id for lost in claim.rebuild] == [B]
    assert [project.id for project, _ in claim.skipped] == ["p-1"]


def test_what_neon_does_not_say_of_a_project_is_the_default() -> None:
    silent = Project(id="p-1", name=f"shop-{A}", region_id="aws-us-east-1", pg_version=17, created_at=NOW)
    [lost] = _plan([], {silent: _mark(A)}).rebuild
    assert (lost.desired.min_cu, lost.desired.max_cu, lost.desired.suspend_seconds) == (0.25, 2.0, 300)
    assert (lost.desired.history_retention_seconds, lost.desired.quota) == (21_600, {})


def test_a_name_is_given_once() -> None:
    """The oldest project has it; a living row before all."""
    both = {_project(A): _mark(A), _project(B, "p-2"): _mark(B)}
    claim = _plan([], both)
    assert [lost.provenance.app_id for lost in claim.rebuild] == [A]
    assert [project.id for project, _ in claim.skipped] == ["p-2"]
    assert _plan([_row("c" * 24)], both).rebuild == ()
    assert len(_plan([_row("c" * 24, delete_requested_at=NOW)], both).rebuild) == 1


def test_of_two_projects_of_one_app_none_is_taken() -> None:
    claim = _plan([], {_project(A): _mark(A), _project(A, "p-2"): _mark(A, nonce="other")})
    assert (claim.rebuild, len(claim.skipped)) == ((), 2)


def test_a_row_that_forgot_its_create_gets_it_back() -> None:
    found: dict[Project, OwnershipAnnotations | None] = {_project(A): _mark(A)}
    [trace] = _plan([_row(A)], found).intents
    assert (trace.app_id, trace.create_seq, trace.incarnation, trace.nonce) == (A, 12, 1, "nonce-a")
    assert _plan([_row(A)], found, {"nonce-a"}) == replace(_plan([_row(A)], found), intents=())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"delete_requested_at": NOW, "deleted_at": NOW}, "is deleted"),
        ({"project_id": "p-9"}, "has the project p-9"),
        ({"incarnation": 2}, "another incarnation"),
    ],
)
def test_a_row_that_has_no_use_for_it_is_left_as_it_is(changes: dict[str, object], why: str) -> None:
    claim = _plan([_row(A, **changes)], {_project(A): _mark(A)})
    assert (claim.rebuild, claim.intents) == ((), ())
    [(_, said)] = claim.skipped
    assert why in said


def test_an_app_that_is_to_be_deleted_gets_its_create_back_too() -> None:
    """So that its project is found, and deleted as its owner asked."""
    assert len(_plan([_row(A, delete_requested_at=NOW)], {_project(A): _mark(A)}).intents) == 1


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, True),
        ({"delete_requested_at": NOW}, False),
        ({"status": "lost"}, False),
        ({"hold_reason": "recovery"}, False),
        ({"project_id": None}, False),
        ({"project_id": "p-1"}, False),
    ],
)
def test_what_is_gone_is_held_while_there_is_doubt(changes: dict[str, object], missing: bool) -> None:
    rows = [_row(A, **({"project_id": "p-9"} | changes))]
    found: dict[Project, OwnershipAnnotations | None] = {_project("c" * 24): None}
    assert bool(_plan(rows, found).missing) == missing
    assert _plan(rows, found, quarantine_reason=None).missing == ()


def test_other_planes_are_nobodys_business_and_other_catalogs_are_set_aside() -> None:
    claim = _plan(
        [],
        {
            _project(A): _mark(A, control_plane_id="another"),
            _project(B, "p-2"): _mark(B, catalog_id="theirs", create_seq=40),
            _project("c" * 24, "p-3"): _mark("c" * 24, catalog_id="theirs", create_seq=30),
            _project("d" * 24, "p-4"): None,
            _project("e" * 24, "p-5"): _mark("e" * 24, catalog_id=None),
        },
    )
    assert claim == RecoveryPlan("lost", 9, foreign_catalogs={"theirs": 40})


def test_a_claim_without_a_doubt_says_so_and_finds_one_itself() -> None:
    calm = {"quarantine_reason": None}
    assert _plan([], {_project(A): _mark(A, create_seq=9)}, **calm).quarantine_reason is None
    assert "create number 12" in str(_plan([], {_project(A): _mark(A)}, **calm).quarantine_reason)
    assert "was restored" in str(_plan([], {}, quarantine_reason=None, server="there").quarantine_reason)


def test_what_no_row_records_is_read() -> None:
    listing = ProjectListing(projects=(_project(A), _project(B, "p-2"), Project(
        id="p-3", name="somebody's", region_id="r", pg_version=17, created_at=NOW)))  # fmt: skip
    assert [project.id for project in unrecorded_projects([_row(A, project_id="p-1")], listing)] == ["p-2"]


def test_what_no_row_records_comes_the_oldest_first() -> None:
    """The oldest has a name that several claim; of two of one moment, the first by id."""
    old, new = NOW - timedelta(seconds=1), NOW
    made = (("p-2", new), ("p-1", new), ("p-3", old))
    projects = tuple(_project(A, project_id).model_copy(update={"created_at": at}) for project_id, at in made)
    found = unrecorded_projects([], ProjectListing(projects=projects))
    assert [project.id for project in found] == ["p-3", "p-1", "p-2"]


def test_another_catalogs_create_of_any_number_is_set_aside() -> None:
    first = _plan([], {_project(A): _mark(A, catalog_id="theirs", create_seq=0)})
    assert first.foreign_catalogs == {"theirs": 0}

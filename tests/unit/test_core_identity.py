"""What puts a catalog in doubt: the server that it is on, and the marks at Neon."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core import ownership
from reconciler.core.ownership import OwnershipAnnotations, parse_annotations
from reconciler.core.recovery.catalog_identity import (
    CatalogIdentity,
    server_change,
    split_brain_evidence,
    unverified_projects,
)
from specs.neon import Branch, BranchList, Project, ProjectListing

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SERVER = "system 7, database 5, table 16384, timeline 1, branch -"
STANDING = CatalogIdentity("ours", 9, NOW - timedelta(days=30), SERVER, NOW, recorded_server=SERVER, verified_at=NOW)
APP_ID = "a" * 24
MARK = OwnershipAnnotations("morphik", "ours", 9, APP_ID, 1, "n", "alice", "shop")


def _project(number: int = 1, *, name: str = f"shop-{APP_ID}", at: datetime = NOW) -> Project:
    return Project(id=f"p-{number}", name=name, region_id="aws-us-east-1", pg_version=17, created_at=at)


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (SERVER, None),
        (SERVER.replace("system 7", "system 8"), "another Postgres server"),
        (SERVER.replace("database 5", "database 6"), "another database"),
        (SERVER.replace("table 16384", "table 16999"), "recreated"),
        (SERVER.replace("timeline 1", "timeline 2"), "another timeline"),
        (SERVER.replace("branch -", "branch f00"), "another branch at Neon"),
        ("system 8, database 6, table 1, timeline -, branch -", "another Postgres server, another database"),
        (SERVER.replace("database 5", "database of two words"), "another database"),
        ("something else", "another Postgres server"),
        ("", "another Postgres server"),
    ],
)
def test_the_server_says_whether_this_may_be_a_copy(here: str, said: str | None) -> None:
    reason = server_change(replace(STANDING, server=here))
    assert (reason is None) == (said is None)
    assert said is None or said in str(reason)
    assert reason is None or "morphik-apps catalog promote" in reason


def test_a_catalog_that_was_never_looked_over_is_where_it_is() -> None:
    assert server_change(replace(STANDING, recorded_server=None)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"create_seq": 10}, "create number 10"),
        ({"create_seq": 10, "control_plane_id": "another"}, None),
        ({"create_seq": None}, None),
        ({"catalog_id": None, "create_seq": 10}, None),
        ({"catalog_id": "theirs", "create_seq": 1}, "another catalog, theirs"),
        ({"catalog_id": "theirs", "create_seq": 1, "control_plane_id": "another"}, None),
    ],
)
def test_a_mark_is_evidence(changes: dict[str, object], said: str | None) -> None:
    reason = split_brain_evidence(STANDING, "morphik", _project(), replace(MARK, **changes))  # type: ignore[arg-type]
    assert (reason is None) == (said is None)
    assert said is None or said in str(reason)


def test_no_mark_is_no_evidence() -> None:
    assert split_brain_evidence(STANDING, "morphik", _project(), None) is None


@pytest.mark.parametrize(
    ("retired_catalogs", "create_seq", "at", "doubted"),
    [
        ({}, 1, STANDING.created_at, False),
        ({}, 1, STANDING.created_at + timedelta(seconds=1), True),
        ({"theirs": 4}, 4, NOW, False),
        ({"theirs": 4}, 5, NOW, True),
        ({"theirs": 4}, 5, STANDING.created_at, True),
        ({"others": 4}, 4, NOW, True),
    ],
)
def test_another_catalog_works_where_it_makes_something(
    retired_catalogs: dict[str, int], create_seq: int, at: datetime, doubted: bool
) -> None:
    """What is older than this catalog may be of one that was forgotten; what a person set aside may not make more."""
    found = replace(MARK, catalog_id="theirs", create_seq=create_seq)
    standing = replace(STANDING, retired_catalogs=retired_catalogs)
    assert (split_brain_evidence(standing, "morphik", _project(at=at), found) is not None) == doubted


UNUSED = replace(STANDING, last_create_seq=0, verified_at=None)


@pytest.mark.parametrize(
    ("standing", "changes", "at", "reason"),
    [
        (UNUSED, {"catalog_id": "theirs", "create_seq": 1}, NOW - timedelta(days=900), "by another catalog, theirs"),
        (UNUSED, {"catalog_id": "theirs", "create_seq": 1}, NOW, "by another catalog, theirs"),
        (UNUSED, {"catalog_id": "theirs", "create_seq": 1, "control_plane_id": "another"}, NOW, None),
        (UNUSED, {"catalog_id": "theirs", "create_seq": None}, NOW, None),
        (UNUSED, {"catalog_id": None, "create_seq": 1}, NOW, None),
        (UNUSED, {"create_seq": 1}, NOW - timedelta(days=900), "records only 0"),
        (UNUSED, {"create_seq": 1, "control_plane_id": "the former one"}, NOW, "records only 0"),
        (replace(UNUSED, promoted_at=NOW), {"catalog_id": "theirs", "create_seq": 1}, STANDING.created_at, None),
        (replace(UNUSED, last_create_seq=1), {"catalog_id": "theirs", "create_seq": 1}, STANDING.created_at, None),
        (
            replace(UNUSED, promoted_at=NOW, retired_catalogs={"theirs": 1}),
            {"catalog_id": "theirs", "create_seq": 1},
            NOW,
            None,
        ),
        (replace(UNUSED, promoted_at=NOW), {"create_seq": 1, "control_plane_id": "another"}, NOW, None),
    ],
)
def test_evidence_unused_catalog_stops_at_another_catalog_of_any_age(
    standing: CatalogIdentity, changes: dict[str, object], at: datetime, reason: str | None
) -> None:
    found = split_brain_evidence(standing, "morphik", _project(at=at), replace(MARK, **changes))  # type: ignore[arg-type]
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)


def test_evidence_unused_catalog_names_the_other_and_both_ways_out() -> None:
    found = str(split_brain_evidence(UNUSED, "morphik", _project(), replace(MARK, catalog_id="theirs")))
    for part in ("theirs", "p-1", "'morphik'", "sets another CONTROL_PLANE_ID", "`morphik-apps catalog promote`"):
        assert part in found


def test_suspects_unused_catalog_are_of_every_age_until_a_look_is_kept() -> None:
    old = NOW - timedelta(days=900)
    listing = ProjectListing(projects=(_project(1, at=old), _project(2), _project(3, name="foreign", at=old)))
    assert [project.id for project in unverified_projects(UNUSED, listing)] == ["p-2", "p-1"]
    for used in ({"verified_at": NOW}, {"last_create_seq": 1}, {"promoted_at": NOW}):
        assert [project.id for project in unverified_projects(replace(UNUSED, **used), listing)] == ["p-2"]


def test_only_what_is_named_like_ours_and_young_is_worth_a_call() -> None:
    """Young is what was made since an hour before the last look, by clocks that may differ."""
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    listing = ProjectListing(
        projects=(
            _project(1, at=NOW - hour),
            _project(2, at=NOW - hour + second),
            _project(3, at=NOW + hour),
            _project(4, name="a-project-of-somebody"),
        )
    )
    assert [project.id for project in unverified_projects(STANDING, listing)] == ["p-3", "p-2"]
    before = replace(STANDING, verified_at=None)
    assert [project.id for project in unverified_projects(before, listing)] == ["p-3", "p-2", "p-1"]


def _branches(*annotations: dict[str, str], default: int = 0) -> BranchList:
    branches = tuple(Branch(id=f"br-{n}", name="b", default=n == default) for n in range(len(annotations)))
    return BranchList(branches=branches, annotations={f"br-{n}": found for n, found in enumerate(annotations)})


def test_a_mark_is_read_from_the_default_branch_else_from_any() -> None:
    whole = {
        ownership.CONTROL_PLANE_ID: "morphik",
        ownership.CATALOG: "ours",
        ownership.CREATE_SEQ: "9",
        ownership.APP_ID: APP_ID,
        ownership.INCARNATION: "1",
        ownership.NONCE: "n",
        ownership.OWNER: "alice",
        ownership.APP_NAME: "shop",
    }
    assert parse_annotations(_branches(whole, {ownership.CONTROL_PLANE_ID: "another"})) == MARK
    assert parse_annotations(_branches({ownership.CONTROL_PLANE_ID: "another"}, whole, default=1)) == MARK
    assert parse_annotations(_branches({}, whole)) == MARK
    assert parse_annotations(_branches({}, {"other": "words"})) is None
    orphaned = BranchList(branches=(), annotations={"br-gone": whole})
    assert parse_annotations(orphaned) == MARK


@pytest.mark.parametrize("text", ["", "-1", "1.0", "٣", "nine", "9" * 19])
def test_a_number_that_is_none_is_none(text: str) -> None:
    found = parse_annotations(
        _branches({ownership.CONTROL_PLANE_ID: "morphik", ownership.CREATE_SEQ: text, ownership.INCARNATION: text})
    )
    assert found is not None
    assert (found.create_seq, found.incarnation) == (None, None)

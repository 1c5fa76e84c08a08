"""What puts a catalog in doubt: the server that it is on, and the marks at Neon."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core import mark
from reconciler.core.identity import Standing, elsewhere, evidence, suspects
from reconciler.core.mark import Mark, mark_of
from specs.neon import Branch, BranchList, Project, ProjectListing

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
SERVER = "system 7, database 5, table 16384, timeline 1, branch -"
STANDING = Standing("ours", 9, NOW - timedelta(days=30), SERVER, NOW, kept=SERVER, looked_at=NOW)
APP_ID = "a" * 24
MARK = Mark("morphik", "ours", 9, APP_ID, 1, "n", "alice", "shop")


def _project(number: int = 1, *, name: str = f"shop-{APP_ID}", at: datetime = NOW) -> Project:
    return Project(id=f"p-{number}", name=name, region_id="aws-us-east-1", pg_version=17, created_at=at)


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (SERVER, None),
        (SERVER.replace("system 7", "system 8"), "another Postgres server"),
        (SERVER.replace("database 5", "database 6"), "another database"),
        (SERVER.replace("table 16384", "table 16999"), "made anew"),
        (SERVER.replace("timeline 1", "timeline 2"), "another timeline"),
        (SERVER.replace("branch -", "branch f00"), "another branch at Neon"),
        ("system 8, database 6, table 1, timeline -, branch -", "another Postgres server, another database"),
        (SERVER.replace("database 5", "database of two words"), "another database"),
        ("something else", "another Postgres server"),
        ("", "another Postgres server"),
    ],
)
def test_the_server_says_whether_this_may_be_a_copy(here: str, said: str | None) -> None:
    reason = elsewhere(replace(STANDING, server=here))
    assert (reason is None) == (said is None)
    assert said is None or said in str(reason)
    assert reason is None or "morphik-apps claim" in reason


def test_a_catalog_that_was_never_looked_over_is_where_it_is() -> None:
    assert elsewhere(replace(STANDING, kept=None)) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"create_seq": 10}, "create number 10"),
        ({"create_seq": 10, "plane": "another"}, None),
        ({"create_seq": None}, None),
        ({"catalog_id": None, "create_seq": 10}, None),
        ({"catalog_id": "theirs", "create_seq": 1}, "another catalog, theirs"),
        ({"catalog_id": "theirs", "create_seq": 1, "plane": "another"}, None),
    ],
)
def test_a_mark_is_evidence(changes: dict[str, object], said: str | None) -> None:
    reason = evidence(STANDING, "morphik", _project(), replace(MARK, **changes))  # type: ignore[arg-type]
    assert (reason is None) == (said is None)
    assert said is None or said in str(reason)


def test_no_mark_is_no_evidence() -> None:
    assert evidence(STANDING, "morphik", _project(), None) is None


@pytest.mark.parametrize(
    ("set_aside", "create_seq", "at", "doubted"),
    [
        ({}, 1, STANDING.made_at, False),
        ({}, 1, STANDING.made_at + timedelta(seconds=1), True),
        ({"theirs": 4}, 4, NOW, False),
        ({"theirs": 4}, 5, NOW, True),
        ({"theirs": 4}, 5, STANDING.made_at, True),
        ({"others": 4}, 4, NOW, True),
    ],
)
def test_another_catalog_works_where_it_makes_something(
    set_aside: dict[str, int], create_seq: int, at: datetime, doubted: bool
) -> None:
    """What is older than this catalog may be of one that was forgotten; what a person set aside may not make more."""
    found = replace(MARK, catalog_id="theirs", create_seq=create_seq)
    standing = replace(STANDING, set_aside=set_aside)
    assert (evidence(standing, "morphik", _project(at=at), found) is not None) == doubted


UNUSED = replace(STANDING, high_water=0, looked_at=None)


@pytest.mark.parametrize(
    ("standing", "changes", "at", "reason"),
    [
        (UNUSED, {"catalog_id": "theirs", "create_seq": 1}, NOW - timedelta(days=900), "by another catalog, theirs"),
        (UNUSED, {"catalog_id": "theirs", "create_seq": 1}, NOW, "by another catalog, theirs"),
        (UNUSED, {"catalog_id": "theirs", "create_seq": 1, "plane": "another"}, NOW, None),
        (UNUSED, {"catalog_id": "theirs", "create_seq": None}, NOW, None),
        (UNUSED, {"catalog_id": None, "create_seq": 1}, NOW, None),
        (UNUSED, {"create_seq": 1}, NOW - timedelta(days=900), "remembers only 0"),
        (UNUSED, {"create_seq": 1, "plane": "the former one"}, NOW, "remembers only 0"),
        (replace(UNUSED, claimed_at=NOW), {"catalog_id": "theirs", "create_seq": 1}, STANDING.made_at, None),
        (replace(UNUSED, high_water=1), {"catalog_id": "theirs", "create_seq": 1}, STANDING.made_at, None),
        (
            replace(UNUSED, claimed_at=NOW, set_aside={"theirs": 1}),
            {"catalog_id": "theirs", "create_seq": 1},
            NOW,
            None,
        ),
        (replace(UNUSED, claimed_at=NOW), {"create_seq": 1, "plane": "another"}, NOW, None),
    ],
)
def test_evidence_unused_catalog_stops_at_another_catalog_of_any_age(
    standing: Standing, changes: dict[str, object], at: datetime, reason: str | None
) -> None:
    found = evidence(standing, "morphik", _project(at=at), replace(MARK, **changes))  # type: ignore[arg-type]
    assert (found is None) == (reason is None)
    assert reason is None or reason in str(found)


def test_evidence_unused_catalog_names_the_other_and_both_ways_out() -> None:
    found = str(evidence(UNUSED, "morphik", _project(), replace(MARK, catalog_id="theirs")))
    for part in ("theirs", "p-1", "'morphik'", "sets another CONTROL_PLANE_ID", "`morphik-apps claim`"):
        assert part in found


def test_suspects_unused_catalog_are_of_every_age_until_a_look_is_kept() -> None:
    old = NOW - timedelta(days=900)
    listing = ProjectListing(projects=(_project(1, at=old), _project(2), _project(3, name="foreign", at=old)))
    assert [project.id for project in suspects(UNUSED, listing)] == ["p-2", "p-1"]
    for used in ({"looked_at": NOW}, {"high_water": 1}, {"claimed_at": NOW}):
        assert [project.id for project in suspects(replace(UNUSED, **used), listing)] == ["p-2"]


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
    assert [project.id for project in suspects(STANDING, listing)] == ["p-3", "p-2"]
    before = replace(STANDING, looked_at=None)
    assert [project.id for project in suspects(before, listing)] == ["p-3", "p-2", "p-1"]


def _branches(*annotations: dict[str, str], default: int = 0) -> BranchList:
    branches = tuple(Branch(id=f"br-{n}", name="b", default=n == default) for n in range(len(annotations)))
    return BranchList(branches=branches, annotations={f"br-{n}": found for n, found in enumerate(annotations)})


def test_a_mark_is_read_from_the_default_branch_else_from_any() -> None:
    whole = {
        mark.PLANE: "morphik", mark.CATALOG: "ours", mark.CREATE_SEQ: "9", mark.APP_ID: APP_ID, mark.INCARNATION: "1",
        mark.NONCE: "n", mark.OWNER: "alice", mark.APP_NAME: "shop",
    }  # fmt: skip
    assert mark_of(_branches(whole, {mark.PLANE: "another"})) == MARK
    assert mark_of(_branches({mark.PLANE: "another"}, whole, default=1)) == MARK
    assert mark_of(_branches({}, whole)) == MARK
    assert mark_of(_branches({}, {"other": "words"})) is None
    orphaned = BranchList(branches=(), annotations={"br-gone": whole})
    assert mark_of(orphaned) == MARK


@pytest.mark.parametrize("text", ["", "-1", "1.0", "٣", "nine", "9" * 19])
def test_a_number_that_is_none_is_none(text: str) -> None:
    found = mark_of(_branches({mark.PLANE: "morphik", mark.CREATE_SEQ: text, mark.INCARNATION: text}))
    assert found is not None
    assert (found.create_seq, found.incarnation) == (None, None)

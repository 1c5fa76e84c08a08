"""What a project carries, and what it proves."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core import ownership
from reconciler.core.context import CreateIntent
from reconciler.core.ownership import (
    build_annotations,
    has_app_annotations,
    has_app_name,
    is_in_organization,
    matching_intent,
    parse_annotations,
)
from specs.neon import BranchList
from specs.status import Reason
from tests.unit.core_passes import PLANE
from tests.unit.test_core_recovering import NOW, app, project

APP = app(Reason.AVAILABLE)
INTENT = CreateIntent(4, 1, "nonce-4", "open", NOW)
WHOLE = build_annotations(APP, PLANE, INTENT)
OF_SOMEBODY = {"team": "blue"}


def _orphaned(**annotations: dict[str, str]) -> BranchList:
    """Annotations of branches that the list does not hold, in this order."""
    return BranchList(branches=(), annotations=annotations)


def test_a_mark_says_what_the_annotations_of_a_create_say() -> None:
    found = parse_annotations(_orphaned(br=WHOLE))
    assert found == ownership.OwnershipAnnotations("morphik", "catalog-1", 4, APP.app_id, 1, "nonce-4", "o", "shop")


def test_of_marks_on_branches_that_are_not_listed_the_first_id_counts_in_any_order() -> None:
    first, second = {ownership.CONTROL_PLANE_ID: "first"}, {ownership.CONTROL_PLANE_ID: "second"}
    for branches in (_orphaned(a=first, b=second), _orphaned(b=second, a=first)):
        found = parse_annotations(branches)
        assert found is not None
        assert found.control_plane_id == "first"


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("7", 7), ("9" * 18, 999_999_999_999_999_999), ("9" * 19, None), ("1" * 20, None)]
)
def test_a_number_of_up_to_eighteen_digits_is_read(text: str, number: int | None) -> None:
    found = parse_annotations(
        _orphaned(br={ownership.CONTROL_PLANE_ID: "morphik", ownership.CREATE_SEQ: text, ownership.INCARNATION: text})
    )
    assert found is not None
    assert (found.create_seq, found.incarnation) == (number, number)


@pytest.mark.parametrize(
    ("names", "ours"),
    [
        ({"org_id": "org-1"}, True),
        ({"org_id": "org-1", "owner_id": "org-2"}, True),
        ({"org_id": "org-2", "owner_id": "org-1"}, False),
        ({"org_id": None, "owner_id": "org-1"}, True),
        ({"org_id": None, "owner_id": "org-2"}, False),
        ({"org_id": None, "owner_id": None}, False),
    ],
)
def test_a_project_is_its_organizations_else_its_owners(names: dict[str, Any], ours: bool) -> None:
    assert is_in_organization(project(APP, **names), "org-1") is ours


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (APP.project_name, True),
        (f"an-earlier-name-{APP.app_id}", True),
        (f"shop-{'b' * 24}", False),
        (APP.app_id, False),
        ("shop", False),
    ],
)
def test_the_name_of_an_app_is_known_by_its_id(name: str, ours: bool) -> None:
    assert has_app_name(project(APP, name=name), APP) is ours


@pytest.mark.parametrize("key", [ownership.CONTROL_PLANE_ID, ownership.APP_ID, ownership.INCARNATION])
def test_an_annotation_that_says_something_else_proves_nothing(key: str) -> None:
    assert has_app_annotations(_orphaned(br=WHOLE), APP, PLANE)
    assert not has_app_annotations(_orphaned(br=WHOLE | {key: "another"}), APP, PLANE)
    assert matching_intent(_orphaned(br=WHOLE | {key: "another"}), APP, PLANE, [INTENT]) is None


def test_one_branch_that_is_marked_is_enough() -> None:
    """Branches that people made carry what they like."""
    some = _orphaned(a=OF_SOMEBODY, b=WHOLE, c={})
    assert has_app_annotations(some, APP, PLANE)
    assert matching_intent(some, APP, PLANE, [INTENT]) == INTENT


def test_without_annotations_nothing_is_proven() -> None:
    assert not has_app_annotations(_orphaned(), APP, PLANE)
    assert not has_app_annotations(_orphaned(br=OF_SOMEBODY), APP, PLANE)
    assert matching_intent(_orphaned(), APP, PLANE, [INTENT]) is None


def test_of_several_creates_that_one_counts_whose_nonce_is_carried() -> None:
    other = CreateIntent(5, 1, "nonce-5", "open", NOW)
    assert matching_intent(_orphaned(br=WHOLE), APP, PLANE, [other, INTENT]) == INTENT
    assert matching_intent(_orphaned(br=WHOLE), APP, PLANE, [other]) is None
    assert matching_intent(_orphaned(br=WHOLE), APP, PLANE, []) is None

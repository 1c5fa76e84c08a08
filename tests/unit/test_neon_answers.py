"""Answers about another object than requested, and items of lists that cannot be read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler import errors
from reconciler.neon import codec
from specs import neon
from specs.names import format_project_name
from tests.unit.test_neon_codec import BAD_IDS, BRANCH, CREATED, PROJECT, SPEC

CREATED_BYTES = json.dumps(CREATED).encode()


# Answers about another object


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (codec.get_project("p-1"), {"project": PROJECT}),
        (codec.update_project("p-1", neon.ProjectUpdate(name="n")), {"project": PROJECT}),
        (codec.recover_project("p-1"), {"project": PROJECT}),
        (codec.delete_project("p-1"), {"project": PROJECT}),
        (codec.update_branch("p-1", "br-2", protected=False), {"branch": BRANCH}),
        (codec.update_branch("p-1", "br-1", protected=False), {"branch": {**BRANCH, "project_id": "p-2"}}),
        (codec.create_branch("p-1", neon.BranchCreate()), {"branch": {**BRANCH, "project_id": "p-2"}}),
        (
            codec.create_endpoint("p-1", neon.EndpointCreate(branch_id="br-1")),
            {"endpoint": {"id": "ep-1", "branch_id": "br-1", "project_id": "p-2"}},
        ),
    ],
)
def test_an_answer_about_another_object_is_an_unknown_outcome(
    call: codec.NeonCall[object], body: dict[str, Any]
) -> None:
    with pytest.raises(errors.NeonOutcomeUnknown, match="about another"):
        codec.decode(call, 200, {}, json.dumps(body).encode())


# Items that cannot be read

OURS = format_project_name("shop", "a" * 24)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({**PROJECT, "pg_version": None}, ("gentle-river-1", "shop-x")),
        ({**PROJECT, "name": None}, ("gentle-river-1", None)),
        ({**PROJECT, "name": 5}, ("gentle-river-1", None)),
        ({**PROJECT, "created_at": "yesterday"}, ("gentle-river-1", "shop-x")),
        ({**PROJECT, "deleted_at": "yesterday"}, ("gentle-river-1", "shop-x")),
        ({**PROJECT, "settings": "none"}, ("gentle-river-1", "shop-x")),
        ({"id": "p-1", "name": OURS}, ("p-1", OURS)),
        *[({**PROJECT, "id": bad}, (None, "shop-x")) for bad in BAD_IDS],
        ({}, (None, None)),
        (None, (None, None)),
        ("p-1", (None, None)),
        ([PROJECT], (None, None)),
    ],
)
def test_a_page_with_one_odd_item_holds_the_others(item: object, expected: tuple[str | None, str | None]) -> None:
    body = json.dumps({"projects": [item, {**PROJECT, "id": "p-9"}]}).encode()
    page = codec.decode(codec.list_projects(), 200, {}, body)
    assert [project.id for project in page.projects] == ["p-9"]
    assert [(odd.id, odd.name) for odd in page.unreadable] == [expected]


@pytest.mark.parametrize(
    ("odd", "unreadable"),
    [
        ({**BRANCH, "name": None}, 0),
        ({**BRANCH, "created_at": "?", "parent_id": "../x", "current_state": {}}, 0),
        ({**BRANCH, "id": "../x"}, 1),
        ({**BRANCH, "default": "perhaps"}, 1),
        ({**BRANCH, "project_id": "p-2"}, 1),
        ({**BRANCH, "project_id": "p-1"}, 0),
        (None, 1),
    ],
)
def test_an_odd_branch_is_counted_where_it_cannot_be_read(odd: object, unreadable: int) -> None:
    body = json.dumps({"branches": [odd, {**BRANCH, "id": "br-9"}]}).encode()
    read = codec.decode(codec.list_branches("p-1"), 200, {}, body)
    assert (read.branches[-1].id, len(read.branches), read.unreadable) == ("br-9", 2 - unreadable, unreadable)


@pytest.mark.parametrize(
    ("odd", "unreadable"),
    [
        ({"value": None}, 0),
        ({}, 0),
        (None, 0),
        ({"value": 5}, 1),
        ([], 1),
        ({"value": {"a": "\x00"}}, 1),
        ({"value": {"a": "\ud800"}}, 1),
        ({"value": {"a": "x" * 5000}}, 1),
    ],
)
def test_an_odd_annotation_is_counted_where_it_cannot_be_read(odd: object, unreadable: int) -> None:
    body = json.dumps({"branches": [], "annotations": {"br-1": odd, "br-2": {"value": {"nonce": "n"}}}}).encode()
    read = codec.decode(codec.list_branches("p-1"), 200, {}, body)
    assert (read.annotations["br-2"], read.unreadable) == ({"nonce": "n"}, unreadable)


@pytest.mark.parametrize(
    "odd", [None, 5, {"id": "ep-1", "branch_id": "../x"}, {"branch_id": "br-1", "project_id": "p-2"}]
)
def test_an_odd_endpoint_may_be_of_any_branch(odd: object) -> None:
    body = json.dumps({"endpoints": [odd, {"id": "ep-9", "branch_id": "br-9", "type": "read_write"}]}).encode()
    first, second = codec.decode(codec.list_endpoints("p-1"), 200, {}, body)
    assert (first.branch_id, first.type, second.branch_id) == (None, "", "br-9")


@pytest.mark.parametrize("odd", [None, 5, {"status": {}}, {"status": "finished", "project_id": "p-2"}])
def test_an_odd_operation_may_still_run(odd: object) -> None:
    body = json.dumps({"operations": [odd, {"id": "op-9", "status": "finished"}]}).encode()
    first, second = codec.decode(codec.list_operations("p-1"), 200, {}, body)
    assert (first.is_terminal, second.is_terminal) == (False, True)


@pytest.mark.parametrize("bad", BAD_IDS)
def test_a_created_project_whose_id_is_none_is_an_unknown_outcome(bad: object) -> None:
    body = json.dumps({**CREATED, "project": {**PROJECT, "id": bad}}).encode()
    with pytest.raises(errors.NeonOutcomeUnknown):
        codec.decode(codec.create_project(SPEC), 201, {}, body)


@pytest.mark.parametrize("part", ["roles", "databases", "operations", "endpoints", "connection_uris"])
def test_a_created_project_is_known_although_one_of_its_parts_cannot_be_read(part: str) -> None:
    body = json.dumps({**CREATED, part: [None, {"password": 5}, *CREATED[part]]}).encode()
    made = codec.decode(codec.create_project(SPEC), 201, {}, body)
    assert made.project.id == "gentle-river-1"
    assert getattr(made, part)[-1] == getattr(codec.decode(codec.create_project(SPEC), 201, {}, CREATED_BYTES), part)[0]

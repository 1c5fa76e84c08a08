"""Lists are read to their end, and say when they may lack something."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

import pytest

from reconciler import errors
from reconciler.neon import client as neon_client
from reconciler.neon.client import NeonClient
from specs import neon
from tests.integration.loopback import Use, answers, project, run

FULL = tuple(f"p-{number}" for number in range(400))


def page(ids: Iterable[str], cursor: str | None, lacking: tuple[str, ...] = ()) -> tuple[int, object]:
    """An answer to one page of projects."""
    return 200, {
        "projects": [project(each) for each in ids],
        "unavailable_project_ids": lacking,
        "pagination": {"cursor": cursor},
    }


def branches(ids: Iterable[str], after: str | None) -> tuple[int, object]:
    """An answer to one page of branches, each with its id for an annotation."""
    return 200, {
        "branches": [{"id": each, "name": each} for each in ids],
        "annotations": {each: {"object": {}, "value": {"of": each}} for each in ids},
        "pagination": {"next": after},
    }


def everything(client: NeonClient) -> Awaitable[object]:
    return client.list_all_projects(org_id="org-1")


def found(client: NeonClient) -> Awaitable[object]:
    return client.list_all_projects(org_id="org-1", search="p")


def deleted(client: NeonClient) -> Awaitable[object]:
    return client.list_all_projects(org_id=None, recoverable=True)


def all_branches(client: NeonClient) -> Awaitable[object]:
    return client.list_branches("p-1")


@pytest.mark.parametrize(
    ("use", "pages", "listed", "complete"),
    [
        (everything, [page([], None)], 0, True),
        (everything, [page([], "c")], 0, True),
        (everything, [page(["p-1"], None)], 1, True),
        (everything, [page(["p-1"], "p-1"), page([], "p-1")], 1, True),
        (everything, [page(FULL, "a"), page(["q-1"], "b"), page([], "b")], 401, True),
        (everything, [page(["p-1"], "a", ("x-1",)), page(["p-2"], "b"), page([], "b")], 2, False),
        (everything, [page([], "a", ("x-1",))], 0, False),
        (everything, [page(["p-1"], "a"), page(["p-1", "p-2"], "b"), page([], "b")], 2, False),
        (found, [page(["p-1"], "a")], 1, True),
        (found, [page([], "a")], 0, True),
        (found, [page(["p-1"], "a", ("x-1",)), page([], "a")], 1, False),
        (found, [page(FULL, "a"), page(["q-1"], "b")], 401, True),
        (deleted, [page(["p-1"], "a"), page([], "a")], 1, True),
    ],
)
def test_projects_are_listed_to_their_end(
    use: Use, pages: list[tuple[int, object]], listed: int, complete: bool
) -> None:
    result, server, _ = run(answers(*pages), use)
    assert isinstance(result, neon.ProjectListing)
    assert (len(result.projects), result.is_complete, len(server.requests)) == (listed, complete, len(pages))


ODD = {"id": "odd-1", "name": None}


@pytest.mark.parametrize(
    ("use", "pages", "listed", "odd"),
    [
        (everything, [[ODD, project("p-1")], [project("p-2")], []], 2, ["odd-1"]),
        (everything, [[ODD], [{}, ODD], []], 0, ["odd-1", None]),
        (found, [[ODD]], 0, ["odd-1"]),
        (found, [[ODD, *map(project, FULL[1:])], [project("q-1")]], 400, ["odd-1"]),
    ],
)
def test_items_that_cannot_be_read_are_listed_apart(
    use: Use, pages: list[list[object]], listed: int, odd: list[str | None]
) -> None:
    bodies = [(200, {"projects": items, "pagination": {"cursor": f"c{n}"}}) for n, items in enumerate(pages)]
    result, server, _ = run(answers(*bodies), use)
    assert isinstance(result, neon.ProjectListing)
    assert (len(result.projects), [item.id for item in result.unreadable]) == (listed, odd)
    assert result.is_complete == (None not in odd)
    assert len(server.requests) == len(pages)


def test_each_page_is_asked_for_by_the_cursor_before_it() -> None:
    _, server, _ = run(answers(page(["p-1"], "a b"), page([], None)), everything)
    targets = [request.split(b" ")[1].decode() for request in server.requests]
    assert targets == [
        "/api/v2/projects?org_id=org-1&limit=400",
        "/api/v2/projects?org_id=org-1&cursor=a+b&limit=400",
    ]
    _, server, _ = run(answers(page([], None)), deleted)
    assert b"/projects?limit=400&recoverable=true " in server.requests[0]


@pytest.mark.parametrize(
    ("use", "pages"),
    [
        (everything, [page(["p-1"], "a"), page(["p-2"], "a")]),
        (everything, [page(["p-1"], "a"), page(["p-2"], "b"), page(["p-3"], "a")]),
        (everything, [page(["p-1"], "a"), (200, {"projects": None})]),
        (all_branches, [branches(["b-1"], "a"), branches(["b-2"], "a")]),
        (all_branches, [branches(["b-1"], "a"), branches(["b-2"], "b"), branches(["b-3"], "a")]),
    ],
)
def test_pages_that_go_in_a_circle_prove_nothing(use: Use, pages: list[tuple[int, object]]) -> None:
    result, server, _ = run(answers(*pages), use)
    assert type(result) is errors.NeonOutcomeUnknown
    assert len(server.requests) == len(pages)


@pytest.mark.parametrize("use", [everything, all_branches])
def test_pages_without_end_prove_nothing(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neon_client, "MAX_PAGES", 3)
    made = branches if use is all_branches else page
    result, server, _ = run(answers(*[made([f"x-{n}"], f"c{n}") for n in range(9)]), use)
    assert type(result) is errors.NeonOutcomeUnknown
    assert len(server.requests) == 3


def test_a_refusal_inside_a_list_ends_it() -> None:
    result, _, seen = run(answers(page(["p-1"], "a"), (429, {"code": "", "message": "m"})), everything)
    assert type(result) is errors.NeonRateLimited
    assert [status for _, status in seen] == [200, 429]


def test_branches_are_listed_to_their_end_with_their_annotations() -> None:
    result, _, _ = run(answers(branches(["b-1"], "a"), branches(["b-2"], None)), all_branches)
    assert isinstance(result, neon.BranchList)
    assert [branch.id for branch in result.branches] == ["b-1", "b-2"]
    assert (result.annotations, result.next) == ({"b-1": {"of": "b-1"}, "b-2": {"of": "b-2"}}, None)

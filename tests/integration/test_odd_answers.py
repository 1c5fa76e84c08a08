"""A control plane over a real catalog and a Neon that answers oddly: what is recorded, and what goes on."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest

from specs.status import AppStatus, find_condition
from tests.identity.house import House, Neon, told

HTML = "<html>Forbidden by the gateway</html>"


def _changed(answer: httpx.Response, **changes: Any) -> httpx.Response:
    return httpx.Response(answer.status_code, json=json.loads(answer.content) | changes)


@pytest.mark.parametrize("bad", ["../../../auth", "x" * 300, "", "a\x00b", "a\n"])
def test_a_create_whose_answer_has_no_id_is_adopted_when_its_project_appears(catalog_url: str, bad: str) -> None:
    neon = Neon()

    def falsify(method: str, path: str, answer: httpx.Response) -> httpx.Response:
        if (method, path) != ("POST", "/projects"):
            return answer
        return _changed(answer, project=json.loads(answer.content)["project"] | {"id": bad})

    async def story() -> None:
        neon.falsify = falsify
        async with House(catalog_url, neon) as house:
            app_id = await house.ready()
            assert neon.changes == ["POST /projects"]
            assert [house.row(app_id).project_id] == neon.of(app_id)

    told(story)


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "odd-1", "name": None},
        {"id": "odd-1", "name": "theirs", "region_id": "r", "created_at": "2026-01-01T00:00:00Z"},
        {"id": "odd-1", "name": "theirs-" + "a" * 24},
        {"id": "../../../auth", "name": "theirs"},
        None,
    ],
)
def test_one_odd_item_in_neons_list_stops_neither_creates_nor_sweeps(
    catalog_url: str, odd: object, caplog: pytest.LogCaptureFixture
) -> None:
    neon = Neon()

    def falsify(method: str, path: str, answer: httpx.Response) -> httpx.Response:
        body = json.loads(answer.content)
        if (method, path) != ("GET", "/projects") or not body["projects"]:
            return answer
        return _changed(answer, projects=[odd, *body["projects"]])

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            changed, gone = await house.ready("changed"), await house.ready("gone")
            neon.falsify = falsify
            house.restart()
            await house.ready("new")
            project_id = str(house.row(changed).project_id)
            neon.machine._account.projects[project_id].name = "renamed"
            house.age()
            with caplog.at_level(logging.WARNING):
                await house.sweep()
            assert f"PATCH /projects/{project_id}" in neon.changes
            assert any(getattr(record, "event", "") == "neon.projects_unreadable" for record in caplog.records)
            assert (house.row(gone).status, house.doubt()) == (AppStatus.READY, None)

    told(story)


def test_an_app_whose_own_item_cannot_be_read_is_not_called_missing(catalog_url: str) -> None:
    neon = Neon()
    hidden: set[str] = set()

    def falsify(method: str, path: str, answer: httpx.Response) -> httpx.Response:
        if (method, path) != ("GET", "/projects"):
            return answer
        projects = json.loads(answer.content)["projects"]
        return _changed(answer, projects=[{"id": p["id"]} if p["id"] in hidden else p for p in projects])

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            ours, other = await house.ready("ours"), await house.ready("other")
            hidden.add(str(house.row(ours).project_id))
            neon.person("DELETE", f"/projects/{house.row(other).project_id}")
            neon.falsify = falsify
            neon.changes.clear()
            await house.long()
            assert neon.changes == [f"POST /projects/{house.row(other).project_id}/recover"]
            assert house.row(ours).status == AppStatus.READY

    told(story)


def test_a_recorded_id_that_is_none_is_sent_nowhere_and_named(catalog_url: str) -> None:
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            bad, good = await house.ready("bad"), await house.ready("good")
            house.sql(f"UPDATE app_metadata SET project_id = '../../../auth' WHERE app_id = '{bad}'")
            neon.reads.clear()
            neon.person("DELETE", f"/projects/{house.row(good).project_id}")
            await house.long()
            assert not any("auth" in path for path in neon.reads)
            [synced] = [find_condition(house.row(bad).conditions, "Synced")]
            assert synced is not None
            assert "an id that Neon cannot have issued" in (synced.operator_message or "")
            assert house.row(good).status == AppStatus.READY

    told(story)


@pytest.mark.parametrize("status", [200, 302, 403, 404, 405, 407, 503])
def test_a_gateway_that_answers_for_neon_fails_no_app_and_accuses_no_key(catalog_url: str, status: int) -> None:
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            app_id = await house.ready()
            neon.falsify = lambda _method, _path, _answer: httpx.Response(status, text=HTML)
            neon.changes.clear()
            house.restart()
            new = await house.ask("new")
            await house.passes(6)
            for each in (app_id, new):
                assert house.row(each).status not in {AppStatus.FAILED, AppStatus.LOST}
                assert house.reason(each) == "NeonUnavailable"
            synced = find_condition(house.row(new).conditions, "Synced")
            assert synced is not None
            assert "An intermediary responded in place of Neon" in synced.message
            assert neon.changes == []

    told(story)


def test_a_create_that_a_gateway_answered_with_503_makes_one_project(catalog_url: str) -> None:
    """The gateway lost its connection after Neon had the request."""
    neon = Neon()
    gateway = iter([httpx.Response(503, text=HTML)])

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.access.verify()
            neon.falsify = lambda method, _path, answer: next(gateway, answer) if method == "POST" else answer
            app_id = await house.ready()
            assert (neon.changes, len(neon.of(app_id))) == (["POST /projects"], 1)

    told(story)

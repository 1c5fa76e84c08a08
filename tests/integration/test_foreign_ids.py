"""An owner cannot tell an app of another owner from one that does not exist: same statements, same plans, same text.

Nothing is timed: the statements and what Postgres reads for them are equal, so their times are too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest

from reconciler.catalog import database as module
from reconciler.catalog.apps import AppStore
from reconciler.catalog.statements import load
from tests.catalogs import execute, with_catalog
from tests.integration.api_client import api_context, bearer, client_over
from tests.postgres import TestServer
from tests.statements import Run, TappedConnection, tapped
from tests.upgrades.schemas import fill

OWNER = "bob"
Call = Callable[[AppStore, str], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "get": lambda catalog, app_id: catalog.get(OWNER, app_id),
    "delete": lambda catalog, app_id: catalog.request_delete(OWNER, app_id, "request-1"),
    "events": lambda catalog, app_id: catalog.events(OWNER, app_id, limit=10, cursor=None),
}
_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF, FORMAT JSON) "


@pytest.fixture(scope="module")
def filled(postgres: TestServer) -> Iterator[str]:
    """A catalog so large that the planner has a choice; some of it is Bob's, around the ids that are looked for."""
    name = postgres.create_database(postgres.migrated_template())
    url = postgres.dsn(name)
    fill(url)
    execute(url, "UPDATE app_metadata SET owner_id = 'bob' WHERE owner_id = 'owner-7'")
    execute(url, "VACUUM ANALYZE")
    yield url
    postgres.drop_database(name)


def _foreign(url: str) -> str:
    ids = execute(url, "SELECT app_id FROM app_metadata WHERE owner_id = 'owner-8' ORDER BY app_id")
    return str(ids[20]["app_id"])


def _unknown(url: str) -> str:
    """An id that no app has and that stands in an index where the foreign one would."""
    return f"{_foreign(url)[:-1]}k"


def _ran(url: str, call: Call, app_id: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements of a call that finds nothing."""
    ran: list[str] = []

    async def note(_connection: TappedConnection, statement: str, run: Run) -> None:
        ran.append(statement)
        await run()

    monkeypatch.setattr(module, "Connection", tapped(note))
    assert with_catalog(url, lambda catalog: call(catalog, app_id)) is None
    return ran


def _plan(url: str, statement: str, app_ids: list[str]) -> dict[str, Any]:
    """What Postgres does for a statement, without ids; read twice, so that everything is in memory."""
    source, _, name = statement.partition(".")
    values = {"owner_id": OWNER, "app_id": app_ids[0], "owner_ids": [OWNER] * len(app_ids), "app_ids": app_ids}
    explained = [execute(url, _EXPLAIN + load(source)[name], values) for _ in range(2)]
    text = json.dumps(explained[-1][0]["QUERY PLAN"][0]["Plan"])
    for app_id in app_ids:
        text = text.replace(app_id, "an id")
    plan: dict[str, Any] = json.loads(text)
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for under in plan.get("Plans", ()):
        yield from _nodes(under)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_foreign_id_costs_what_an_unknown_one_costs(filled: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign, unknown = _foreign(filled), _unknown(filled)
    ran = _ran(filled, call, foreign, monkeypatch)
    assert ran == _ran(filled, call, unknown, monkeypatch)
    assert ran
    for statement in ran:
        plan = _plan(filled, statement, [foreign])
        assert plan == _plan(filled, statement, [unknown])
        apps = [node for node in _nodes(plan) if node.get("Relation Name") == "app_metadata"]
        read = {node["Index Name"] for node in _nodes(plan) if "app_metadata" in str(node.get("Index Name"))}
        assert (read, {node["Node Type"] for node in apps} & {"Seq Scan"}) == ({"app_metadata_owner"}, set())
        assert [node for node in _nodes(plan) if node.get("Rows Removed by Filter")] == []
        assert sum(node["Actual Rows"] for node in apps) == 0


def test_reads_together_do_not_read_what_another_asks_for(filled: str) -> None:
    """In one statement Bob asks for an id of somebody whose apps are asked for beside it."""
    rows = execute(filled, "SELECT app_id FROM app_metadata WHERE owner_id = 'bob' LIMIT 20")
    own, ids = [str(row["app_id"]) for row in rows], (_foreign(filled), _unknown(filled))
    beside_foreign, beside_unknown = [_plan(filled, "apps.get", [*own, each]) for each in ids]
    assert beside_foreign == beside_unknown
    assert beside_foreign["Actual Rows"] == len(own)

    async def together(catalog: AppStore) -> list[Any]:
        foreign = _foreign(filled)
        asked = [("bob", own[0]), ("owner-8", foreign), ("bob", foreign), ("owner-8", own[0]), ("bob", own[0])]
        return await asyncio.gather(*(catalog.get(*each) for each in asked))

    found = with_catalog(filled, together)
    assert [app is not None for app in found] == [True, True, False, False, True]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_foreign_app_is_neither_locked_nor_waited_for(filled: str, call: Call) -> None:
    foreign = _foreign(filled)
    with psycopg.connect(filled) as owner:
        owner.execute("SELECT FROM app_work WHERE app_id = %s FOR UPDATE", (foreign,))
        owner.execute("SELECT FROM app_metadata WHERE app_id = %s FOR UPDATE", (foreign,))
        assert with_catalog(filled, lambda catalog: call(catalog, foreign)) is None


def test_an_answer_does_not_say_why_there_is_nothing(filled: str) -> None:
    """With ``Prefer: wait`` too: nothing is waited for."""
    ids = _foreign(filled), _unknown(filled)
    with client_over(api_context(filled)) as client:
        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            headers = bearer(OWNER) | {"Prefer": "wait=60"}
            answers = [client.request(method, f"/ee/apps/{app_id}{path}", headers=headers) for app_id in ids]
            assert {answer.status_code for answer in answers} == {404}
            assert len({answer.text for answer in answers}) == 1
            kinds = [{name: value for name, value in a.headers.items() if name != "x-request-id"} for a in answers]
            assert kinds[0] == kinds[1]


def test_the_operators_text_of_a_condition_is_in_no_answer(catalog_url: str) -> None:
    """It is kept in the row; rows without one are read as before."""
    secret = "12 of 99 projects of org-of-the-operator"
    with client_over(api_context(catalog_url)) as client:
        app_id = client.post("/ee/apps", json={"app_name": "notes"}).json()["app_id"]
        kept = "jsonb_set(conditions, '{0,operator_message}', to_jsonb(%(text)s::text))"
        execute(catalog_url, f"UPDATE app_metadata SET conditions = {kept}", {"text": secret})
        found = with_catalog(catalog_url, lambda catalog: catalog.get("alice", app_id))
        assert found is not None
        assert found.conditions[0].operator_message == secret
        answers = [
            client.get(f"/ee/apps/{app_id}"),
            client.get("/ee/apps"),
            client.post("/ee/apps", json={"app_name": "notes"}),
            client.get(f"/ee/apps/{app_id}/events"),
            client.delete(f"/ee/apps/{app_id}"),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 202]
        assert [answer for answer in answers if secret in answer.text or "operator_message" in answer.text] == []

"""The simulator's catalog is the real one: whatever is asked of both in any order, both say and hold the same."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

from reconciler.catalog.statements import load
from tests.catalogmodel.pair import Pair, paired
from tests.catalogmodel.running import run, tour
from tests.postgres import TestServer
from tests.stillclock import still_clock

# By statement, a safeguard in it.
SAFEGUARDS = {
    "work.claim": "WHERE due_at <= now()",
    "work.release": "AND lease_token = %(token)s",
    "work.renew": "AND w.lease_token = held.token",
    "record.permit": "AND NOT plane.stopped",
    "record.spend_sweep_delete": "WHERE sweep_deletes < %(budget)s OR sweep_deletes_since < now() - interval '1 hour'",
    "record.open_intent": "a.project_id IS NULL AND",
    "record.settle_intent": "AND i.state = 'open'",
    "record.record": "AND lease_token = %(token)s",
    "record.record_project": "AND lease_token = %(token)s",
    "record.drop_surplus": "AND lease_token = %(token)s",
    "fleet.claim_job": "AND (started_at IS NULL OR started_at <= now() - make_interval(secs => %(period)s))",
    "fleet.bury": "WHERE tombstone_until < now()",
}


def test_the_twin_is_the_real_catalog(postgres: TestServer) -> None:
    """Every statement that the simulator relies on runs, and every operation that refuses has refused.

    ``python -m tests.catalogmodel`` runs the same again, and with ``--seed`` others.
    """
    seen = run(postgres, examples=40, steps=50)
    assert seen.unmet() == []


@pytest.fixture(scope="module")
def pair(postgres: TestServer) -> Iterator[Pair]:
    """A catalog and its twin."""
    with still_clock(postgres) as clock, paired(clock) as found:
        yield found


@pytest.mark.parametrize(("statement", "safeguard"), SAFEGUARDS.items(), ids=[*SAFEGUARDS])
def test_a_statement_without_its_safeguard_is_another_catalog(
    pair: Pair, statement: str, safeguard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _, name = statement.partition(".")
    text = load(source)[name]
    assert text.count(safeguard) == 1
    changed = dict(load(source)) | {name: text.replace(safeguard, "")}
    monkeypatch.setattr(import_module(f"reconciler.catalog.{source}"), "_SQL", changed)
    with pytest.raises(AssertionError):
        tour(pair)

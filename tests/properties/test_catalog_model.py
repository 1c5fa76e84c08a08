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

# Statements, each with a safeguard in it: all texts of it are taken out together.
SAFEGUARDS = (
    ("work_queue.claim", "WHERE due_at <= now()", "WHERE w.due_at <= now()"),
    ("work_queue.claim", "PARTITION BY owner_id"),
    ("work_queue.release", "AND lease_token = %(token)s"),
    ("work_queue.renew", "AND w.lease_token = leased.token"),
    ("status_store.authorize_mutation", "AND NOT control_plane.stopped"),
    (
        "status_store.spend_automatic_delete",
        "WHERE automatic_deletes < %(budget)s OR automatic_deletes_since < now() - interval '1 hour'",
    ),
    ("status_store.open_intent", "a.project_id IS NULL AND"),
    ("status_store.update_intent", "AND i.state NOT IN ('rejected', 'recorded', 'absent')"),
    ("status_store.record", "AND lease_token = %(token)s"),
    ("status_store.record_project", "AND lease_token = %(token)s"),
    ("status_store.dismiss_duplicate", "AND lease_token = %(token)s"),
    (
        "control_plane_store.claim_job",
        "AND (started_at IS NULL OR started_at > now() + interval '1 minute'",
        "OR started_at <= now() - make_interval(secs => %(period)s))",
    ),
    ("control_plane_store.purge_tombstones", "WHERE tombstone_until < now()"),
)


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


@pytest.mark.parametrize("safeguard", SAFEGUARDS, ids=lambda safeguard: f"{safeguard[0]} {safeguard[1]}"[:40])
def test_a_statement_without_its_safeguard_is_another_catalog(
    pair: Pair, safeguard: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _, name = safeguard[0].partition(".")
    text: str = load(source)[name]
    for part in safeguard[1:]:
        assert text.count(part) == 1
        text = text.replace(part, "")
    monkeypatch.setattr(import_module(f"reconciler.catalog.{source}"), "_SQL", dict(load(source)) | {name: text})
    with pytest.raises(AssertionError):
        tour(pair)

"""Whole lives of apps with one fault of the catalog in them: they end as without it, with one project or none.

Here every statement meets the kinds of faults that a caller can tell apart; ``python -m tests.catalogfaults`` lets
every statement meet every kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from reconciler.catalog.database import Database
from reconciler.core.context import ReconcileContext
from tests.catalogfaults.faults import Kind
from tests.catalogfaults.stories import STORIES
from tests.catalogfaults.telling import UNUSED, Teller, teller
from tests.catalogfaults.test_cells import STATEMENTS, no_transaction
from tests.postgres import TestServer
from tests.simulation.without_core import intent_after_the_create

# An error on a connection that stays, a connection that is lost before, and one that is lost behind the commit.
KINDS = (Kind.SERIALIZATION, Kind.CUT_BEFORE, Kind.CUT_AFTER)


@pytest.fixture(scope="module")
def told(postgres: TestServer) -> Iterator[Teller]:
    """A catalog in which stories are told."""
    with teller(postgres) as found:
        yield found


def test_every_statement_is_used_by_a_story_or_there_is_a_reason(told: Teller) -> None:
    used = {statement for story in STORIES for statement in told.used(story)}
    assert [each for each in STATEMENTS if each not in used and each not in UNUSED] == []
    assert [each for each in UNUSED if each in used] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("story", STORIES)
def test_a_life_with_a_fault_ends_as_without_it(told: Teller, story: str, kind: Kind) -> None:
    """At the first use of each statement that no earlier story has used."""
    names = [*STORIES]
    before = {each for name in names[: names.index(story)] for each in told.used(name)}
    for statement in told.used(story):
        if statement not in before or statement.startswith("record."):
            told.tell_or_say_how(story, statement, kind)


def _open_intents_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReconcileContext, "open_intent", property(lambda _: None))


def _delete_in_parts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Database, "transaction", no_transaction)


OFF: dict[str, tuple[str, str, Kind, Callable[[pytest.MonkeyPatch], None]]] = {
    "open intents are looked after": (
        "create",
        "status_store.record_project",
        Kind.CUT_BEFORE,
        _open_intents_forgotten,
    ),
    "the intent commits first": ("create", "status_store.open_intent", Kind.SERIALIZATION, intent_after_the_create),
    "a delete is one transaction": ("delete", "apps.record_delete_requested", Kind.DEADLOCK, _delete_in_parts),
}


@pytest.mark.parametrize("off", OFF)
def test_without_the_safeguard_it_ends_otherwise(told: Teller, off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    story, statement, kind, switch = OFF[off]
    switch(monkeypatch)
    with pytest.raises(AssertionError):
        told.tell(story, statement, kind)

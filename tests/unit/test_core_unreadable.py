"""What cannot be read may be what is looked for: it proves no absence, and nothing is made or deleted because of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from reconciler.core import effects as e
from reconciler.core.context import CreateIntent, Credentials, Result
from reconciler.core.stages.create_lookup import Inconclusive, find_created_project
from specs.neon import Branch, Endpoint, UnreadableProject
from specs.status import Reason
from tests.addresses import checked
from tests.unit.core_passes import ORG, POOLED, Neon, driven, mark, passed, snapshot
from tests.unit.test_core_recovering import NOW, URI, app, project

HELD = Credentials(checked(URI), checked(POOLED))
SERVED = app(Reason.AVAILABLE)
NEW = app(Reason.QUEUED, project_id=None, project_recorded_at=None, connected_at=None)
OLD = CreateIntent(1, 1, "n", "open", NOW - timedelta(seconds=300), NOW - timedelta(seconds=200))


@pytest.mark.parametrize(
    ("odd", "concluded"),
    [
        (UnreadableProject(id="x-1", name="foreign"), True),
        (UnreadableProject(id="x-1"), False),
        (UnreadableProject(id="x-1", name=NEW.project_name), False),
        (UnreadableProject(name=NEW.project_name), False),
        (UnreadableProject(), False),
    ],
)
def test_the_project_of_a_create_may_be_an_item_that_cannot_be_read(odd: UnreadableProject, concluded: bool) -> None:
    done = driven(find_created_project(snapshot(NEW, intents=(OLD,)), ORG, OLD), Neon(unreadable=(odd,)))
    assert (e.RecordAbsence(1, confirmed=True) in done.effects) is concluded
    outcome: object = done.again
    assert isinstance(outcome, Inconclusive) is not concluded


def test_a_project_whose_annotations_cannot_be_read_may_be_the_one_of_the_create() -> None:
    made = Neon(alive=(project(NEW, id="p-1"),), unreadable_branches=1)
    done = driven(find_created_project(snapshot(NEW, intents=(OLD,)), ORG, OLD), made)
    outcome: object = done.again
    assert (isinstance(outcome, Inconclusive), done.changes) == (True, [])


@pytest.mark.parametrize(
    ("odd", "concluded"),
    [
        (UnreadableProject(id=SERVED.project_id), False),
        (UnreadableProject(), False),
        (UnreadableProject(id="x-1"), True),
    ],
)
def test_a_recorded_project_may_be_an_item_that_cannot_be_read(odd: UnreadableProject, concluded: bool) -> None:
    done = passed(SERVED, Neon(unreadable=(odd,)), confirmed_missing=True)
    assert (e.VerifyAccess(fresh=True) in done.effects) is concluded
    gone = passed(SERVED.model_copy(update={"delete_requested_at": NOW}), Neon(unreadable=(odd,)))
    assert (e.VerifyAccess(fresh=True) in gone.effects) is concluded


def test_a_branch_that_cannot_be_read_may_be_the_default_one() -> None:
    other = Branch(id="br-2", name="b")
    done = passed(SERVED, Neon(alive=(project(SERVED),), branches=(other,), unreadable_branches=1))
    assert (done.changes, done.synced, done.again) == (
        [],
        ("Unknown", Reason.OUTCOME_UNKNOWN),
        Result(1.0, backoff=True),
    )


@pytest.mark.parametrize(
    ("odd", "made"),
    [
        (Endpoint(), False),
        (Endpoint(branch_id="br-1"), False),
        (Endpoint(type="read_write"), False),
        (Endpoint(branch_id="br-1", type="read_only"), True),
        (Endpoint(branch_id="br-2", type="read_write"), True),
    ],
)
def test_an_endpoint_that_cannot_be_read_may_be_the_branchs(odd: Endpoint, made: bool) -> None:
    neon = Neon(alive=(project(SERVED),), endpoints=(odd,), held=HELD)
    assert ("CreateEndpoint" in passed(SERVED, neon).kinds) is made


@pytest.mark.parametrize("changes", [{}, {"duplicate_ids": ("p-7",)}])
def test_a_project_whose_annotations_cannot_be_read_is_neither_deleted_nor_given_up(changes: dict[str, Any]) -> None:
    if changes:
        of, named = SERVED, project(SERVED, id="p-7")
    else:
        of, named = SERVED.model_copy(update={"delete_requested_at": NOW}), project(SERVED, name="renamed")
    done = passed(of, Neon(alive=(project(SERVED), named)[-1:], unreadable_branches=1), **changes)
    assert not any(isinstance(effect, e.Mutate) for effect in done.effects)
    assert e.DismissDuplicate("p-7", report=True) not in done.effects
    assert not done.told or done.synced != ("False", Reason.OWNERSHIP_UNVERIFIED)


def test_another_branch_that_cannot_be_read_stops_nothing() -> None:
    intent = CreateIntent(1, 1, "n", "recorded", NOW)
    neon = Neon(
        alive=(project(SERVED),),
        held=HELD,
        marks={str(SERVED.project_id): mark(SERVED, intent)},
        unreadable_branches=1,
    )
    assert passed(SERVED, neon).synced in {None, ("True", Reason.UP_TO_DATE)}

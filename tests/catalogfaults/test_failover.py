"""A failover that loses acknowledged commits: nothing is deleted wrongly, one project of an app is published, and what
no row names any more is reported.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reconciler.core.context import ReconcileContext
from specs.status import AppStatus
from tests.catalogfaults.stories import Begin
from tests.catalogfaults.telling import Teller, teller
from tests.catalogfaults.whole import Story, Whole
from tests.postgres import TestServer


@pytest.fixture(scope="module")
def told(postgres: TestServer) -> Iterator[Teller]:
    """A catalog in which stories are told."""
    with teller(postgres) as found:
        yield found


async def _rounds(whole: Whole) -> None:
    """As many as it takes until none breaks off for a connection that was lost."""
    for _ in range(4):
        await whole.round()


async def _standby(whole: Whole, app_id: str) -> None:
    """What must be so whatever was lost, once the daemon works with the standby."""
    await _rounds(whole)
    deleted = [call for call in whole.calls if call.startswith("DELETE ")]
    assert deleted == [] or app_id in whole.wanted, deleted
    assert whole.wrong == []


def _named_or_reported(whole: Whole, app_id: str) -> None:
    """Every project that lives is the app's, or was reported, unless all changes wait."""
    living = {each for each in whole.own[app_id] if whole.lives(each)}
    assert whole.stopped() or living <= {whole.row(app_id).project_id, *whole.orphans()}


async def the_row(whole: Whole, _begin: Begin) -> None:
    """The app was asked for and made; the standby has never heard of it."""
    whole.snapshot()
    app_id = await whole.post()
    await whole.settle()
    project_id = whole.own.pop(app_id)[0]
    whole.kept.add(project_id)
    await whole.fail_over()
    await _standby(whole, app_id)
    assert whole.lives(project_id)
    assert whole.stopped() or project_id in whole.orphans()


async def the_create(whole: Whole, _begin: Begin) -> None:
    """The project was recorded and the app ready; the standby has the app, and no intent."""
    app_id = await whole.post()
    whole.snapshot()
    whole.creates = 2
    await whole.settle()
    whole.kept.update(whole.own[app_id])
    await whole.fail_over()
    await _standby(whole, app_id)
    _named_or_reported(whole, app_id)
    assert all(whole.lives(each) for each in whole.own[app_id])


async def a_create_under_way(whole: Whole, _begin: Begin) -> None:
    """The catalog fails over while the request is on its way: the pass that sent it is fenced."""
    app_id = await whole.post()
    whole.snapshot()
    whole.creates = 2
    whole.on_create = whole.fail_over
    await whole.settle()
    whole.kept.update(whole.own[app_id])
    await _standby(whole, app_id)
    _named_or_reported(whole, app_id)
    assert whole.stopped() or whole.row(app_id).status == AppStatus.READY


async def the_end_of_a_create(whole: Whole, _begin: Begin) -> None:
    """The standby has the intent, and not the project that was recorded: it is found again, and not made twice."""
    app_id = await whole.post()

    async def keep() -> None:
        whole.snapshot()

    whole.on_create = keep
    await whole.settle()
    await whole.fail_over()
    await _standby(whole, app_id)
    if not whole.stopped():
        whole.expect(app_id, AppStatus.READY)


async def the_delete(whole: Whole, _begin: Begin) -> None:
    """The delete was acknowledged and carried out; the standby has a ready app, whose project is brought back."""
    app_id, _ = await whole.post(), await whole.post("other")
    await whole.settle()
    whole.snapshot()
    await whole.delete(app_id)
    await whole.settle()
    whole.may_recover = True
    sent = len(whole.calls)
    await whole.fail_over()
    whole.wanted.clear()
    await _rounds(whole)
    assert [call for call in whole.calls[sent:] if call.startswith(("DELETE ", "POST /projects "))] == []
    if not whole.stopped():
        whole.expect(app_id, AppStatus.READY)


LOST = (the_row, the_create, a_create_under_way, the_end_of_a_create, the_delete)


@pytest.mark.parametrize("lost", LOST, ids=[each.__name__ for each in LOST])
def test_a_standby_that_lacks_commits_harms_nothing(told: Teller, lost: Story) -> None:
    told.hear(lost)


def test_a_project_whose_record_was_lost_is_made_twice_where_nobody_looks(
    told: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReconcileContext, "open_intent", property(lambda _: None))
    with pytest.raises(AssertionError, match=r"created twice|DELETE"):
        told.hear(the_end_of_a_create)

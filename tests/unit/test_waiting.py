"""``Prefer: wait``: what counts as one, and one question to the catalog for everybody who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from api.http.prefer_wait import ConvergenceWaiter, is_converged, wait_seconds
from reconciler.errors import CatalogUnavailable
from specs.metadata import AppMetadata
from specs.status import AppStatus
from tests.catalogs import SPEC

AT = datetime(2026, 1, 1, tzinfo=UTC)


def app_with(status: AppStatus, *, app_id: str = "a" * 24, deleting: bool = False) -> AppMetadata:
    """An app of a status."""
    return AppMetadata(
        app_id=app_id,
        owner_id="owner",
        app_name="name",
        spec=SPEC,
        created_at=AT,
        updated_at=AT,
        status=status,
        delete_requested_at=AT if deleting else None,
    )


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["WAIT=10"], 10),
        (['wait="10"'], 10),
        (["wait = 10"], 10),
        (["respond-async, wait=5"], 5),
        (["respond-async", "wait=5"], 5),
        (["respond-async; foo=bar, wait=7; x"], 7),
        (['foo="a, wait=1", wait=8'], 8),
        (['foo="a\\", wait=1", wait=8'], 8),
        (["wait=3, wait=9"], 3),
        (["wait=x, wait=9"], 9),
        (["wait=0"], 0),
        (["wait=60"], 60),
        (["wait=61"], 60),
        (["wait=007"], 7),
        (["wait=" + "9" * 5000], 60),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=\u0661"], None),
        (["await=5"], None),
        (["wait=5 seconds"], None),
        ([",,;=\"'"], None),
    ],
)
def test_what_the_header_says(headers: list[str], seconds: int | None) -> None:
    assert wait_seconds(headers) == seconds


@pytest.mark.parametrize("status", [*AppStatus])
def test_an_app_being_deleted_settles_only_at_its_end(status: AppStatus) -> None:
    ends = {AppStatus.DELETED, AppStatus.FAILED, AppStatus.LOST}
    assert is_converged(app_with(status)) == (status in ends | {AppStatus.READY})
    assert is_converged(app_with(status, deleting=True)) == (status is AppStatus.DELETED)


class Catalog:
    """Answers with what it is told to, and counts the questions."""

    def __init__(self, *answers: dict[str, AppMetadata] | CatalogUnavailable) -> None:
        self.answers = list(answers)
        self.asked: list[list[str]] = []

    async def statuses(self, app_ids: Iterable[str]) -> dict[str, AppMetadata]:
        """One answer after the other, the last one for ever."""
        self.asked.append(sorted(app_ids))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, CatalogUnavailable):
            raise answer
        return answer


def test_everybody_is_served_by_one_question_at_a_time() -> None:
    ids = [letter * 24 for letter in "abcdefgh"]
    pending = {id_: app_with(AppStatus.PENDING, app_id=id_) for id_ in ids}
    ready = {id_: app_with(AppStatus.READY, app_id=id_) for id_ in ids}
    catalog = Catalog(pending, pending, CatalogUnavailable("for a moment"), ready)

    async def everybody() -> None:
        waiting = ConvergenceWaiter(catalog.statuses, poll_seconds=0)
        await asyncio.gather(*(waiting.until_converged(id_, 60) for id_ in ids for _ in range(5)))

    asyncio.run(everybody())
    assert catalog.asked == [ids] * 4


def test_an_app_that_is_gone_is_not_waited_for() -> None:
    asyncio.run(ConvergenceWaiter(Catalog({}).statuses).until_converged("a" * 24, 60))


def test_when_the_time_is_over_the_question_stops() -> None:
    catalog = Catalog({"a" * 24: app_with(AppStatus.PENDING)})

    async def one() -> int:
        waiting = ConvergenceWaiter(catalog.statuses, poll_seconds=0)
        await waiting.until_converged("a" * 24, 0.01)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked = len(catalog.asked)
        await asyncio.sleep(0.01)
        return len(catalog.asked) - asked

    assert asyncio.run(one()) == 0


def test_closing_lets_everybody_go_and_nobody_in() -> None:
    async def one() -> None:
        waiting = ConvergenceWaiter(Catalog({"a" * 24: app_with(AppStatus.PENDING)}).statuses)
        waiters = asyncio.gather(*(waiting.until_converged("a" * 24, 3600) for _ in range(3)))
        await asyncio.sleep(0)
        await waiting.close()
        await waiters
        await waiting.until_converged("a" * 24, 3600)

    asyncio.run(one())

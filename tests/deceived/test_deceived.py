"""Whatever a list, a 404 or a stranger's project pretends, nothing is made, taken, recovered or deleted wrongly.

Each story is told twice: as it is, and with the one safeguard off that it is about, when the wrong act must happen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.catalogs import opened
from tests.deceived.register import Story, stories
from tests.deceived.stage import Stage

STORIES = stories()


def _told(url: str, tell: Callable[[Stage], Awaitable[None]]) -> tuple[list[str], AssertionError | None]:
    async def run() -> tuple[list[str], AssertionError | None]:
        async with opened(url) as database:
            stage = Stage(database, url)
            failed: AssertionError | None = None
            try:
                await tell(stage)
            except AssertionError as error:
                failed = error
            await stage.close()
            return stage.wrong, failed

    return asyncio.run(run())


@pytest.mark.parametrize("told", STORIES, ids=[each.tell.__name__ for each in STORIES])
def test_nothing_wrong_is_done(catalog_url: str, told: Story) -> None:
    wrong, failed = _told(catalog_url, told.tell)
    assert wrong == []
    if failed is not None:
        raise failed


@pytest.mark.parametrize("told", STORIES, ids=[each.tell.__name__ for each in STORIES])
def test_without_its_safeguard_the_wrong_act_happens(
    catalog_url: str, told: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.off(monkeypatch)
    wrong, failed = _told(catalog_url, told.tell)
    assert [each for each in wrong if each.startswith(told.wrong)], (wrong, failed)

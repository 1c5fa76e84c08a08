"""How stories begin and end."""

from __future__ import annotations

from typing import Any

from specs.status import AppStatus
from tests.deceived.lies import unlisted, unseen
from tests.deceived.register import POST
from tests.deceived.stage import Stage


async def unknown(stage: Stage, name: str = "shop") -> tuple[str, str]:
    """An app whose create was carried out and not answered; its id and its project's."""
    app_id = await stage.ask(name)
    stage.lose.add(POST)
    for _ in range(10):
        await stage.passes(1)
        if stage.own[app_id]:
            return app_id, stage.own[app_id][0]
    raise AssertionError("no create was sent")


async def ready(stage: Stage, number: int = 1) -> list[tuple[str, str]]:
    """Ready apps and their projects, which no list may lag behind any more."""
    asked = [await stage.ask(f"shop {each}") for each in range(number)]
    for app_id in asked:
        await stage.until(app_id, AppStatus.READY)
    stage.age()
    return [(app_id, stage.own[app_id][0]) for app_id in asked]


async def is_told_the_truth(stage: Stage, app_id: str, status: AppStatus = AppStatus.READY) -> None:
    """The lies end, and so does the story: as it must, each lie having been met."""
    assert not stage.lies or stage.met
    stage.lies.clear()
    await stage.long()
    await stage.until(app_id, status)


async def later(stage: Stage, app_id: str, status: AppStatus = AppStatus.READY) -> None:
    """The lies end while the door is closed: another process, with the right key, goes on."""
    assert stage.met
    stage.lies.clear()
    stage.start()
    await is_told_the_truth(stage, app_id, status)


async def patiently(stage: Stage) -> None:
    for _ in range(3):
        await stage.passes(2)
        stage.age()
    await stage.passes(2)


async def missing(stage: Stage, project_id: str) -> None:
    """A sweep misses the project in a list that looks complete."""
    stage.lies = [unlisted(project_id)]
    await stage.sweep()
    stage.miss()


def hidden_but_listed(project_id: str) -> Any:
    hidden = unseen(project_id)
    return lambda request, answer: answer if request.path == "/projects" else hidden(request, answer)


async def late_create(stage: Stage) -> tuple[str, str, dict[str, str]]:
    """A ready app, the project of a create of it that had been proven absent and appeared, and that one's mark."""
    app_id, late = await unknown(stage)
    mark = stage.mark(app_id)
    stage.lies, stage.creates = [unlisted(late)], 2
    await stage.until(app_id, AppStatus.READY)
    stage.lies.clear()
    return app_id, late, mark


def no_stop(stage: Stage) -> None:
    if stage.stopped():
        stage.wrong.append("stopped: without a reason")

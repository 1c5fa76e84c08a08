"""The sweep."""

from __future__ import annotations

from specs.status import AppStatus, Reason
from tests.deceived.beginnings import is_told_the_truth, late_create, later, no_stop, ready
from tests.deceived.lies import listed, moved, no_lists, partial, unlisted, unseen
from tests.deceived.register import POST, story
from tests.deceived.safeguards import (
    any_nonce,
    any_organization,
    copies_are_surplus,
    list_is_enough,
    lists_are_fresh,
    no_mass_stop,
    nonce_of_the_recorded,
    part_of_a_name,
    partial_is_complete,
    refusal_is_emptiness,
)
from tests.deceived.stage import Stage


@story(partial_is_complete, "stopped")
async def a_sweeps_list_is_partial(stage: Stage) -> None:
    apps = await ready(stage, 7)
    stage.lies.append(partial())
    await stage.sweep()
    no_stop(stage)
    await is_told_the_truth(stage, apps[0][0])


@story(lists_are_fresh, "stopped")
async def a_sweeps_list_lags_behind_new_projects(stage: Stage) -> None:
    asked = [await stage.ask(f"shop {each}") for each in range(7)]
    for _ in range(10):
        await stage.passes(1)
    assert all(stage.row(app_id).project_id for app_id in asked)
    stage.lies.append(unlisted(*[stage.own[app_id][0] for app_id in asked]))
    await stage.sweep()
    no_stop(stage)
    await is_told_the_truth(stage, asked[0])


@story(list_is_enough, "held")
async def a_sweeps_list_still_shows_a_deleted_project(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    document = stage.document(project_id)
    await stage.delete(app_id)
    await stage.until(app_id, AppStatus.DELETED)
    stage.lies.append(listed(document))
    await stage.sweep()
    if stage.reason(app_id) == Reason.ON_HOLD:
        stage.wrong.append("held: brought back by nobody")
    await is_told_the_truth(stage, app_id, AppStatus.DELETED)


@story(no_mass_stop, "called lost")
async def a_sweeps_key_sees_nothing(stage: Stage) -> None:
    """Too many at once: everything stops, and goes on by itself when the fleet is seen again."""
    apps = await ready(stage, 7)
    stage.lies.append(unseen())
    await stage.long()
    assert stage.stopped() or stage.wrong
    stage.lies.clear()
    await stage.sweep()
    assert not stage.stopped()
    await is_told_the_truth(stage, apps[0][0])


@story(refusal_is_emptiness, "stopped")
async def a_sweeps_list_is_out_of_scope(stage: Stage) -> None:
    apps = await ready(stage, 7)
    stage.lies.append(no_lists)
    await stage.sweep()
    no_stop(stage)
    await later(stage, apps[0][0])


@story(part_of_a_name, "deleted: DELETE")
async def a_sweep_meets_a_name_that_holds_ours(stage: Stage) -> None:
    """Under the mark of a create that was never carried out, so that only the name protects it."""
    app_id = await stage.ask()
    stage.drop.add(POST)
    await stage.passes(1)
    mark = stage.mark(app_id)
    await stage.until(app_id, AppStatus.READY)
    stage.name_surplus(app_id, stage.copy(app_id, name=f"x {stage.row(app_id).project_name}", mark=mark))
    await stage.long()
    await is_told_the_truth(stage, app_id)


@story(any_nonce, "deleted: DELETE")
async def a_sweep_meets_our_name_without_our_nonce(stage: Stage) -> None:
    [(app_id, _)] = await ready(stage)
    copy = stage.copy(app_id, mark=stage.mark(app_id) | {"morphik_nonce": "of-somebody-else"})
    await stage.long()
    assert copy in stage.orphans()
    await is_told_the_truth(stage, app_id)


@story(nonce_of_the_recorded, "deleted: DELETE")
async def a_sweep_meets_a_copy_while_ours_is_deleted_by_hand(stage: Stage) -> None:
    """Ours is recovered; the copy is neither taken in its place nor deleted as a surplus of it."""
    [(app_id, project_id)] = await ready(stage)
    copy = stage.copy(app_id)
    stage.may_recover = True
    stage.person("DELETE", f"/projects/{project_id}")
    await stage.long()
    assert copy in stage.orphans()
    await is_told_the_truth(stage, app_id)


@story(copies_are_surplus, "deleted: DELETE")
async def a_sweep_meets_a_late_create_and_a_copy_of_it(stage: Stage) -> None:
    app_id, late, mark = await late_create(stage)
    copy = stage.copy(app_id, mark=mark)
    await stage.long()
    assert {late, copy} <= stage.orphans()
    assert stage.lives(late)
    await is_told_the_truth(stage, app_id)


@story(any_organization, "deleted: DELETE")
async def a_sweep_meets_a_late_create_in_another_organization(stage: Stage) -> None:
    _, late, _ = await late_create(stage)
    stage.kept.add(late)
    stage.lies.append(moved(late))
    await stage.long()
    assert stage.lives(late)

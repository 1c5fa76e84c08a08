"""A delete."""

from __future__ import annotations

from specs.status import AppStatus, Reason
from tests.deceived.beginnings import hidden_but_listed, is_told_the_truth, later, patiently, ready, unknown
from tests.deceived.lies import another_organization, moved, out_of_scope, partial, unseen
from tests.deceived.register import story
from tests.deceived.safeguards import (
    any_organization,
    copies_are_taken,
    delete_what_is_recorded,
    key_not_asked_again,
    live_list_not_read,
    no_witnesses,
    part_of_an_id,
    partial_is_complete,
    scope_not_read,
)
from tests.deceived.stage import Stage


@story(partial_is_complete, "called deleted")
async def a_delete_meets_a_404_and_partial_lists(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    await stage.delete(app_id)
    stage.lies = [hidden_but_listed(project_id), partial(project_id)]
    await patiently(stage)
    await is_told_the_truth(stage, app_id, AppStatus.DELETED)


@story(live_list_not_read, "called deleted")
async def a_delete_meets_a_404_and_a_list_that_shows_it(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    await stage.delete(app_id)
    stage.lies = [hidden_but_listed(project_id)]
    await patiently(stage)
    await is_told_the_truth(stage, app_id, AppStatus.DELETED)


@story(key_not_asked_again, "called deleted")
async def a_delete_meets_anothers_key(stage: Stage) -> None:
    [(app_id, _)] = await ready(stage)
    await stage.delete(app_id)
    stage.lies += [unseen(), another_organization]
    await patiently(stage)
    await later(stage, app_id, AppStatus.DELETED)


@story(no_witnesses, "called deleted")
async def a_delete_meets_a_key_for_one_project(stage: Stage) -> None:
    (app_id, _), _ = await ready(stage, 2)
    await stage.delete(app_id)
    stage.lies.append(unseen())
    await patiently(stage)
    assert stage.reason(app_id) == Reason.NEON_UNAUTHORIZED
    await later(stage, app_id, AppStatus.DELETED)


@story(scope_not_read, "called deleted")
async def a_delete_meets_a_404_that_speaks_of_the_key(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    await stage.delete(app_id)
    stage.lies.append(out_of_scope(project_id))
    await patiently(stage)
    await later(stage, app_id, AppStatus.DELETED)


@story(part_of_an_id, "called deleted")
async def a_delete_meets_a_404_and_a_name_that_holds_our_id(stage: Stage) -> None:
    (app_id, project_id), _ = await ready(stage, 2)
    copy = stage.copy(app_id, name=f"copy of {project_id}")
    stage.person("DELETE", f"/projects/{copy}")
    await stage.delete(app_id)
    stage.lies.append(unseen(project_id))
    await stage.passes(2)
    await later(stage, app_id, AppStatus.DELETED)


@story(copies_are_taken, "deleted: DELETE")
async def a_delete_while_the_create_is_unknown_and_copied(stage: Stage) -> None:
    app_id, _ = await unknown(stage)
    copy = stage.copy(app_id, earlier=100)
    await stage.delete(app_id)
    await stage.long()
    assert (stage.row(app_id).status, stage.reason(app_id)) == (AppStatus.DELETING, Reason.OWNERSHIP_UNVERIFIED)
    stage.person("PATCH", f"/projects/{copy}", {"project": {"name": "a copy"}})
    await is_told_the_truth(stage, app_id, AppStatus.DELETED)


@story(delete_what_is_recorded, "deleted: DELETE")
async def what_is_recorded_carries_nothing_of_ours_any_more(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    project = stage.project(project_id)
    project.name = "somebody's"
    project.default_branch.annotation.clear()
    stage.kept.add(project_id)
    await stage.delete(app_id)
    await patiently(stage)
    assert stage.reason(app_id) == Reason.OWNERSHIP_UNVERIFIED


@story(any_organization, "deleted: DELETE")
async def what_is_recorded_belongs_to_another_organization(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    stage.kept.add(project_id)
    await stage.delete(app_id)
    stage.lies.append(moved(project_id))
    await patiently(stage)
    assert (stage.reason(app_id), stage.lives(project_id)) == (Reason.OWNERSHIP_UNVERIFIED, True)

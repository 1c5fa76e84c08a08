"""A recorded project that Neon does not show."""

from __future__ import annotations

from specs.status import Reason
from tests.deceived.beginnings import hidden_but_listed, is_told_the_truth, later, missing, ready
from tests.deceived.lies import another_organization, listed, moved, out_of_scope, partial, unseen
from tests.deceived.register import story
from tests.deceived.safeguards import (
    any_organization,
    key_not_asked_again,
    live_list_not_read,
    no_witnesses,
    part_of_an_id,
    partial_is_complete,
    scope_not_read,
)
from tests.deceived.stage import Stage


@story(partial_is_complete, "called lost")
async def ours_is_not_found_and_unavailable(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    await missing(stage, project_id)
    stage.lies = [hidden_but_listed(project_id), partial(project_id)]
    await stage.passes(4)
    stage.age()
    await stage.passes(4)
    await is_told_the_truth(stage, app_id)


@story(live_list_not_read, "called lost")
async def ours_is_not_found_and_still_listed(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    await missing(stage, project_id)
    stage.lies = [hidden_but_listed(project_id)]
    await stage.passes(4)
    stage.age()
    await stage.passes(4)
    await is_told_the_truth(stage, app_id)


@story(key_not_asked_again, "called lost")
async def the_key_is_anothers_and_shows_nothing_of_ours(stage: Stage) -> None:
    [(app_id, _)] = await ready(stage)
    stage.lies += [unseen(), another_organization]
    await stage.long()
    assert stage.row(app_id).can_expose_uri
    await later(stage, app_id)


@story(no_witnesses, "called lost")
async def the_key_is_for_one_project_and_ours_are_not_found(stage: Stage) -> None:
    """A bare 404 and lists that look complete; too few apps for the mass stop."""
    (app_id, _), _ = await ready(stage, 2)
    stage.lies.append(unseen())
    await stage.long()
    assert stage.reason(app_id) == Reason.NEON_UNAUTHORIZED
    await later(stage, app_id)


@story(scope_not_read, "called lost")
async def a_404_says_that_the_key_is_out_of_scope(stage: Stage) -> None:
    [(app_id, project_id)] = await ready(stage)
    await missing(stage, project_id)
    stage.lies = [out_of_scope(project_id)]
    await stage.passes(4)
    stage.age()
    await stage.passes(4)
    assert stage.reason(app_id) == Reason.NEON_UNAUTHORIZED
    await later(stage, app_id)


@story(part_of_an_id, "recovered")
async def a_deleted_projects_name_holds_our_id(stage: Stage) -> None:
    (app_id, project_id), _ = await ready(stage, 2)
    copy = stage.copy(app_id, name=f"copy of {project_id}")
    stage.person("DELETE", f"/projects/{copy}")
    await missing(stage, project_id)
    stage.lies = [unseen(project_id)]
    await stage.passes(3)
    await later(stage, app_id)


@story(any_organization, "recovered")
async def ours_is_deleted_in_another_organization(stage: Stage) -> None:
    (app_id, project_id), _ = await ready(stage, 2)
    await missing(stage, project_id)
    document = stage.document(project_id) | {"deleted_at": "2026-01-01T00:00:00Z"}
    stage.lies = [unseen(project_id), listed(document, recoverable=True), moved(project_id)]
    await stage.passes(3)
    await later(stage, app_id)

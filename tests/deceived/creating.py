"""A create of unknown outcome."""

from __future__ import annotations

from specs.status import AppStatus, Reason
from tests.deceived.beginnings import is_told_the_truth, later, ready, unknown
from tests.deceived.lies import another_organization, moved, no_lists, partial, unlisted, unseen
from tests.deceived.register import story
from tests.deceived.safeguards import (
    any_nonce,
    any_organization,
    copies_are_taken,
    key_not_asked_again,
    no_settle_time,
    no_witnesses,
    one_look,
    part_of_a_name,
    partial_is_complete,
    refusal_is_emptiness,
)
from tests.deceived.stage import SETTLE, Stage


@story(partial_is_complete, "created twice")
async def ours_is_unavailable_while_it_is_looked_for(stage: Stage) -> None:
    app_id, project_id = await unknown(stage)
    stage.lies.append(partial(project_id))
    await stage.long()
    assert stage.reason(app_id) == Reason.OUTCOME_UNKNOWN
    await is_told_the_truth(stage, app_id)


@story(partial_is_complete, "adopted")
async def a_copy_is_described_and_ours_is_unavailable(stage: Stage) -> None:
    app_id, project_id = await unknown(stage)
    copy = stage.copy(app_id)
    stage.lies.append(partial(project_id))
    await stage.long()
    assert stage.row(app_id).project_id is None
    stage.person("DELETE", f"/projects/{copy}")
    await is_told_the_truth(stage, app_id)


@story(no_settle_time, "created twice")
async def ours_is_not_listed_yet(stage: Stage) -> None:
    app_id, project_id = await unknown(stage)
    stage.lies.append(unlisted(project_id))
    await stage.passes(8)
    await is_told_the_truth(stage, app_id)


@story(one_look, "created twice")
async def ours_is_not_listed_when_the_settle_time_ends(stage: Stage) -> None:
    app_id, project_id = await unknown(stage)
    stage.age(SETTLE + 1)
    stage.lies.append(unlisted(project_id))
    await stage.passes(5)
    await is_told_the_truth(stage, app_id)


@story(key_not_asked_again, "created twice")
async def the_key_is_anothers_and_its_list_is_empty(stage: Stage) -> None:
    app_id, _ = await unknown(stage)
    stage.lies += [unseen(), another_organization]
    await stage.long()
    assert stage.reason(app_id) in {Reason.NEON_UNAUTHORIZED, Reason.MUTATIONS_SUSPENDED}
    await later(stage, app_id)


@story(no_witnesses, "created twice")
async def the_key_is_for_one_project_and_its_list_is_empty(stage: Stage) -> None:
    """The organization is the right one, but the key does not see what is known to be there."""
    await ready(stage)
    app_id, _ = await unknown(stage, "late")
    stage.lies.append(unseen())
    for _ in range(4):
        await stage.passes(3)
        stage.age()
    await later(stage, app_id)


@story(refusal_is_emptiness, "created twice")
async def the_list_is_out_of_the_keys_scope(stage: Stage) -> None:
    app_id, _ = await unknown(stage)
    stage.lies.append(no_lists)
    await stage.long()
    await later(stage, app_id)


@story(refusal_is_emptiness, "created twice")
async def ours_is_listed_and_its_branches_are_not_found(stage: Stage) -> None:
    app_id, project_id = await unknown(stage)
    hidden = unseen(project_id)
    stage.lies.append(lambda request, answer: hidden(request, answer) if "branches" in request.path else answer)
    await stage.long()
    await is_told_the_truth(stage, app_id)


@story(part_of_a_name, "adopted")
async def a_name_holds_ours_and_the_mark_is_copied(stage: Stage) -> None:
    app_id, project_id = await unknown(stage)
    stage.copy(app_id, name=f"x {stage.row(app_id).project_name} copy", earlier=100)
    stage.lies.append(unlisted(project_id))
    await stage.passes(3)
    await is_told_the_truth(stage, app_id)


@story(any_nonce, "adopted")
async def the_name_is_ours_and_the_mark_is_not(stage: Stage) -> None:
    app_id, _ = await unknown(stage)
    other = stage.mark(app_id) | {"morphik_nonce": "of-somebody-else"}
    copies = {stage.copy(app_id, mark=other, earlier=100), stage.copy(app_id, mark={}, earlier=100)}
    await is_told_the_truth(stage, app_id)
    assert copies <= stage.orphans()


@story(copies_are_taken, "adopted")
async def name_and_mark_are_copied_and_the_copy_looks_older(stage: Stage) -> None:
    """None is taken, and the condition says what a person can do; when the copy goes, the loop goes on."""
    app_id, project_id = await unknown(stage)
    copy = stage.copy(app_id, earlier=100)
    await stage.long()
    row = stage.row(app_id)
    assert (row.status, row.project_id, stage.reason(app_id)) == (AppStatus.FAILED, None, Reason.OWNERSHIP_UNVERIFIED)
    for_owner = " ".join(condition.message for condition in row.conditions)
    for_operators = " ".join(condition.operator_message or "" for condition in row.conditions)
    assert {each: (each in for_owner, each in for_operators) for each in (project_id, copy)} == {
        project_id: (False, True),
        copy: (False, True),
    }
    stage.person("PATCH", f"/projects/{copy}", {"project": {"name": "a copy"}})
    await is_told_the_truth(stage, app_id)


@story(any_organization, "adopted")
async def name_and_mark_are_copied_in_another_organization(stage: Stage) -> None:
    app_id, project_id = await unknown(stage)
    copy = stage.copy(app_id, earlier=100)
    stage.lies += [moved(copy), unlisted(project_id)]
    await stage.passes(5)
    assert stage.row(app_id).project_id is None
    stage.lies.pop()
    await stage.until(app_id, AppStatus.READY)
    stage.person("DELETE", f"/projects/{copy}")
    await is_told_the_truth(stage, app_id)

"""Branches in time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from tests.live.asking import BRANCH, BRANCHES, branch_of, new_branch, refused, refused_each, said
from tests.live.context import Live, Untold
from tests.live.life import RESET, RESTORE, ROLES
from tests.live.registry import Finding, Phase, agrees_if, observes


@observes("branch-from-then-passwords", Phase.CHANGED)
async def passwords_of_then(live: Live) -> Finding:
    """Which password has a role on a branch from before its reset?"""
    await live.change("POST", ROLES, {"role": {"name": "changing"}})
    before = await live.uri(live.made.databases[0].name, "changing")
    await asyncio.sleep(live.pause)
    then = datetime.now(UTC)
    await asyncio.sleep(live.pause)
    await live.change("POST", RESET, role_name="changing")
    past = await new_branch(live, "past", compute=True, parent_timestamp=then.isoformat())
    old = before.split("@")[0].rpartition(":")[2]
    now = (await live.uri(live.made.databases[0].name, "changing", past)).split("@")[0].rpartition(":")[2]
    return agrees_if(old == now, f"the password of {'then' if old == now else 'later'}")


@observes("annotation-write-once", Phase.CHANGED)
async def annotation(live: Live) -> Finding:
    """Can an annotation be changed, and does a child have it?"""
    answer = await live.raw("PATCH", BRANCH, {"branch": {"name": "main"}, "annotation_value": {"other": "one"}})
    await live.settled()
    branches = await live.neon(lambda client: client.list_branches(live.made.project.id))
    kept = branches.annotations.get(live.made.branch.id, {})
    child = branches.annotations.get(live.kept.get("side", ""), {})
    seen = f"the change: {said(answer)}, {'changed' if 'other' in kept else 'as it was'}; the child has {len(child)}"
    return agrees_if("other" not in kept and not child, seen)


@observes("branches-cursor-outlives-branch", Phase.CHANGED)
async def cursor(live: Live) -> Finding:
    """Does a cursor lead on when the branch that it came from is gone?"""
    first, second = await new_branch(live, "aaa-first"), await new_branch(live, "aab-second")
    page = f"{BRANCHES}?sort_by=name&sort_order=asc&limit=1"
    answer = await live.raw("GET", page)
    after = answer.body.get("pagination", {}).get("next")
    if [each["id"] for each in answer.body.get("branches", [])] != [first] or after is None:
        raise Untold("the first page is not the expected one")
    await live.change("DELETE", BRANCH, branch_id=first)
    led = await live.raw("GET", f"{page}&cursor={after}")
    other = await live.raw("GET", f"{BRANCHES}?sort_by=created_at&limit=1&cursor={after}")
    found = [each["id"] for each in led.body.get("branches", [])]
    await live.change("DELETE", BRANCH, branch_id=second)
    seen = f"{'leads on' if found == [second] else said(led)}; another order: {said(other)}"
    return agrees_if(found == [second] and other.status == 400, seen)


@observes("point-rejection-status", Phase.CHANGED)
async def points(live: Live) -> Finding:
    """How is a point answered outside of the history, and one out of form?"""
    future = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    both = {"parent_timestamp": datetime.now(UTC).isoformat(), "parent_lsn": "0/1A2B3C4"}
    return await refused_each(
        live,
        {
            "future": ("POST", BRANCHES, {"branch": {"parent_timestamp": future}}, 422),
            "no time": ("POST", BRANCHES, {"branch": {"parent_timestamp": "yesterday"}}, 400),
            "both ways": ("POST", BRANCHES, {"branch": both}, 400),
        },
    )


@observes("lsn-grows-with-time", Phase.CHANGED)
async def lsn(live: Live) -> Finding:
    """Has a later branch a later LSN?"""
    found = []
    for name in ("lsn-one", "lsn-two"):
        branch_id = await new_branch(live, name)
        text = str((await branch_of(live, branch_id)).get("parent_lsn", ""))
        high, _, low = text.partition("/")
        if not low:
            raise Untold("a branch has no parent_lsn")
        found.append((int(high, 16), int(low, 16)))
        await live.change("DELETE", BRANCH, branch_id=branch_id)
        await asyncio.sleep(live.pause)
    return agrees_if(found[0] <= found[1], f"{'grows' if found[0] <= found[1] else 'shrinks'}")


@observes("branch-name-unique", Phase.CHANGED)
async def name(live: Live) -> Finding:
    """How is a branch answered that has another's name?"""
    return await refused(live, "POST", BRANCHES, {"branch": {"name": live.made.branch.name}}, 409)


@observes("branch-delete-rejection", Phase.CHANGED)
async def delete_default(live: Live) -> Finding:
    """How is the deletion of the default branch answered?"""
    return await refused(live, "DELETE", BRANCH, None, 422)


@observes("branch-delete-final", Phase.CHANGED)
async def delete_branch(live: Live) -> Finding:
    """Is a deleted branch found any more?"""
    branch_id = await new_branch(live, "to-be-deleted")
    await live.change("DELETE", BRANCH, branch_id=branch_id)
    return await refused(live, "GET", BRANCH, None, 404, branch_id=branch_id)


@observes("schema-only-stays", Phase.CHANGED)
async def schema_only(live: Live) -> Finding:
    """Can a schema-only branch be deleted?"""
    branch_id = await new_branch(live, "schema-only", init_source="schema-only")
    return await refused(live, "DELETE", BRANCH, None, 422, branch_id=branch_id)


async def _restore(live: Live, branch_id: str, moment: datetime, under: str) -> tuple[int, str]:
    body = {"source_branch_id": branch_id, "source_timestamp": moment.isoformat(), "preserve_under_name": under}
    answer = await live.raw("POST", RESTORE, body, ids={"branch_id": branch_id})
    await live.settled()
    return answer.status, said(answer)


@observes("restore-child-allowed", Phase.CHANGED)
async def restore_child(live: Live) -> Finding:
    """Can a branch with a parent be put back in time?"""
    live.kept["restored"] = await new_branch(live, "to-be-restored")
    await asyncio.sleep(live.pause)
    moment = datetime.now(UTC)
    await asyncio.sleep(live.pause)
    live.kept["before restore"] = moment.isoformat()
    status, words = await _restore(live, live.kept["restored"], moment, "before-the-restore")
    return agrees_if(status == 200, words)


@observes("restore-cuts-history", Phase.CHANGED)
async def restore_cuts(live: Live) -> Finding:
    """Can a restored branch be put back to before its restore?"""
    if "before restore" not in live.kept:
        raise Untold("nothing was restored")
    moment = datetime.fromisoformat(live.kept["before restore"])
    status, words = await _restore(live, live.kept["restored"], moment, "before-the-second-restore")
    return agrees_if(status == 422, words)


@observes("restore-protected-rejected", Phase.CHANGED)
async def restore_protected(live: Live) -> Finding:
    """Is a protected branch put back in time?"""
    branch_id = await new_branch(live, "protected-one")
    project_id = live.made.project.id
    await asyncio.sleep(live.pause)
    await live.neon(lambda client: client.update_branch(project_id, branch_id, protected=True))
    await live.settled()
    restricted = [each.get("name") for each in (await branch_of(live, branch_id)).get("restricted_actions", [])]
    status, words = await _restore(live, branch_id, datetime.now(UTC), "before-protection")
    await live.neon(lambda client: client.update_branch(project_id, branch_id, protected=False))
    await live.settled()
    return agrees_if(status == 422 and "restore" in restricted, f"{words}; restricted: {restricted}")

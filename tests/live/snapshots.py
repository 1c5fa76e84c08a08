"""Snapshots, and what a restore from one leaves."""

from __future__ import annotations

from tests.live.asking import BRANCH, BRANCHES, ENDPOINT, ENDPOINTS, PROJECT, branch_of, new_branch, said
from tests.live.context import Json, Live, Untold
from tests.live.life import ROLES
from tests.live.registry import Finding, Phase, agrees_if, observes, step

SNAPSHOT = BRANCH + "/snapshot"
SNAPSHOTS = PROJECT + "/snapshots/{snapshot_id}"
RESTORE = SNAPSHOTS + "/restore"
FINALIZE = BRANCH + "/finalize_restore"


def _snapshot(live: Live) -> str:
    if "snapshot" not in live.kept:
        raise Untold("no snapshot was taken")
    return live.kept["snapshot"]


@observes("snapshot-described-in-query", Phase.RECOVERED)
async def described(live: Live) -> Finding:
    """Is a snapshot described in a body refused?"""
    answer = await live.raw("POST", SNAPSHOT, {"name": "by-body"})
    await live.settled()
    return agrees_if(answer.status == 400, said(answer))


@observes("snapshot-is-operation", Phase.RECOVERED)
async def operation(live: Live) -> Finding:
    """Is a snapshot an operation, and locked for until it is over?"""
    taken = await live.raw("POST", SNAPSHOT + "?name=live-suite")
    if taken.status >= 300:
        raise Untold(f"no snapshot was taken: {said(taken)}")
    live.kept["snapshot"] = str(taken.body["snapshot"]["id"])
    locked = await live.http.post(SNAPSHOT.format(**live.ids) + "?name=live-suite-2")
    await live.settled()
    seen = f"{len(taken.body.get('operations', []))} operations; another one at once: {locked.status_code}"
    return agrees_if(bool(taken.body.get("operations")) and locked.status_code == 423, seen)


@observes("snapshot-absent-404", Phase.RECOVERED)
async def absent(live: Live) -> Finding:
    """How is the deletion of a snapshot answered that is not there?"""
    answer = await live.raw("DELETE", SNAPSHOTS, ids={"snapshot_id": "snap-not-there-12345678"})
    await live.settled()
    return agrees_if(answer.status == 404, said(answer))


@observes("snapshot-preview-no-compute", Phase.RECOVERED)
async def preview(live: Live) -> Finding:
    """Has a branch a compute that was restored and not finalized?"""
    body = {"name": "preview", "finalize_restore": False}
    made = await live.change("POST", RESTORE, body, snapshot_id=_snapshot(live))
    live.kept["preview"] = str(made["branch"]["id"])
    found = (await live.raw("GET", BRANCH + "/endpoints", ids={"branch_id": live.kept["preview"]})).body["endpoints"]
    return agrees_if(not found, f"{len(found)} computes")


@observes("finalize-rejects-own-computes", Phase.RECOVERED)
async def own_computes(live: Live) -> Finding:
    """Is a restored branch finalized that has a compute of its own?"""
    if "preview" not in live.kept:
        raise Untold("nothing was restored")
    branch_id = live.kept["preview"]
    asked = {"endpoint": {"branch_id": branch_id, "type": "read_write"}}
    made = await live.change("POST", ENDPOINTS, asked)
    answer = await live.raw("POST", FINALIZE, {}, ids={"branch_id": branch_id})
    await live.settled()
    if answer.status >= 400:
        await live.change("DELETE", ENDPOINT, endpoint_id=made["endpoint"]["id"])
        await live.change("DELETE", BRANCH, branch_id=branch_id)
    return agrees_if(answer.status == 422, said(answer))


@step(Phase.RECOVERED)
async def restore_from_snapshot(live: Live) -> None:
    """The default branch is replaced by what a snapshot holds; what is asked about it afterwards is noted here."""
    if "snapshot" not in live.kept:
        return
    old = live.made.branch.id
    await new_branch(live, "child-of-old", parent_id=old)
    await live.change("POST", ROLES, {"role": {"name": "since_snapshot"}})
    answer = await live.raw("POST", RESTORE, {"finalize_restore": True}, ids={"snapshot_id": live.kept["snapshot"]})
    assert answer.status < 300, "the snapshot is not restored"
    at_once = (await live.raw("GET", BRANCHES)).body["branches"]
    live.kept["moved"] = next(str(each["id"]) for each in at_once if each["default"])
    live.kept["old name"] = next(str(each["name"]) for each in at_once if each["id"] == old)
    await live.settled()
    live.kept["old"] = old


def _moved(live: Live) -> str:
    if "old" not in live.kept:
        raise Untold("nothing was restored")
    return live.kept["moved"]


@observes("snapshot-moves-at-the-call", Phase.RECOVERED)
async def moves(live: Live) -> Finding:
    """Is the restored branch the default one as soon as the restore was answered?"""
    moved = _moved(live)
    there = moved != live.kept["old"] and live.kept["old name"] != live.made.branch.name
    return agrees_if(there, f"the old branch was {live.kept['old name']!r} then")


@observes("snapshot-loses-annotation", Phase.RECOVERED)
async def annotation(live: Live) -> Finding:
    """Has the restored branch the annotation of the one that it replaces?"""
    moved = _moved(live)
    branches = await live.neon(lambda client: client.list_branches(live.made.project.id))
    new, old = branches.annotations.get(moved, {}), branches.annotations.get(live.kept["old"], {})
    return agrees_if(not new and bool(old), f"{len(new)} entries on the new branch, {len(old)} on the old one")


@observes("snapshot-roles-of-then", Phase.RECOVERED)
async def roles(live: Live) -> Finding:
    """Which roles has the restored branch?"""
    listed = await live.raw("GET", ROLES, ids={"branch_id": _moved(live)})
    names = {str(role["name"]) for role in listed.body["roles"]}
    there = "since_snapshot" in names
    return agrees_if(live.role in names and not there, f"one made since {'is there' if there else 'is gone'}")


@observes("snapshot-children-stay", Phase.RECOVERED)
async def children(live: Live) -> Finding:
    """Whose child is a branch of the one that was replaced?"""
    _moved(live)
    listed = (await live.raw("GET", BRANCHES)).body["branches"]
    child = next(each for each in listed if each["name"] == "child-of-old")
    stays = child.get("parent_id") == live.kept["old"]
    return agrees_if(stays, f"of the {'old' if stays else 'new'} one")


@observes("snapshot-old-name-taken", Phase.RECOVERED)
async def old_name(live: Live) -> Finding:
    """What is the second branch called that is replaced?"""
    before = str((await branch_of(live, _moved(live)))["name"])
    answer = await live.raw("POST", RESTORE, {"finalize_restore": True, "target_branch_id": _moved(live)},
                            ids={"snapshot_id": _snapshot(live)})  # fmt: skip
    await live.settled()
    if answer.status >= 300:
        raise Untold(f"the second restore is not done: {said(answer)}")
    name = str((await branch_of(live, _moved(live)))["name"])
    return agrees_if(name == f"{before} (old 2)", repr(name))


@observes("snapshot-no-restore-status", Phase.RECOVERED)
async def put_back(live: Live) -> Finding:
    """Is a branch from a snapshot put back in time?"""
    listed = (await live.raw("GET", BRANCHES)).body["branches"]
    moved = next(str(each["id"]) for each in listed if each["default"])
    if moved == live.made.branch.id:
        raise Untold("nothing was restored")
    then = str(listed[0]["created_at"])
    body = {"source_branch_id": moved, "source_timestamp": then, "preserve_under_name": "kept"}
    answer = await live.raw("POST", BRANCH + "/restore", body, ids={"branch_id": moved})
    await live.settled()
    return agrees_if(answer.status == 422, said(answer))


@observes("snapshot-outlives-branch", Phase.RECOVERED)
async def outlives(live: Live) -> Finding:
    """Is a snapshot there when its branch is deleted?"""
    _moved(live)
    while leaf := _leaf_below((await live.raw("GET", BRANCHES)).body["branches"], live.kept["old"]):
        await live.change("DELETE", BRANCH, branch_id=leaf)
    gone = await live.raw("DELETE", BRANCH, ids={"branch_id": live.kept["old"]})
    await live.settled()
    if gone.status >= 300:
        raise Untold(f"the old branch is not deleted: {said(gone)}")
    answer = await live.raw("GET", PROJECT + "/snapshots")
    there = _snapshot(live) in {str(each["id"]) for each in answer.body.get("snapshots", [])}
    return agrees_if(there, "there" if there else "gone")


def _leaf_below(branches: list[Json], ancestor: str) -> str | None:
    """A branch without children that descends from another one, or None."""
    parents = {str(each["id"]): str(each.get("parent_id", "")) for each in branches}
    for leaf in parents.keys() - set(parents.values()):
        above = parents[leaf]
        while above and above != ancestor:
            above = parents.get(above, "")
        if above:
            return leaf
    return None

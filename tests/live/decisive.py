"""The four questions whose answers decide the design."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from specs.names import DATABASE_NAME
from tests.live.context import Live, Untold
from tests.live.life import DATABASE, DATABASES, RESET, RESTORE, ROLE, ROLES
from tests.live.registry import Finding, Phase, agrees_if, observes

LONGEST_LAG = 120.0
LONGEST_REFUSAL = 60.0


@observes("new-project-listed-immediately", Phase.CREATED)
async def new_project_is_listed(live: Live) -> Finding:
    """Is a new project listed at once, by a search and in the whole list?"""
    project_id, lists, seen = live.made.project.id, 0, {"search": 0.0, "whole list": 0.0}
    missed: dict[str, float] = {}
    for how, search in (("search", live.name), ("whole list", None)):
        while True:
            listing = await live.neon(
                lambda client, search=search: client.list_all_projects(org_id=live.org_id, search=search)  # type: ignore[misc]
            )
            lists, seen[how] = lists + 1, time.monotonic() - live.answered_at
            if project_id in {project.id for project in listing.projects}:
                break
            if project_id in listing.unavailable_project_ids:
                raise Untold("the list named it as unavailable")
            missed[how] = seen[how]
            if seen[how] > LONGEST_LAG:
                break
            await asyncio.sleep(0.2)
    text = ", ".join(f"{how}: {'missed, last ' if how in missed else 'there '}{at:.1f} s" for how, at in seen.items())
    return agrees_if(not missed, f"{text} after the answer")


@observes("old-password-ends-with-the-reset", Phase.CHANGED)
async def old_password(live: Live) -> Finding:
    """Does the old password work after a reset, and until when?"""
    uri = await live.uri("further", "second")
    if not await live.connects(uri):
        raise Untold("the password did not work before the reset either")
    answer = await live.raw("POST", RESET, ids={"role_name": "second"})
    new = answer.body.get("role", {}).get("password")
    if not isinstance(new, str):
        raise Untold(f"the reset was answered with {answer.status} {answer.message}, without a password")
    at_once = await live.connects(uri)
    await live.settled()
    ended = time.monotonic()
    old_works, new_works, until = await live.connects(uri), await live.connects(uri, password=new), 0.0
    while old_works and until < LONGEST_REFUSAL and await live.connects(uri):
        until = time.monotonic() - ended
        await asyncio.sleep(0.5)
    seen = (
        f"old one at once after the answer: {_works(at_once)}; after the operations: old {_works(old_works)}"
        f"{f', for at least {until:.0f} s more' if old_works else ''}, new {_works(new_works)}"
    )
    return agrees_if(new_works and not old_works, seen)


def _works(it_does: bool) -> str:
    return "works" if it_does else "refused"


@observes("roles-after-restore", Phase.CHANGED)
async def roles_after_restore(live: Live) -> Finding:
    """Which roles exist after a restore: those of then, or those of now; and with the passwords of when?"""
    side = live.kept.get("side")
    if side is None:
        raise Untold("there is no branch to restore")
    for name in ("deleted_since", "reset_since"):
        await live.change("POST", ROLES, {"role": {"name": name}}, branch_id=side)
    then = await live.uri(DATABASE_NAME, "reset_since", side)
    await asyncio.sleep(live.pause)
    moment = datetime.now(UTC)
    await asyncio.sleep(live.pause)
    await live.change("POST", ROLES, {"role": {"name": "made_since"}}, branch_id=side)
    await live.change("DELETE", ROLE, branch_id=side, role_name="deleted_since")
    reset = await live.change("POST", RESET, branch_id=side, role_name="reset_since")
    now = str(reset["role"]["password"])
    body = {"source_branch_id": side, "source_timestamp": moment.isoformat(), "preserve_under_name": "before-restore"}
    await live.change("POST", RESTORE, body, branch_id=side)
    listed = await live.raw("GET", ROLES, ids={"branch_id": side})
    names = {str(role.get("name")) for role in listed.body.get("roles", [])}
    made, deleted = "made_since" in names, "deleted_since" in names
    old, new = await live.connects(then), await live.connects(then, password=now)
    seen = (
        f"listed: one made since {'is still there' if made else 'is gone'}, one deleted since "
        f"{'is there again' if deleted else 'stays gone'}; of one reset since, the password of then {_works(old)}, "
        f"that of now {_works(new)}"
    )
    return agrees_if(deleted and not made and old and not new, seen)


@observes("deleted-role-ownership", Phase.CHANGED)
async def deleted_role(live: Live) -> Finding:
    """Does deleting a role hand its objects to the database's new owner?"""
    for name in ("leaving", "staying"):
        await live.change("POST", ROLES, {"role": {"name": name}})
    await live.change("POST", DATABASES, {"database": {"name": "handed", "owner_name": "leaving"}})
    old = await live.uri("handed", "leaving")
    await live.sql(old, "CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 2 AS n; CREATE TABLE u AS SELECT 1 AS n")
    await live.change("PATCH", DATABASE, {"database": {"owner_name": "staying"}}, database_name="handed")
    await live.change("DELETE", ROLE, role_name="leaving")
    new = await live.uri("handed", "staying")
    question = (
        "SELECT count(*) FROM pg_class WHERE relname IN ('t', 'u') AND relkind = 'r'"
        " AND relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user)"
    )
    [(owned,)] = await live.sql(new, question)
    rows = await live.sql(new, "SELECT t.n + u.n FROM s.t AS t, u")
    gone = not await live.connects(old)
    seen = f"the new owner owns {owned} of 2 tables, their rows are {'there' if rows == [(3,)] else 'not there'}"
    return agrees_if(owned == 2 and rows == [(3,)] and gone, f"{seen}; the old login {_works(not gone)}")

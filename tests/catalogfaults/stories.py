"""Lives of apps, each told with one fault of the catalog in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from reconciler.catalog.stats import read_stats
from specs.names import app_id_from_bytes, format_project_name
from specs.status import AppStatus
from tests.catalogfaults.whole import Story, Whole
from tests.deceived.stage import PLANE_ID

Begin = Callable[[], object]


async def create(whole: Whole, begin: Begin) -> None:
    """An app is asked for, again by the same key and by another, and looked at."""
    begin()
    app_id = await whole.post()
    assert await whole.post() == app_id
    assert await whole.post(key="another") == app_id
    await whole.patiently(whole.apps.notify)
    await whole.settle()
    whole.expect(app_id, AppStatus.READY)
    for look in (
        partial(whole.apps.get, "alice", app_id),
        partial(whole.apps.get_many, [app_id]),
        partial(whole.apps.list, "alice", status=None, name=None, limit=9, cursor=None),
        partial(whole.apps.events, "alice", app_id, limit=9, cursor=None),
        partial(read_stats, whole.database),
    ):
        assert await whole.patiently(look)


async def delete(whole: Whole, begin: Begin) -> None:
    """Two ready apps are deleted, of which a person has deleted one's project before, while another lives on."""
    app_id, gone, other = await whole.post(), await whole.post("gone"), await whole.post("other")
    await whole.settle()
    whole.person("DELETE", f"/projects/{whole.own[gone][0]}")
    begin()
    for each in (app_id, gone):
        await whole.patiently(partial(whole.delete, each))
    await whole.settle()
    for each in (app_id, gone):
        whole.expect(each, AppStatus.DELETED)
    whole.expect(other, AppStatus.READY)


async def delete_during_create(whole: Whole, begin: Begin) -> None:
    """The delete is acknowledged while the create is on its way to Neon."""
    begin()
    app_id = await whole.post()
    whole.on_create = partial(whole.patiently, lambda: whole.delete(app_id))
    await whole.settle()
    assert len(whole.own[app_id]) == 1, "no create was sent"
    whole.expect(app_id, AppStatus.DELETED)


async def rounds(whole: Whole, begin: Begin) -> None:
    """Two rounds over a fleet with a project that was renamed, a copy, and one that no row names, which goes."""
    app_id = await whole.post()
    await whole.settle()
    project_id = whole.own[app_id][0]
    stranger = app_id_from_bytes(b"x" * 15)
    orphan = whole.copy(app_id, name=format_project_name("lost", stranger), mark={"morphik_plane": PLANE_ID})
    copy = whole.copy(app_id)
    whole.person("PATCH", f"/projects/{project_id}", {"project": {"name": "renamed"}})
    begin()
    for _ in range(2):
        await whole.round()
    assert {orphan, copy} <= whole.orphans()
    whole.person("DELETE", f"/projects/{orphan}")
    for _ in range(2):
        await whole.round()
    assert orphan not in whole.orphans()
    assert whole.project(project_id).name == whole.row(app_id).project_name
    whole.expect(app_id, AppStatus.READY)


async def vanished(whole: Whole, begin: Begin) -> None:
    """A person has deleted projects of apps that are to live; a sweep misses them. One can be recovered, one not."""
    app_id, lost, other = await whole.post(), await whole.post("lost"), await whole.post("other")
    await whole.settle()
    whole.may_recover = True
    whole.let_lists_settle()
    whole.person("DELETE", f"/projects/{whole.own[lost][0]}")
    whole.neon_now += 30 * 86_400
    whole.person("DELETE", f"/projects/{whole.own[app_id][0]}")
    begin()
    for _ in range(2):
        await whole.round()
    for each in (app_id, other):
        whole.expect(each, AppStatus.READY)
    whole.expect(lost, AppStatus.LOST)


STORIES: Mapping[str, Story] = {
    each.__name__: each for each in (create, delete, delete_during_create, rounds, vanished)
}

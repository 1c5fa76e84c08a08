"""The twin of ``reconciler.runtime.jobs``: the same comparisons and the same consequences, as steps."""

from __future__ import annotations

import math
from collections.abc import Generator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from reconciler.core import effects as e
from reconciler.core.context import ReconcileContext
from reconciler.core.fleet.resync import FleetDiff, diff_fleet
from reconciler.core.ownership import CONTROL_PLANE_ID
from reconciler.core.reconcile import reconcile
from reconciler.errors import NeonNotFound, NeonPasswordsNotStored, ReconcileError
from reconciler.runtime.handlers import READ_HANDLERS, find_handler
from reconciler.runtime.jobs.deep_resync import DEEP_RESYNC_PERIODS
from reconciler.runtime.jobs.resync import MAX_ORPHAN_CHECKS
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import BranchList, ProjectListing
from tests.simulation.steps import Do, Held, ListAll, Step
from tests.simulation.world import RESYNC, SETTLE, World

Steps: TypeAlias = Generator[Step, Any, None]


def resync(world: World, name: str, held: Held) -> Steps:
    """Compare Neon's list with the catalog and wake what differs."""
    claimed = yield Do("claim_job", lambda: world.catalog.claim_job("resync", RESYNC * 0.8))
    if claimed is None:
        return
    token, _ = claimed
    held.job = ("resync", token)
    try:
        yield from _act(world, (yield from _compare(world)))
    except ReconcileError as error:
        world.note(name, f"broke off: {error}")
    yield Do("finish_job", lambda: world.catalog.finish_job("resync", token, ""))


def _compare(world: World) -> Generator[Step, Any, FleetDiff]:
    catalog = world.catalog
    yield e.VerifyAccess()
    listed_from: datetime = yield Do("clock", lambda: world.clock.date)
    listing: ProjectListing = yield ListAll()
    rows: list[AppMetadata] = yield Do("rows", catalog.sweep_rows)
    reported: set[str] = yield Do("known_orphans", lambda: set(catalog.orphans))
    if listing.is_complete:
        gone = reported - listing.seen_ids
        if gone:
            yield Do("forget_orphans", lambda: catalog.forget_orphans(reported - gone))
    return diff_fleet(
        rows, listing, known_orphans=reported, listed_from=listed_from, settle_window=timedelta(seconds=SETTLE)
    )


def _act(world: World, verdict: FleetDiff) -> Steps:
    catalog = world.catalog
    if verdict.stop_reason is not None and catalog.plane.overridden_until < world.clock.now:
        reason = verdict.stop_reason
        yield Do("stop", lambda: catalog.stop(reason))
        return
    if verdict.complete and verdict.stop_reason is None:
        yield Do("clear_stop", catalog.lift_stop)
    yield Do("wake", lambda: catalog.wake(verdict.drifted))
    yield Do("wake_missing", lambda: catalog.wake(verdict.missing, missing=True))
    yield Do("enqueue_duplicates", lambda: catalog.name_surplus(verdict.duplicates))
    for project in verdict.orphans[:MAX_ORPHAN_CHECKS]:
        branches: BranchList = yield e.ListBranches(project.id)
        if any(found.get(CONTROL_PLANE_ID) == world.plane.control_plane_id for found in branches.annotations.values()):
            parsed = parse_project_name(project.name)
            app_id = "" if parsed is None else parsed.app_id
            yield Do("report_orphan", partial(catalog.report_orphan, project.id, app_id))


def deep_resync(world: World, name: str, held: Held) -> Steps:
    """Look at the next apps as a pass would, and wake those for which it would act."""
    claimed = yield Do("claim_job", lambda: world.catalog.claim_job("deep_resync", RESYNC * 0.8))
    if claimed is None:
        return
    token, place = claimed
    held.job = ("deep_resync", token)
    try:
        place = yield from _audit(world, place)
    except ReconcileError as error:
        world.note(name, f"broke off: {error}")
    yield Do("finish_job", lambda: world.catalog.finish_job("deep_resync", token, place))


def _audit(world: World, place: str) -> Generator[Step, Any, str]:
    catalog = world.catalog
    number = math.ceil((yield Do("count_connected", catalog.count_connected)) / DEEP_RESYNC_PERIODS)
    rows = yield Do("deep_resync_rows", lambda: catalog.audit_rows(place, number))
    if len(rows) < number:
        rows += yield Do("deep_resync_rows", lambda: catalog.audit_rows("", number - len(rows)))
    for app in rows:
        if (yield from _differs(world, app)):
            yield Do("wake", partial(catalog.wake, [app.app_id]))
        place = app.app_id
    return place


def _differs(world: World, app: AppMetadata) -> Generator[Step, Any, bool]:
    chance = world.chance
    steps = reconcile(
        ReconcileContext(app, world.plane, world.clock.date, 0, chance.random(), chance.randbytes(16).hex())
    )
    try:
        effect = next(steps)
        while find_handler(READ_HANDLERS, type(effect)) is not None:
            try:
                if isinstance(effect, e.DecryptCredentials):
                    answer = yield Do("decrypt_credentials", lambda: world.catalog.open_seal(app))
                else:
                    answer = yield effect
            except (NeonNotFound, NeonPasswordsNotStored) as error:
                effect = steps.throw(error)
            else:
                effect = steps.send(answer)
    except (StopIteration, ReconcileError):
        return False
    finally:
        steps.close()
    return True

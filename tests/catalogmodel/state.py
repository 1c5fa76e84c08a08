"""All that stands in a catalog, the real one and its twin, in one form."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from reconciler.catalog.rows import app_from_row
from reconciler.catalog.work_queue import intent_from_row
from reconciler.core.context import Credentials
from reconciler.core.rate_limit import Priority
from specs.metadata import AppMetadata
from tests.addresses import checked
from tests.catalogmodel.twin import Twin
from tests.catalogs import SEALER
from tests.stillclock import StillClock

State = dict[str, Any]
SEALED = ("data_key_sealed", "data_key_wrapped_by", "connection_uri_sealed", "pooled_uri_sealed")

_WORK = """
SELECT app_id, extract(epoch FROM due_at)::float8 AS due, extract(epoch FROM priority_at)::float8 AS rank, lane,
       attempts, wake_count, confirmed_missing, duplicate_ids, lease_holder, lease_token,
       extract(epoch FROM lease_expires_at)::float8 AS expires
FROM app_work
"""
_EVENTS = "SELECT app_id, type, reason, message, actor, generation, at FROM app_events ORDER BY event_id"
_PLANE = """
SELECT last_create_seq, org_id, neon_api_url, control_plane_id, mutation_stop_reason AS reason,
       extract(epoch FROM mutation_stopped_at)::float8 AS stopped,
       extract(epoch FROM stop_overridden_until)::float8 AS overridden, automatic_deletes,
       extract(epoch FROM automatic_deletes_since)::float8 AS since
FROM catalog_identity
"""
_JOBS = """
SELECT name, extract(epoch FROM started_at)::float8 AS started, extract(epoch FROM finished_at)::float8 AS finished,
       checkpoint, lease_holder, lease_token, extract(epoch FROM lease_expires_at)::float8 AS expires,
       extract(epoch FROM cycle_started_at)::float8 AS began, extract(epoch FROM cycle_finished_at)::float8 AS whole,
       cycle_seconds
FROM periodic_jobs
"""


def real_state(clock: StillClock, tokens: Mapping[int, int]) -> State:
    """What the real catalog holds; ``tokens`` says which token of the twin each of its tokens is."""
    work = {row["app_id"]: row for row in clock.rows(_WORK)}
    for row in work.values():
        row["lease_token"] = tokens[row["lease_token"]]
    intents: dict[str, list[Any]] = {app_id: [] for app_id in work}
    for row in clock.rows("SELECT * FROM create_intents ORDER BY create_seq"):
        intents[row["app_id"]].append(intent_from_row(row))
    return {
        "apps": {row["app_id"]: plain(app_from_row(row)) for row in clock.rows("SELECT * FROM app_metadata")},
        "work": {app_id: tuple(row.values()) for app_id, row in work.items()},
        "intents": intents,
        "events": [tuple(row.values()) for row in clock.rows(_EVENTS)],
        "plane": tuple(clock.rows(_PLANE)[0].values()),
        "jobs": {row["name"]: tuple(row.values()) for row in clock.rows(_JOBS)},
        "orphans": {row["project_id"]: row["app_id"] for row in clock.rows("SELECT * FROM orphan_projects")},
        "keys": {
            (row["owner_id"], row["key"]): (row["fingerprint"], row["app_id"], row["created_at"])
            for row in clock.rows("SELECT * FROM idempotency_keys")
        },
        "owners": {row["owner_id"]: _owner(row) for row in clock.rows("SELECT * FROM app_owners")},
        "budget": tuple(clock.rows("SELECT * FROM neon_rate_limit")[0].values()),
    }


def twin_state(twin: Twin) -> State:
    """What the twin holds."""
    return {
        "apps": {app_id: twin_row(twin, row) for app_id, row in twin.rows.items()},
        "work": {app_id: _work(twin, app_id) for app_id in twin.work},
        "intents": twin.intents,
        "events": twin.history,
        "plane": _plane(twin),
        "jobs": {name: _job(twin, name) for name in twin.jobs},
        "orphans": twin.orphans,
        "keys": twin.keys,
        "owners": {owner: _twin_owner(twin, owner) for owner in twin.living},
        "budget": _budget(twin),
    }


def plain(app: AppMetadata) -> tuple[AppMetadata, bool, str | None, str | None]:
    """A row of the real catalog without its seals; whether it has a data key, and what the seals hold."""
    direct, pooled = (SEALER.decrypt_uri(app, column) for column in ("connection_uri", "pooled_uri"))
    opened = None if direct is None else Credentials(checked(direct), None if pooled is None else checked(pooled))
    if direct is None:
        assert pooled is None
    return _opened(app, opened)


def _opened(app: AppMetadata, held: Credentials | None) -> tuple[AppMetadata, bool, str | None, str | None]:
    bare = app.model_copy(update=dict.fromkeys(SEALED))
    direct = None if held is None else held.connection_uri.get_secret_value()
    pooled = None if held is None or held.pooled_uri is None else held.pooled_uri.get_secret_value()
    return bare, app.data_key_sealed is not None, direct, pooled


def twin_row(twin: Twin, app: AppMetadata) -> tuple[AppMetadata, bool, str | None, str | None]:
    """A row of the twin in the form of ``plain``."""
    return _opened(app, twin.open_seal(app))


def _work(twin: Twin, app_id: str) -> tuple[object, ...]:
    work = twin.work[app_id]
    return (
        app_id,
        work.due_at,
        work.priority_at,
        work.lane,
        work.attempts,
        work.wake_count,
        work.confirmed_missing,
        work.duplicate_ids,
        twin.holders.get(app_id),
        work.lease_token,
        work.lease_expires_at,
    )


def _owner(row: Mapping[str, Any]) -> tuple[object, ...]:
    """How many apps live, how many were created in which hour, and how many keys were counted."""
    hours = enumerate(row["creates"])
    return row["app_count"], {row["creates_hour"] - age: made for age, made in hours if made}, row["key_count"]


def _twin_owner(twin: Twin, owner: str) -> tuple[object, ...]:
    return twin.living[owner], dict(Counter(twin.created.get(owner, []))), twin.counted.get(owner, 0)


def _plane(twin: Twin) -> tuple[object, ...]:
    plane, pins = twin.plane, twin.pinned
    kept = (None, None, None) if pins is None else (pins.org_id, pins.neon_api_url, pins.control_plane_id)
    stopped = _time(plane.stopped_at), _time(plane.overridden_until)
    return (
        plane.last_create_seq,
        *kept,
        plane.stop_reason,
        *stopped,
        plane.automatic_deletes,
        plane.automatic_deletes_since,
    )


def _job(twin: Twin, name: str) -> tuple[object, ...]:
    job, kept = twin.jobs[name], twin.rounds[name]
    lease = kept.holder, job.token, job.lease_expires_at
    times = _time(job.started_at), _time(kept.finished_at)
    return name, *times, job.position, *lease, kept.began, kept.whole_at, kept.seconds


def _budget(twin: Twin) -> tuple[object, ...]:
    bucket = twin.bucket
    owed = [part for kind in (Priority.REPAIR, Priority.RESYNC) for part in _owed(twin, kind)]
    return True, bucket.tokens, bucket.updated_at, bucket.closed_until, *owed


def _owed(twin: Twin, kind: Priority) -> tuple[object, ...]:
    owed = twin.bucket.credits[kind]
    return owed.requests, owed.requested_at


def _time(seconds: float) -> float | None:
    return None if math.isinf(seconds) else seconds

"""Computes, and the URIs that lead to them."""

from __future__ import annotations

import psycopg

from specs.names import DATABASE_NAME
from tests.live.asking import ENDPOINT, ENDPOINTS, URI, compute_of, refused, refused_each, said
from tests.live.context import Live, Untold
from tests.live.registry import Finding, Phase, agrees_if, observes

_START = ENDPOINT + "/start"
_SUSPEND = ENDPOINT + "/suspend"


async def _side(live: Live) -> str:
    if "side" not in live.kept:
        raise Untold("there is no branch with a compute")
    return str((await compute_of(live, live.kept["side"]))["id"])


@observes("compute-second-writer-409", Phase.CHANGED)
async def second_writer(live: Live) -> Finding:
    """How is a second compute answered that writes?"""
    asked = {"endpoint": {"branch_id": live.made.branch.id, "type": "read_write"}}
    return await refused(live, "POST", ENDPOINTS, asked, 409)


@observes("compute-pending-state", Phase.CHANGED)
async def pending(live: Live) -> Finding:
    """Is a coming suspension told?"""
    endpoint = await _side(live)
    await live.change("POST", _START, endpoint_id=endpoint)
    answer = await live.raw("POST", _SUSPEND, ids={"endpoint_id": endpoint})
    told = answer.body.get("endpoint", {}).get("pending_state")
    await live.settled()
    later = (await compute_of(live, live.kept["side"])).get("pending_state")
    return agrees_if(told == "idle" and later is None, f"at once {told!r}, later {later!r}")


@observes("compute-suspend-idle", Phase.CHANGED)
async def suspend_idle(live: Live) -> Finding:
    """How is the suspension of an idle compute answered?"""
    endpoint = await _side(live)
    await live.change("POST", _SUSPEND, endpoint_id=endpoint)
    answer = await live.raw("POST", _SUSPEND, ids={"endpoint_id": endpoint})
    await live.settled()
    number = len(answer.body.get("operations", []))
    return agrees_if(answer.status == 200 and not number, f"{said(answer)}, {number} operations")


@observes("compute-patch-drops-connections", Phase.CHANGED)
async def patch_drops(live: Live) -> Finding:
    """Does a new name of a compute end its connections?"""
    endpoint, uri = await _side(live), await live.uri(DATABASE_NAME, live.role, live.kept["side"])
    await live.change("POST", _START, endpoint_id=endpoint)
    connection = await psycopg.AsyncConnection.connect(uri, autocommit=True, connect_timeout=30)
    try:
        answer = await live.raw("PATCH", ENDPOINT, {"endpoint": {"name": "renamed"}}, ids={"endpoint_id": endpoint})
        await live.settled()
        try:
            await connection.execute("SELECT 1")
        except psycopg.OperationalError:
            ended = True
        else:
            ended = False
    finally:
        await connection.close()
    number = len(answer.body.get("operations", []))
    seen = f"{number} operations, the connection {'ended' if ended else 'lived on'}"
    return agrees_if(ended and number > 0, seen)


@observes("compute-disabled-start", Phase.CHANGED)
async def disabled(live: Live) -> Finding:
    """Is a disabled compute started?"""
    endpoint = await _side(live)
    await live.change("PATCH", ENDPOINT, {"endpoint": {"disabled": True}}, endpoint_id=endpoint)
    finding = await refused(live, "POST", _START, None, 422, endpoint_id=endpoint)
    await live.change("PATCH", ENDPOINT, {"endpoint": {"disabled": False}}, endpoint_id=endpoint)
    return finding


@observes("compute-not-moved", Phase.CHANGED)
async def moved(live: Live) -> Finding:
    """Is a compute moved to another branch?"""
    body = {"endpoint": {"branch_id": live.made.branch.id}}
    return await refused(live, "PATCH", ENDPOINT, body, 422, endpoint_id=await _side(live))


@observes("uri-absent-404", Phase.CHANGED)
async def absent(live: Live) -> Finding:
    """How is the URI answered of what is not there, and of what is not named?"""
    there = f"{URI}?database_name={DATABASE_NAME}"
    return await refused_each(
        live,
        {
            "no such role": ("GET", f"{there}&role_name=nobody", None, 404),
            "no such database": ("GET", f"{URI}?database_name=nothing&role_name={live.role}", None, 404),
            "no role named": ("GET", there, None, 400),
        },
    )

"""Stopping at the worst moments: connected but not accepted, claimed but not known, and a clean-up that hangs."""

from __future__ import annotations

import asyncio
import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api.cli.process import listen
from api.cli.server import GracefulServer
from reconciler.catalog.control_plane_store import ControlPlaneStore, Job
from reconciler.catalog.database import Database
from reconciler.catalog.work_queue import WorkItem, WorkQueue
from reconciler.core.context import ControlPlane, Result
from reconciler.runtime.jobs.job import JobDependencies
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.worker import Worker
from reconciler.telemetry.recorder import Recorder
from tests.catalogs import create, execute, opened, with_catalog

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
ASKED = 20
PLANE = ControlPlane(control_plane_id="morphik", catalog_id="a-catalog", settle_seconds=30, host_suffixes=())


async def _hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def _nothing() -> None:
    """Nobody waits."""


def test_whoever_is_connected_when_the_listener_closes_is_served() -> None:
    """The kernel would reset those whom nobody has accepted; nobody can connect afterwards."""

    async def run() -> tuple[list[socket.socket], tuple[str, int]]:
        app = Starlette(routes=[Route("/", _hello)])
        listener, listening = listen("127.0.0.1", 0), asyncio.Event()
        address: tuple[str, int] = listener.getsockname()
        server = GracefulServer(app, ready=listening.set, release_waiters=_nothing)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await listening.wait()
        clients = [socket.create_connection(address) for _ in range(ASKED)]
        for client in clients:
            client.sendall(REQUEST)
        # No turn of the loop lies between the connections and this: nothing of them was accepted.
        server.started = False
        await server.shutdown([listener])
        server.should_exit = True
        await serving
        return clients, address

    clients, address = asyncio.run(run())
    for client in clients:
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.will_close, answer.read()) == (200, True, b"hello")
        client.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


class _BrokenOffWork(WorkQueue):
    """A work table whose claims take place, and never return."""

    def __init__(self, database: Database, taken: asyncio.Event) -> None:
        super().__init__(database, owner="stopping", lease_seconds=60)
        self._taken = taken

    async def claim(self, limit: int) -> list[WorkItem]:
        await super().claim(limit)
        self._taken.set()
        return await asyncio.Future()


class _BrokenOffFleet(ControlPlaneStore):
    """Jobs whose claims take place, and never return."""

    def __init__(self, database: Database, taken: asyncio.Event) -> None:
        super().__init__(database, owner="stopping", lease_seconds=60)
        self._taken = taken

    async def claim_job(self, name: str, period_seconds: float) -> Job | None:
        await super().claim_job(name, period_seconds)
        self._taken.set()
        return await asyncio.Future()


def _broken_off(url: str, use: Callable[[Database, asyncio.Event], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(url) as database, asyncio.timeout(30):
            await use(database, asyncio.Event())

    asyncio.run(run())


def _jobs(fleet: ControlPlaneStore, *, lease_seconds: float) -> JobRunner:
    unused = cast("Any", None)
    dependencies = JobDependencies(unused, unused, fleet, unused, PLANE, 300, Recorder())
    return JobRunner(dependencies, lease_seconds=lease_seconds)


def test_a_claim_that_was_broken_off_is_given_back(catalog_url: str) -> None:
    """The lease was taken, the worker was stopped before it knew of it."""

    async def use(database: Database, taken: asyncio.Event) -> None:
        worker = Worker(_BrokenOffWork(database, taken), cast("Any", None), lease_seconds=60)
        working = asyncio.create_task(worker.run())
        await taken.wait()
        assert execute(catalog_url, "SELECT lease_holder FROM app_work") == [{"lease_holder": "stopping"}]
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    with_catalog(catalog_url, create)
    _broken_off(catalog_url, use)
    left = "SELECT lease_holder, lease_expires_at, due_at <= now() AS due FROM app_work"
    assert execute(catalog_url, left) == [{"lease_holder": None, "lease_expires_at": None, "due": True}]


def test_a_worker_whose_renewal_fails_by_a_defect_ends_and_releases_its_leases(catalog_url: str) -> None:
    """Nobody else would notice: every lease would end under a reconcile in flight."""

    class Unrenewable(WorkQueue):
        async def renew(self, _leases: object) -> set[str]:
            raise RuntimeError("a defect")

    async def use(database: Database, taken: asyncio.Event) -> None:
        async def stuck(_item: WorkItem) -> Result:
            taken.set()
            return await asyncio.Future()

        work = Unrenewable(database, owner="stopping", lease_seconds=60)
        worker = Worker(work, cast("Any", SimpleNamespace(run=stuck)), lease_seconds=0.2)
        with pytest.raises(ExceptionGroup, match="unhandled") as raised:
            await worker.run()
        assert taken.is_set()
        assert raised.group_contains(RuntimeError, match="a defect")

    with_catalog(catalog_url, create)
    _broken_off(catalog_url, use)
    left = "SELECT lease_holder, due_at <= now() AS due FROM app_work"
    assert execute(catalog_url, left) == [{"lease_holder": None, "due": True}]


def test_a_job_whose_claim_was_broken_off_is_given_back(catalog_url: str) -> None:
    """The same for a periodic round; another owner's job stays with it."""
    execute(
        catalog_url,
        "UPDATE periodic_jobs SET lease_holder = 'another', lease_expires_at = now() + interval '1 h' "
        "WHERE name = 'deep_resync'",
    )

    async def use(database: Database, taken: asyncio.Event) -> None:
        fleet = _BrokenOffFleet(database, taken)
        rounds = _jobs(fleet, lease_seconds=60)
        sweeping = asyncio.create_task(rounds.run("resync"))
        await taken.wait()
        await rounds.stop()
        await sweeping

    _broken_off(catalog_url, use)
    left = "SELECT name, lease_holder, lease_expires_at IS NULL AS free FROM periodic_jobs ORDER BY name"
    assert execute(catalog_url, left) == [
        {"name": "deep_resync", "lease_holder": "another", "free": False},
        {"name": "expire_idempotency_keys", "lease_holder": None, "free": True},
        {"name": "resync", "lease_holder": None, "free": True},
    ]


def test_a_round_that_begins_behind_the_end_claims_nothing(catalog_url: str) -> None:
    """Its task was made before the rounds were stopped, and runs after that."""

    async def use(database: Database, _taken: asyncio.Event) -> None:
        fleet = ControlPlaneStore(database, owner="stopping", lease_seconds=60)
        rounds = _jobs(fleet, lease_seconds=60)
        await rounds.stop()
        await rounds.run("resync")

    _broken_off(catalog_url, use)
    assert execute(catalog_url, "SELECT DISTINCT lease_holder, lease_token FROM periodic_jobs") == [
        {"lease_holder": None, "lease_token": 0}
    ]


class _StuckFleet(ControlPlaneStore):
    """A fleet that cannot be counted."""

    def __init__(self, database: Database, counting: asyncio.Event) -> None:
        super().__init__(database, owner="paused", lease_seconds=0.2)
        self._counting = counting

    async def count_connected(self) -> int:
        self._counting.set()
        return await asyncio.Future()


def test_a_round_that_another_daemon_has_taken_over_ends_without_a_fuss(catalog_url: str) -> None:
    """A paused daemon wakes up behind its lease: its round ends, the other's goes on, and nothing counts as failed."""

    async def use(database: Database, counting: asyncio.Event) -> None:
        fleet = _StuckFleet(database, counting)
        rounds = _jobs(fleet, lease_seconds=0.2)
        auditing = asyncio.create_task(rounds.run("deep_resync"))
        await counting.wait()
        execute(catalog_url, "UPDATE periodic_jobs SET lease_holder = 'another', lease_token = lease_token + 1")
        await auditing

    _broken_off(catalog_url, use)
    left = "SELECT lease_holder FROM periodic_jobs WHERE name = 'deep_resync'"
    assert execute(catalog_url, left) == [{"lease_holder": "another"}]


def test_a_job_whose_renewal_fails_by_a_defect_ends_with_it_and_releases_its_lease(catalog_url: str) -> None:
    """Nobody else would notice: the job would run on behind its lease."""

    class Unrenewable(_StuckFleet):
        async def renew_job(self, _job: Job) -> bool:
            raise RuntimeError("a defect")

    async def use(database: Database, counting: asyncio.Event) -> None:
        jobs = _jobs(Unrenewable(database, counting), lease_seconds=0.2)
        with pytest.raises(ExceptionGroup, match="unhandled") as raised:
            await jobs.run("deep_resync")
        assert raised.group_contains(RuntimeError, match="a defect")

    _broken_off(catalog_url, use)
    assert execute(catalog_url, "SELECT DISTINCT lease_holder FROM periodic_jobs") == [{"lease_holder": None}]


HANGING = """
import asyncio, sys, time
from api.cli.process import run_until_signal

async def main():
    try:
        print("running", flush=True)
        await asyncio.sleep(60)
    finally:
        time.sleep(60)

run_until_signal(main, within=0.5)
"""


def test_a_clean_up_that_hangs_ends_all_the_same() -> None:
    """Status 1 and a word about it, before whatever runs the process would kill it."""
    with subprocess.Popen(
        [sys.executable, "-c", HANGING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Shutdown exceeded 0.5 s." in said

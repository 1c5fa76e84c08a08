"""``make bench-fleet``: many apps created at once by three daemons, with Neon's real request limits on.

Everything is real: API, daemons, catalog, sockets, and a Postgres behind local Neon, so that each app is proven by
connecting to it. Local Neon refuses what is beyond Neon's limits by the strict reading: one bucket of 40 requests,
refilled at 700 a minute. The least time is the one in which that bucket gives three requests for each app.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

import httpx
from pydantic import SecretStr

from api.auth.tokens import issue_token
from reconciler.catalog.migrate import migrate
from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import PREFIX
from specs.settings import NEON_BURST_PER_SECOND, NEON_REQUESTS_PER_MINUTE, TokenSettings
from tests.bench.report import Figure, publish
from tests.processes.running import FIGURES, Stage, settings, staged, url_of

APPS = 1000
OWNERS = 20
DAEMONS = 3
CALLS_PER_APP = 3
BYTES_PER_APP = 9_000_000
PATIENCE = 4.0


class _Fleet:
    """API, daemons and local Neon, and what can be asked of them."""

    def __init__(self, stage: Stage, apps: int) -> None:
        self._apps = apps
        neon = url_of(stage.start_module("tests.bench.neon", "neon", "--limits"))
        api = url_of(stage.serve(REQUESTS_PER_MINUTE="1000000", MAX_APPS_PER_OWNER=str(apps)))
        figures: dict[str, str | None] = dict.fromkeys(FIGURES)
        for _ in range(DAEMONS):
            stage.reconcile(NEON_API_URL=neon + PREFIX, NEON_ORG_ID=LocalNeonOptions().org_id, **figures)
        secret = TokenSettings.model_construct(jwt_secret_key=SecretStr(stage.environment["JWT_SECRET_KEY"]))
        self._bearers = [
            {"Authorization": f"Bearer {issue_token(secret, f'owner-{number}', ('read', 'write'), 7200)}"}
            for number in range(OWNERS)
        ]
        self._api = httpx.AsyncClient(base_url=api, timeout=60, trust_env=False)
        self._neon = httpx.AsyncClient(base_url=neon, timeout=60, trust_env=False)

    async def create(self) -> None:
        """Ask for all apps."""
        places = asyncio.Semaphore(50)

        async def one(number: int) -> None:
            async with places:
                answer = await self._api.post(
                    "/ee/apps", json={"app_name": f"app {number}"}, headers=self._bearers[number % OWNERS]
                )
                answer.raise_for_status()

        await asyncio.gather(*(one(number) for number in range(self._apps)))

    async def ready(self) -> int:
        """How many apps are ready."""
        total = 0
        for bearer in self._bearers:
            cursor: str | None = ""
            while cursor is not None:
                asked = {"status": "ready", "limit": "200", **({"cursor": cursor} if cursor else {})}
                page = (await self._api.get("/ee/apps", params=asked, headers=bearer)).raise_for_status().json()
                total += len(page["apps"])
                cursor = page["next_cursor"]
        return total

    async def calls(self) -> list[tuple[str, str, int]]:
        """Every request that has reached Neon: method, path, and status of the answer."""
        told: list[tuple[str, str, int]] = (await self._neon.get("/calls")).json()
        return told

    async def close(self) -> None:
        """Let go of the connections."""
        await self._api.aclose()
        await self._neon.aclose()


async def measure(apps: int) -> bool:
    """Create all apps and wait until they are ready; whether the bounds are kept."""
    least = max(0.0, apps * CALLS_PER_APP - NEON_BURST_PER_SECOND) / (NEON_REQUESTS_PER_MINUTE / 60)
    with tempfile.TemporaryDirectory() as folder:
        if shutil.disk_usage(folder).free < 2 * apps * BYTES_PER_APP:
            sys.stderr.write(
                f"{apps} databases need {2 * apps * BYTES_PER_APP / 1e9:.0f} GB free; ask for --apps fewer\n"
            )
            return False
        async with EmbeddedPostgres(Path(folder) / "postgres") as postgres:
            url = postgres.dsn("postgres")
            await asyncio.to_thread(migrate, url)
            with staged(settings(url)) as stage:
                fleet = _Fleet(stage, apps)
                begun = time.perf_counter()
                await fleet.create()
                while (ready := await fleet.ready()) < apps:
                    if time.perf_counter() - begun > PATIENCE * least + 60:
                        sys.stderr.write(f"only {ready} of {apps} apps were ready in time\n")
                        return False
                    sys.stderr.write(f"\r{ready} of {apps} ready after {time.perf_counter() - begun:.0f} s ")
                    await asyncio.sleep(2)
                seconds = time.perf_counter() - begun
                calls = await fleet.calls()
                await fleet.close()
    sys.stderr.write("\r")
    refused = sum(status == httpx.codes.TOO_MANY_REQUESTS for _, _, status in calls)
    return publish(
        "fleet",
        [
            Figure("http_429", [refused], wanted=("=", 0)),
            Figure("calls_per_app", [len(calls) / apps], wanted=("<=", CALLS_PER_APP)),
            Figure("fleet_ratio", [seconds / least], wanted=("<=", 1.15)),
            Figure("mutations_per_app", [sum(method != "GET" for method, _, _ in calls) / apps], wanted=("=", 1)),
            Figure("apps", [apps]),
            Figure("daemons", [DAEMONS]),
            Figure("seconds", [seconds], unit="s"),
            Figure("least_seconds", [least], unit="s"),
        ],
    )


def main() -> int:
    """Measure; exit status 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fleet", description=__doc__)
    parser.add_argument("--apps", type=int, default=APPS)
    return 0 if asyncio.run(measure(parser.parse_args().apps)) else 1


if __name__ == "__main__":
    sys.exit(main())

"""``make bench-create``: from POST to ready, against a bare script that does the same at Neon, side by side.

Both sides ask the same local Neon for the same projects, in turns. The product's time is all that its client waits:
the API, the catalog, the wake-up of the reconciler, the intent that commits before the create, and the proof.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path

import httpx
from pydantic import SecretStr

from api.auth.tokens import issue_token
from reconciler.catalog.migrate import migrate
from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import PREFIX
from specs.settings import NEON_REGIONS, TokenSettings
from tests.bench import sdk
from tests.bench.report import ROUNDS, Figure, publish
from tests.processes.running import FIGURES, Stage, settings, staged, url_of

APPS = 8
ORG_ID = LocalNeonOptions().org_id
_FLEET = {("GET", "/projects?"), ("GET", "/users/me/organizations")}
_names = count()


class _Bench:
    """The product and the bare script over one local Neon."""

    def __init__(self, stage: Stage) -> None:
        neon = url_of(stage.start_module("tests.bench.neon", "neon"))
        # The figures that production starts with.
        figures: dict[str, str | None] = dict.fromkeys(FIGURES)
        api = url_of(stage.serve(REQUESTS_PER_MINUTE="1000000"))
        stage.reconcile(NEON_API_URL=neon + PREFIX, NEON_ORG_ID=ORG_ID, **figures)
        secret = TokenSettings.model_construct(jwt_secret_key=SecretStr(stage.environment["JWT_SECRET_KEY"]))
        bearer = {"Authorization": f"Bearer {issue_token(secret, 'bench', ('read', 'write'), 3600)}"}
        self._calls = neon + "/calls"
        self._api = httpx.AsyncClient(base_url=api, headers=bearer, timeout=90, trust_env=False)
        key = {"Authorization": f"Bearer {stage.environment['NEON_API_KEY']}"}
        self._neon = httpx.AsyncClient(base_url=neon + PREFIX, headers=key, timeout=90, trust_env=False)

    async def product(self) -> float:
        """Mean seconds from POST to ready."""
        return await _mean(self._product)

    async def bare(self) -> float:
        """Mean seconds of the bare script."""
        return await _mean(lambda: sdk.database(self._neon, NEON_REGIONS[0], ORG_ID))

    async def calls(self) -> list[tuple[str, str]]:
        """The requests about projects that have reached Neon; the fleet's lists are left out."""
        told = (await self._neon.get(self._calls)).json()
        return [(method, path) for method, path, _ in told if (method, path) not in _FLEET]

    async def close(self) -> None:
        """Let go of the connections."""
        await self._api.aclose()
        await self._neon.aclose()

    async def _product(self) -> None:
        body = {"app_name": f"bench {next(_names)}"}
        answer = (await self._api.post("/ee/apps", json=body, headers={"Prefer": "wait=60"})).raise_for_status().json()
        if answer["status"] != "ready":
            raise RuntimeError(f"not ready within a minute: {answer['conditions']}")


async def _mean(one: Callable[[], Awaitable[None]]) -> float:
    async def timed() -> float:
        begun = time.perf_counter()
        await one()
        return time.perf_counter() - begun

    return sum(await asyncio.gather(*(timed() for _ in range(APPS)))) / APPS


async def measure(rounds: int) -> bool:
    """Run all rounds and publish; whether the bounds are kept."""
    ours, bare, calls, changes = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedPostgres(Path(folder) / "postgres") as postgres:
            url = postgres.dsn("postgres")
            await asyncio.to_thread(migrate, url)
            with staged(settings(url)) as stage:
                bench = _Bench(stage)
                await bench.product()  # what the first apps find cold: connections, plans, the pace
                for number in range(rounds):
                    if number % 2:
                        bare.append(await bench.bare())
                    before = len(await bench.calls())
                    ours.append(await bench.product())
                    made = (await bench.calls())[before:]
                    calls.append(len(made) / APPS)
                    changes.append(sum(method != "GET" for method, _ in made) / APPS)
                    if not number % 2:
                        bare.append(await bench.bare())
                await bench.close()
    return publish(
        "create",
        [
            Figure("ready_overhead", [one / other for one, other in zip(ours, bare, strict=True)], wanted=("<=", 1.10)),
            Figure("calls_per_app", calls, wanted=("<=", 4)),
            Figure("mutations_per_app", changes, wanted=("=", 1)),
            Figure("seconds_to_ready", ours, unit="s"),
            Figure("seconds_bare", bare, unit="s"),
        ],
    )


def main() -> int:
    """Measure; exit status 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.create", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    return 0 if asyncio.run(measure(parser.parse_args().rounds)) else 1


if __name__ == "__main__":
    sys.exit(main())

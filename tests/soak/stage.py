"""Everything that takes part, started in order and ended whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from api.auth.tokens import issue_token
from api.cli.process import listen, serve
from reconciler.catalog.migrate import migrate
from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import LocalNeonServer
from reconciler.local.simulator import LocalNeon
from reconciler.local.state.models import Project
from specs.settings import TokenSettings
from tests.processes.running import settings
from tests.soak.catalog import Catalog
from tests.soak.clients import Clients
from tests.soak.console import Console
from tests.soak.faults import Dice
from tests.soak.household import Household
from tests.soak.ports import quiet_ports
from tests.soak.proxy import Proxy
from tests.soak.schedule import DAEMONS, LEASE_SECONDS, OWNERS, SERVERS, SETTLE_SECONDS, TIMEOUT_SECONDS, Size
from tests.soak.traffic import Traffic

LIST_LAG_SECONDS = 0.5
_FIGURES = {
    "NEON_TIMEOUT_SECONDS": f"{TIMEOUT_SECONDS:g}",
    "LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "SETTLE_SECONDS": f"{SETTLE_SECONDS:g}",
    # The soak is about other things than the pace.
    "NEON_REQUESTS_PER_MINUTE": "6000",
    "NEON_BURST_PER_SECOND": "400",
    "MAX_APPS_PER_OWNER": "100000",
    "REQUESTS_PER_MINUTE": "1000000",
    "LOG_FORMAT": "json",
}


@dataclass
class Stage:
    """What there is.

    Attributes:
        folder: where processes log.
        environment: what they all are given.
        machine: local Neon's state, the truth.
        traffic: what went through the proxies.
    """

    folder: Path
    environment: dict[str, str]
    catalog: Catalog
    machine: LocalNeon
    traffic: Traffic
    proxies: dict[str, Proxy]
    household: Household
    clients: Clients
    console: Console

    @property
    def projects(self) -> dict[str, Project]:
        """All projects that Neon ever had."""
        return self.machine._account.projects

    @property
    def logs(self) -> list[Path]:
        """Of every process."""
        return [self.household.log_of(name) for name in self.household.slots]


@asynccontextmanager
async def staged(seed: int, size: Size, folder: Path) -> AsyncIterator[Stage]:
    """Everything runs until the block ends; faults are not on yet."""
    async with AsyncExitStack() as stack:
        catalog_port, *ports = quiet_ports(1 + len(SERVERS) + len(DAEMONS))
        catalog = Catalog(folder / "catalog", catalog_port)
        stack.push_async_callback(catalog.close)
        await catalog.open()
        await asyncio.to_thread(migrate, catalog.url)
        environment = settings(catalog.url) | _FIGURES | {"RESYNC_SECONDS": f"{size.resync:g}"}
        machine, neon_port = await _neon(seed, folder, environment["NEON_API_KEY"], stack)
        traffic = Traffic()
        servers = dict(zip(SERVERS, ports, strict=False))
        proxies = {
            name: Proxy(name, port, neon_port, Dice(seed, name), traffic)
            for name, port in zip(DAEMONS, ports[len(SERVERS) :], strict=True)
        }
        for proxy in proxies.values():
            stack.callback(proxy.close)
            await proxy.open()
        household = Household(folder)
        stack.push_async_callback(household.close)
        await household.open(environment)
        for name, port in servers.items():
            household.start(name, ["serve", "--port", str(port)], environment)
        for name, proxy in proxies.items():
            household.start(name, ["reconcile"], environment | {"NEON_API_URL": proxy.url})
        clients = Clients(
            [f"http://127.0.0.1:{port}" for port in servers.values()],
            _tokens(environment["JWT_SECRET_KEY"]),
            random.Random(f"soak {seed} clients"),
        )
        stack.push_async_callback(clients.http.aclose)
        yield Stage(
            folder,
            environment,
            catalog,
            machine,
            traffic,
            proxies,
            household,
            clients,
            await _console(seed, machine, neon_port, environment["NEON_API_KEY"], clients, stack),
        )


async def _neon(seed: int, folder: Path, key: str, stack: AsyncExitStack) -> tuple[LocalNeon, int]:
    """Local Neon in this process, and its port; its databases are real."""
    options = LocalNeonOptions(api_key=key, physical=True, list_lag_seconds=LIST_LAG_SECONDS)
    machine = LocalNeon(options, seed)
    server = await stack.enter_async_context(LocalNeonServer(machine, EmbeddedPostgres(folder / "neon", durable=False)))
    listener = stack.enter_context(listen("127.0.0.1", 0))
    serving = asyncio.create_task(serve(server.app, listener))

    async def end() -> None:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    stack.push_async_callback(end)
    return machine, listener.getsockname()[1]


async def _console(
    seed: int, machine: LocalNeon, port: int, key: str, clients: Clients, stack: AsyncExitStack
) -> Console:
    url, headers = f"http://127.0.0.1:{port}/api/v2", {"Authorization": f"Bearer {key}"}
    # A connection that is kept may be closed by the other side just when it is used again.
    fresh = httpx.Limits(max_keepalive_connections=0)
    client = httpx.AsyncClient(base_url=url, headers=headers, limits=fresh, timeout=60, trust_env=False)
    http = await stack.enter_async_context(client)
    return Console(http, machine._account.projects, clients.wishes, random.Random(f"soak {seed} people"))


def _tokens(secret: str) -> list[str]:
    signing = TokenSettings(jwt_secret_key=SecretStr(secret))
    return [issue_token(signing, f"owner-{number}", ("read", "write"), 7200) for number in range(OWNERS)]

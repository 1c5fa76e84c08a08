"""Checks of the catalog. All of them read in transactions in which Postgres rejects writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from api.cli.doctor.result import CheckResult, failed, ok, skipped, warning
from api.cli.doctor.settings import LoadedSettings
from reconciler.catalog.encryption import DecryptionFailed, Sealer, key_id
from reconciler.catalog.inspect import CatalogInspector, Identity, Schema, Server
from reconciler.catalog.migrate import BASELINE, is_unreleased
from reconciler.catalog.session import ENCODINGS
from reconciler.errors import CatalogUnavailable

MIN_POSTGRES = 15
MAX_APPS_PER_KEY = 20
SKEW_WARNING = timedelta(seconds=2)
SKEW_FAILED = timedelta(seconds=30)
CHECKS = ("catalog", "catalog's clock", "migrations", "stop", "direct address", "privileges", "keys in use")
_REACH = "check that Postgres runs, and that DATABASE_URL names its address, database and a login that may connect"
_MAY_READ = "grant the login read access: README, Roles in Postgres"
_MIGRATE = "run morphik-apps migrate, and see README, Roles in Postgres"


class CatalogChecks:
    """The checks of the catalog, in order.

    Attributes:
        identity: the catalog's identity, for the Neon checks; None before it is read.
    """

    def __init__(
        self, loaded: LoadedSettings, catalog: CatalogInspector | None, direct: CatalogInspector | None
    ) -> None:
        self._loaded = loaded
        self._catalog = catalog
        self._direct = direct
        self._server: Server | None = None
        self._schema: Schema | None = None
        self.identity: Identity | None = None

    async def run(self) -> list[CheckResult]:
        """Run all checks. A check that cannot run is skipped."""
        if self._catalog is None:
            return _skipped(CHECKS, "DATABASE_URL is not set, or not valid")
        catalog = self._catalog
        results = [await _guarded("catalog", lambda: self.reachable(catalog), _REACH)]
        if self._server is None:
            return results + _skipped(CHECKS[1:], "the catalog does not respond")
        results += [self.clock(self._server)]
        results.append(await _guarded("migrations", lambda: self.migrations(catalog), _MAY_READ))
        if self._schema is None or not self._schema.made:
            return results + _skipped(CHECKS[3:], "the catalog's tables do not exist, or the login cannot read them")
        checks = (self.stop, self.direct_address, self.privileges, self.keys_in_use)
        for name, check in zip(CHECKS[3:], checks, strict=True):
            results.append(await _guarded(name, partial(check, catalog), _MIGRATE))
        return results

    async def reachable(self, catalog: CatalogInspector) -> CheckResult:
        """Check that Postgres responds, is new enough, accepts writes and can store every name."""
        server = await catalog.server()
        self._server = server
        if server.major < MIN_POSTGRES:
            return failed("catalog", f"Postgres {server.version} is too old", f"use Postgres {MIN_POSTGRES} or newer")
        if not server.is_writable:
            message = f"Postgres {server.version} is read-only"
            return failed("catalog", message, "DATABASE_URL must name the primary")
        if server.encoding not in ENCODINGS:
            message = f"Postgres {server.version}; the database's encoding {server.encoding} cannot store every name"
            return failed("catalog", message, "use a database with ENCODING 'UTF8' and TEMPLATE template0")
        return ok("catalog", f"Postgres {server.version} responds")

    def clock(self, server: Server) -> CheckResult:
        """Check this machine's clock against the catalog's. Tokens expire by the first, leases by the second."""
        return check_clock_skew("catalog's clock", server.clock_skew, server.uncertainty)

    async def migrations(self, catalog: CatalogInspector) -> CheckResult:
        """Check that the schema is current and complete."""
        schema = await catalog.schema()
        self._schema = schema
        if schema.migrating:
            return warning("migrations", "migrations are running now", "wait, and run the check again")
        if is_unreleased(schema.newer) and schema.pending:
            message = f"an unreleased earlier schema ({schema.newer[0]}), which cannot be upgraded"
            return failed("migrations", message, "use an empty database for the catalog")
        if schema.made and BASELINE in schema.pending:
            message = "the tables exist without a record of their migration"
            return failed("migrations", message, "a restore is incomplete: restore the whole database again")
        if schema.pending:
            return failed("migrations", f"not applied: {', '.join(schema.pending)}", "run morphik-apps migrate")
        if schema.newer:
            message = f"a newer program applied {', '.join(schema.newer)}"
            return warning("migrations", message, "upgrade this program too")
        if schema.lock_row is not None:
            message = f"current; an interrupted yoyo (process {schema.lock_row}) left its lock row"
            return warning("migrations", message, "migrate ignores it; yoyo break-lock removes it")
        return ok("migrations", "current")

    async def stop(self, catalog: CatalogInspector) -> CheckResult:
        """Check that mutations are not suspended."""
        self.identity = await catalog.identity()
        if self.identity.stop_reason is not None:
            remedy = "see README, Everything has stopped or The catalog was restored"
            return failed("stop", f"mutations at Neon are suspended: {self.identity.stop_reason}", remedy)
        return ok("stop", "mutations at Neon are not suspended")

    async def direct_address(self, _catalog: CatalogInspector) -> CheckResult:
        """Check that DATABASE_DIRECT_URL names the same catalog."""
        if self._direct is None:
            text = "DATABASE_DIRECT_URL is not set; DATABASE_URL is used, and must not be pooled"
            return skipped("direct address", text)
        try:
            identity = await self._direct.identity()
        except CatalogUnavailable as error:
            return failed("direct address", str(error), "DATABASE_DIRECT_URL must name the catalog without a pooler")
        if self.identity is not None and identity.catalog_id != self.identity.catalog_id:
            text = "DATABASE_DIRECT_URL names another catalog than DATABASE_URL"
            return failed("direct address", text, "set both to the same database")
        return ok("direct address", "the same catalog")

    async def privileges(self, catalog: CatalogInspector) -> CheckResult:
        """Check that the login has the privileges of the commands that these settings are for."""
        privileges = await catalog.privileges()
        serves = self._loaded.loop is None or self._loaded.tokens is not None
        missing = [
            (command, role)
            for command, role, needed, has in (
                ("reconcile", "morphik_apps_reconciler", self._loaded.loop is not None, privileges.reconciles),
                ("serve", "morphik_apps_api", serves, privileges.serves),
            )
            if needed and not has
        ]
        login = privileges.login
        if privileges.reconciles and missing == [("serve", "morphik_apps_api")]:
            return warning("privileges", f"{login} may reconcile and not serve", "use a separate login for serve")
        if missing:
            commands, roles = (" and ".join(names) for names in zip(*missing, strict=True))
            return failed("privileges", f"{login} may not {commands}", f"grant it {roles}: README, Roles in Postgres")
        allowed = (("serve", privileges.serves), ("reconcile", privileges.reconciles))
        return ok("privileges", f"{login} may {' and '.join(command for command, may in allowed if may)}")

    async def keys_in_use(self, catalog: CatalogInspector) -> CheckResult:
        """Check that ENCRYPTION_KEYS decrypt the URIs of the latest apps of each key."""
        if self._loaded.encryption is None:
            return skipped("keys in use", "ENCRYPTION_KEYS is not set, or not valid")
        keys, sealer = self._loaded.encryption.keys(), Sealer(self._loaded.encryption.keys())
        known, in_use = {key_id(key) for key in keys}, await catalog.wrapping_keys()
        absent = {name: apps for name, apps in in_use.items() if name not in known}
        if absent:
            names = ", ".join(f"{name} ({apps} apps)" for name, apps in absent.items())
            return failed("keys in use", f"not in ENCRYPTION_KEYS: {names}", "append the key; it decrypts these URIs")
        decrypted = 0
        for name in in_use:
            for app in await catalog.wrapped(name, MAX_APPS_PER_KEY):
                try:
                    sealer.open_data_key(app)
                    sealer.decrypt_uri(app, "connection_uri")
                except DecryptionFailed as error:
                    return failed("keys in use", str(error), "the row was changed: restore it from a backup")
                decrypted += 1
        names = ", ".join(f"{name} for {apps} apps" for name, apps in in_use.items()) or "none yet"
        return ok("keys in use", f"{names}; {decrypted} apps checked, all decrypt")


async def _guarded(name: str, check: Callable[[], Awaitable[CheckResult]], remedy: str) -> CheckResult:
    """Return the result of a check; an exception is a result too."""
    try:
        return await check()
    except CatalogUnavailable as error:
        return failed(name, str(error), remedy)
    except Exception as error:  # noqa: BLE001 - the report must contain unforeseen errors too
        return failed(name, f"the check failed ({type(error).__name__})", remedy)


def _skipped(checks: Sequence[str], reason: str) -> list[CheckResult]:
    return [skipped(check, reason) for check in checks]


def check_clock_skew(check: str, ahead: timedelta, uncertainty: timedelta) -> CheckResult:
    """Return the result for a clock that is ``ahead`` of this machine's, plus or minus ``uncertainty``."""
    certain = max(timedelta(0), abs(ahead) - uncertainty)
    message = f"{abs(ahead.total_seconds()):.1f} s {'ahead of' if ahead > timedelta(0) else 'behind'} this machine's"
    remedy = "synchronize both by NTP: tokens, leases and settle times are counted in seconds"
    if certain > SKEW_FAILED:
        return failed(check, message, remedy)
    if certain > SKEW_WARNING:
        return warning(check, message, remedy)
    return ok(check, message)

"""Checks of the catalog. All of them read in transactions in which Postgres refuses writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

from api.commands.doctor.line import Line, failed, ok, skipped, warning
from api.commands.doctor.local import Given
from reconciler.catalog.encryption import DecryptionFailed, Sealer, key_id
from reconciler.catalog.inspect import CatalogInspector, Identity, Schema, Server
from reconciler.catalog.migrate import BASELINE, is_unreleased
from reconciler.catalog.session import ENCODINGS
from reconciler.errors import CatalogUnavailable

OLDEST_POSTGRES = 13
OPENED_PER_KEY = 20
SKEW_WARNING = timedelta(seconds=2)
SKEW_FAILED = timedelta(seconds=30)
CHECKS = ("catalog", "catalog's clock", "migrations", "stop", "direct address", "rights", "keys in use")
_REACH = "see that Postgres runs, and that DATABASE_URL names it, its database and a login that may connect"
_MAY_READ = "let the login read the catalog: README, Roles in Postgres"
_MIGRATE = "run morphik-apps migrate, and see README, Roles in Postgres"


class CatalogChecks:
    """The checks, in their order, and what they leave for the Neon checks.

    Attributes:
        identity: which catalog it is, once that is known.
    """

    def __init__(self, given: Given, catalog: CatalogInspector | None, direct: CatalogInspector | None) -> None:
        self._given = given
        self._catalog = catalog
        self._direct = direct
        self._server: Server | None = None
        self._schema: Schema | None = None
        self.identity: Identity | None = None

    async def run(self) -> list[Line]:
        """All of them; what cannot be looked at is skipped."""
        if self._catalog is None:
            return _skipped(CHECKS, "DATABASE_URL is not set, or wrong")
        catalog = self._catalog
        lines = [await _guarded("catalog", lambda: self.reachable(catalog), _REACH)]
        if self._server is None:
            return lines + _skipped(CHECKS[1:], "the catalog does not answer")
        lines += [self.clock(self._server)]
        lines.append(await _guarded("migrations", lambda: self.migrations(catalog), _MAY_READ))
        if self._schema is None or not self._schema.made:
            return lines + _skipped(CHECKS[3:], "the catalog's tables are not there, or may not be seen")
        looks = (self.stop, self.direct_address, self.rights, self.keys_in_use)
        for check, look in zip(CHECKS[3:], looks, strict=True):
            lines.append(await _guarded(check, partial(look, catalog), _MIGRATE))
        return lines

    async def reachable(self, catalog: CatalogInspector) -> Line:
        """Does Postgres answer, is it new enough, does it take writes, and does it hold every name?"""
        server = await catalog.server()
        self._server = server
        if server.major < OLDEST_POSTGRES:
            return failed("catalog", f"Postgres {server.version}", f"take {OLDEST_POSTGRES} or newer")
        if not server.is_writable:
            says = f"Postgres {server.version} answers and refuses writes"
            return failed("catalog", says, "DATABASE_URL must name the primary")
        if server.encoding not in ENCODINGS:
            says = (
                f"Postgres {server.version} answers; the database's encoding {server.encoding} cannot hold every name"
            )
            return failed(
                "catalog", says, "make a database with ENCODING 'UTF8' and TEMPLATE template0, and name that one"
            )
        return ok("catalog", f"Postgres {server.version} answers")

    def clock(self, server: Server) -> Line:
        """Do this machine's clock and the catalog's agree? Tokens expire by the one, leases by the other."""
        return check_clock_skew("catalog's clock", server.clock_skew, server.uncertainty)

    async def migrations(self, catalog: CatalogInspector) -> Line:
        """Is the schema current, and was no migration broken off?"""
        schema = await catalog.schema()
        self._schema = schema
        if schema.migrating:
            return warning("migrations", "somebody is applying migrations now", "wait for it, and look again")
        if is_unreleased(schema.newer) and schema.pending:
            says = f"an unreleased earlier schema ({schema.newer[0]}), from which there is no upgrade"
            return failed("migrations", says, "create an empty database for the catalog and name that one")
        if schema.made and BASELINE in schema.pending:
            says = "the tables are there, and no note says that they were made"
            return failed("migrations", says, "a restore was broken off: restore the whole database again")
        if schema.pending:
            return failed("migrations", f"not applied: {', '.join(schema.pending)}", "run morphik-apps migrate")
        if schema.newer:
            says = f"a newer program applied {', '.join(schema.newer)}"
            return warning("migrations", says, "bring this program up to date too")
        if schema.lock_row is not None:
            says = f"current; a broken-off yoyo (process {schema.lock_row}) left its lock row"
            return warning("migrations", says, "migrate is not stopped by it; yoyo break-lock removes it")
        return ok("migrations", "current, and none is under way")

    async def stop(self, catalog: CatalogInspector) -> Line:
        """May anything be changed at Neon?"""
        self.identity = await catalog.identity()
        if self.identity.stop_reason is not None:
            do = "see README, Everything has stopped, or The catalog was restored where it says so"
            return failed("stop", f"nothing is changed at Neon: {self.identity.stop_reason}", do)
        return ok("stop", "changes at Neon are not stopped")

    async def direct_address(self, _catalog: CatalogInspector) -> Line:
        """Does DATABASE_DIRECT_URL name the same catalog?"""
        if self._direct is None:
            return skipped(
                "direct address", "DATABASE_DIRECT_URL is not set; DATABASE_URL is used, and must not be pooled"
            )
        try:
            there = await self._direct.identity()
        except CatalogUnavailable as error:
            return failed("direct address", str(error), "DATABASE_DIRECT_URL must name the catalog without a pooler")
        if self.identity is not None and there.catalog_id != self.identity.catalog_id:
            return failed(
                "direct address", "DATABASE_DIRECT_URL is another catalog than DATABASE_URL", "name the same database"
            )
        return ok("direct address", "the same catalog")

    async def rights(self, catalog: CatalogInspector) -> Line:
        """May this login do what the process with these settings does?"""
        rights = await catalog.privileges()
        lacking = [
            (command, role)
            for command, role, wanted, may in (
                ("reconcile", "morphik_apps_reconciler", self._given.loop is not None, rights.reconciles),
                (
                    "serve",
                    "morphik_apps_api",
                    self._given.loop is None or self._given.tokens is not None,
                    rights.serves,
                ),
            )
            if wanted and not may
        ]
        if rights.reconciles and lacking == [("serve", "morphik_apps_api")]:
            return warning("rights", f"{rights.login} may reconcile and not serve", "give serve a login of its own")
        if lacking:
            commands, roles = (" and ".join(each) for each in zip(*lacking, strict=True))
            return failed(
                "rights", f"{rights.login} may not {commands}", f"grant it {roles}: README, Roles in Postgres"
            )
        may = " and ".join(word for word, can in (("serve", rights.serves), ("reconcile", rights.reconciles)) if can)
        return ok("rights", f"{rights.login} may {may}")

    async def keys_in_use(self, catalog: CatalogInspector) -> Line:
        """Do ENCRYPTION_KEYS open what is sealed? The latest apps of each wrapping key are tried."""
        if self._given.seal is None:
            return skipped("keys in use", "ENCRYPTION_KEYS is not set, or wrong")
        keys, sealer = self._given.seal.keys(), Sealer(self._given.seal.keys())
        known, in_use = {key_id(key) for key in keys}, await catalog.wrapping_keys()
        absent = {name: apps for name, apps in in_use.items() if name not in known}
        if absent:
            said = ", ".join(f"{name} ({apps} apps)" for name, apps in absent.items())
            return failed("keys in use", f"not in ENCRYPTION_KEYS: {said}", "append the key again; it opens these URIs")
        tried = 0
        for name in in_use:
            for app in await catalog.wrapped(name, OPENED_PER_KEY):
                try:
                    sealer.open_data_key(app)
                    sealer.decrypt_uri(app, "connection_uri")
                except DecryptionFailed as error:
                    return failed("keys in use", str(error), "the row was moved or changed: restore it from a back-up")
                tried += 1
        said = ", ".join(f"{name} for {apps} apps" for name, apps in in_use.items()) or "none yet"
        return ok("keys in use", f"{said}; {tried} apps tried, all open")


async def _guarded(check: str, look: Callable[[], Awaitable[Line]], do: str) -> Line:
    """What a check says; one that fails itself is a line too, whatever its error is."""
    try:
        return await look()
    except CatalogUnavailable as error:
        return failed(check, str(error), do)
    except Exception as error:  # noqa: BLE001 - the report is for what nobody foresaw, too
        return failed(check, f"the check itself failed ({type(error).__name__})", do)


def _skipped(checks: Sequence[str], why: str) -> list[Line]:
    return [skipped(check, why) for check in checks]


def check_clock_skew(check: str, ahead: timedelta, uncertainty: timedelta) -> Line:
    """A clock that is ahead of this machine's by so much, give or take the uncertainty."""
    certain = max(timedelta(0), abs(ahead) - uncertainty)
    says = f"{abs(ahead.total_seconds()):.1f} s {'ahead of' if ahead > timedelta(0) else 'behind'} this machine's"
    do = "have both set by NTP: tokens, leases and settle times are counted in seconds"
    if certain > SKEW_FAILED:
        return failed(check, says, do)
    if certain > SKEW_WARNING:
        return warning(check, says, do)
    return ok(check, says)

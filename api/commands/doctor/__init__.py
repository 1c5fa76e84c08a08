"""``doctor``: looks at settings, catalog, keys, clocks and the Neon key, changes nothing, and says what to do.

The catalog is read in read-only transactions, and a transport that lets only GET through carries what Neon is asked.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from pydantic import SecretStr

from api.commands.doctor.catalog import CatalogChecks
from api.commands.doctor.jwks import jwks
from api.commands.doctor.line import Line, failed, skipped
from api.commands.doctor.local import Given, settings
from api.commands.doctor.neon import CHECKS, NeonChecks
from reconciler.catalog.database import Database
from reconciler.catalog.inspect import CatalogInspector
from reconciler.egress_proxy import egress_proxy
from reconciler.neon.client import NeonClient
from reconciler.neon.read_only import ReadOnlyTransport
from specs.settings import SettingsError


async def examine() -> list[Line]:
    """All checks, in order. Whatever is wrong is a line, never an exception."""
    given = settings()
    async with AsyncExitStack() as stack:
        urls = given.catalog
        catalog = await _opened(stack, "DATABASE_URL", None if urls is None else urls.database_url)
        named = None if urls is None else urls.database_direct_url
        direct = await _opened(stack, "DATABASE_DIRECT_URL", named)
        checks = CatalogChecks(given, catalog, direct)
        lines = await checks.run()
        return [*given.lines, *lines, *await jwks(given.tokens), *await _neon(given, checks, stack)]


async def _opened(stack: AsyncExitStack, name: str, url: SecretStr | None) -> CatalogInspector | None:
    if url is None:
        return None
    database = Database(url.get_secret_value(), max_size=1, setting=name)
    await database.open()
    stack.push_async_callback(database.close)
    return CatalogInspector(database)


async def _neon(given: Given, checks: CatalogChecks, stack: AsyncExitStack) -> list[Line]:
    loop = given.loop
    if loop is None:
        return [skipped(check, "NEON_API_KEY is not set, or the Neon settings are wrong") for check in CHECKS]
    try:
        transport = ReadOnlyTransport(proxy=egress_proxy(loop.neon_api_url, loop))
    except SettingsError:
        return [skipped(check, "the proxy on the way to Neon cannot be used") for check in CHECKS]
    try:
        client = NeonClient(
            loop.neon_api_url, loop.neon_api_key, timeout_seconds=loop.neon_timeout_seconds, transport=transport
        )
    except ValueError as error:
        do = "correct NEON_API_URL in the environment or in .env"
        return [failed(CHECKS[0], str(error), do), *(skipped(check, "no request can be sent") for check in CHECKS[1:])]
    await stack.enter_async_context(client)
    return await NeonChecks(loop, given.plane, checks.identity, client, transport).run()

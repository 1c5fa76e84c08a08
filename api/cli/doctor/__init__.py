"""``doctor``: checks settings, catalog, keys, clocks and the Neon key, and prints remedies. It changes nothing.

It reads the catalog in read-only transactions, and sends to Neon through a transport that allows only GET.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from pydantic import SecretStr

from api.cli.doctor.catalog import CatalogChecks
from api.cli.doctor.jwks import check_jwks
from api.cli.doctor.neon import CHECKS, NeonChecks
from api.cli.doctor.result import CheckResult, failed, skipped
from api.cli.doctor.settings import LoadedSettings, load_settings
from reconciler.catalog.database import Database
from reconciler.catalog.inspect import CatalogInspector
from reconciler.egress_proxy import egress_proxy
from reconciler.neon.client import NeonClient
from reconciler.neon.read_only import ReadOnlyTransport
from specs.settings import SettingsError


async def run_checks() -> list[CheckResult]:
    """Run all checks in order. Each problem is a result, never an exception."""
    loaded = load_settings()
    async with AsyncExitStack() as stack:
        urls = loaded.catalog
        catalog = await _opened(stack, "DATABASE_URL", None if urls is None else urls.database_url)
        direct_url = None if urls is None else urls.database_direct_url
        direct = await _opened(stack, "DATABASE_DIRECT_URL", direct_url)
        checks = CatalogChecks(loaded, catalog, direct)
        results = await checks.run()
        return [*loaded.results, *results, *await check_jwks(loaded.tokens), *await _neon(loaded, checks, stack)]


async def _opened(stack: AsyncExitStack, name: str, url: SecretStr | None) -> CatalogInspector | None:
    if url is None:
        return None
    database = Database(url.get_secret_value(), max_size=1, setting=name)
    await database.open()
    stack.push_async_callback(database.close)
    return CatalogInspector(database)


async def _neon(loaded: LoadedSettings, checks: CatalogChecks, stack: AsyncExitStack) -> list[CheckResult]:
    loop = loaded.loop
    if loop is None:
        return [skipped(check, "NEON_API_KEY is not set, or the Neon settings are not valid") for check in CHECKS]
    try:
        transport = ReadOnlyTransport(proxy=egress_proxy(loop.neon_api_url, loop))
    except SettingsError:
        return [skipped(check, "the egress proxy for Neon is not valid") for check in CHECKS]
    try:
        client = NeonClient(
            loop.neon_api_url, loop.neon_api_key, timeout_seconds=loop.neon_timeout_seconds, transport=transport
        )
    except ValueError as error:
        remedy = "correct NEON_API_URL in the environment or in .env"
        others = (skipped(check, "no request can be sent") for check in CHECKS[1:])
        return [failed(CHECKS[0], str(error), remedy), *others]
    await stack.enter_async_context(client)
    return await NeonChecks(loop, loaded.control_plane, checks.identity, client, transport).run()

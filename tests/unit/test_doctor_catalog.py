"""The doctor's check of the catalog's server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.cli.doctor.catalog import CatalogChecks
from api.cli.doctor.result import CheckStatus
from api.cli.doctor.settings import LoadedSettings
from reconciler.catalog.inspect import Server


@pytest.mark.parametrize(("major", "status"), [(14, CheckStatus.FAILED), (15, CheckStatus.OK)])
def test_reachable_server_below_the_documented_version_fails(major: int, status: CheckStatus) -> None:
    async def server() -> Server:
        return Server(f"{major}.1", major, is_writable=True, encoding="UTF8", clock_skew=zero, uncertainty=zero)

    zero = timedelta(0)
    catalog = cast("Any", SimpleNamespace(server=server))
    result = asyncio.run(CatalogChecks(LoadedSettings(), catalog, None).reachable(catalog))
    assert (result.status, "Postgres 15" in result.remedy) == (status, status is CheckStatus.FAILED)

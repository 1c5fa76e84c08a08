"""The walk over the real Neon: only with ``-m live``, a key, and the organization by name."""

from __future__ import annotations

import asyncio
import os

import pytest

from specs.settings import ControlPlaneSettings, NeonSettings, SettingsError
from tests.live.conftest import REPORT
from tests.live.context import Untold
from tests.live.report import Report
from tests.live.walk import context, walk
from tests.unit.test_shape import ROOT

pytestmark = pytest.mark.live
ORGANIZATION = "MORPHIK_LIVE_ORG_ID"


def opted_in() -> tuple[NeonSettings, str] | str:
    """The settings and the organization, or why the suite is skipped."""
    org_id = os.environ.get(ORGANIZATION)
    if not org_id:
        return f"{ORGANIZATION} names no organization in which a project may be made"
    try:
        settings = NeonSettings.load()
    except SettingsError as error:
        return str(error)
    if settings.neon_org_id not in {None, org_id}:
        return f"{ORGANIZATION} and NEON_ORG_ID name different organizations"
    return settings, org_id


def test_real_neon_does_as_the_table_says(request: pytest.FixtureRequest) -> None:
    """One project's whole life; the table at the end and in ``build/live.json``."""
    given = opted_in()
    if isinstance(given, str):
        pytest.skip(given)
    settings, org_id = given

    async def run() -> Report:
        async with context(
            settings.neon_api_url, settings.neon_api_key, org_id, ControlPlaneSettings.load().region
        ) as live:
            return await walk(live, settings.neon_api_url)

    try:
        report = asyncio.run(run())
    except Untold as error:
        pytest.fail(str(error), pytrace=False)
    request.config.stash[REPORT] = report
    report.write(ROOT / "build" / "live.json")
    assert report.left_behind == ""
    assert report.broken + report.missing == []
    assert report.mismatches() == [], "these rows of the table do not hold at Neon"

"""What ``doctor`` says about a key, an organization and its projects, from what Neon answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from api.cli.doctor.catalog import check_clock_skew
from api.cli.doctor.neon import NeonChecks
from api.cli.doctor.result import CheckResult, CheckStatus
from reconciler.catalog.inspect import Identity
from reconciler.errors import NeonOutcomeUnknown
from reconciler.neon.client import NeonClient
from reconciler.neon.read_only import ReadOnlyTransport
from specs.names import format_project_name
from specs.settings import ControlPlaneSettings, ReconcilerSettings

Json = dict[str, Any]
URL = "https://neon.example/api/v2"
AUTH: Json = {"account_id": "acc-1", "auth_method": "api_key_org"}
ORGANIZATIONS: Json = {"organizations": [{"id": "org-1", "name": "One", "plan": "launch_v3"}]}
REGIONS: Json = {"regions": [{"region_id": region} for region in ControlPlaneSettings().neon_regions]}
REFUSED_KIND: Json = {"code": "", "message": "not allowed for organization API keys"}
SCOPED = (404, {"code": "", "message": "not allowed to perform actions outside the project this key is scoped to"})


def _project(number: int, **changes: Any) -> Json:
    name = format_project_name("shop", f"{'abcdefghij'[number % 10]}" * 24)
    document = {"id": f"project-{number}", "name": name, "region_id": "aws-us-east-1", "pg_version": 17,
                "created_at": "2026-01-01T00:00:00Z", "proxy_host": "us-east-1.aws.neon.tech"}  # fmt: skip
    return document | changes


def _neon(**answers: Any) -> Callable[[httpx.Request], httpx.Response]:
    """Answers by the path's last word: a body, or a status and a body."""
    given: Json = {"auth": AUTH, "organizations": ORGANIZATIONS, "regions": REGIONS, "projects": []} | answers

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.method == "GET"
        found = given[request.url.path.rsplit("/", 1)[1]]
        status, body = found if isinstance(found, tuple) else (200, found)
        if isinstance(body, list):
            page = [] if "cursor" in request.url.params else body
            body = {"projects": page, "pagination": {"cursor": "end"}, "unavailable_project_ids": []}
        return httpx.Response(status, json=body, headers={"Date": format_datetime(datetime.now(UTC), usegmt=True)})

    return answer


def _checked(
    answer: Callable[[httpx.Request], httpx.Response],
    monkeypatch: pytest.MonkeyPatch,
    identity: Identity | None = None,
    **settings: Any,
) -> dict[str, CheckResult]:
    for name in ("NEON_API_KEY", "NEON_ORG_ID", "NEON_API_URL", "NEON_HOST_SUFFIXES"):
        monkeypatch.delenv(name, raising=False)
    loop = ReconcilerSettings.load(neon_api_key="napi_hidden", neon_api_url=URL, **settings)

    async def run() -> list[CheckResult]:
        transport = ReadOnlyTransport(httpx.MockTransport(answer))
        async with NeonClient(loop.neon_api_url, loop.neon_api_key, transport=transport) as client:
            return await NeonChecks(loop, ControlPlaneSettings.load(), identity, client, transport).run()

    lines = asyncio.run(run())
    assert "napi_hidden" not in str(lines)
    assert all(line.remedy for line in lines if line.status in {CheckStatus.FAILED, CheckStatus.WARNING})
    return {line.check: line for line in lines}


def _identity(**changes: Any) -> Identity:
    given: Json = {"catalog_id": "c", "org_id": "org-1", "neon_api_url": URL, "control_plane_id": "morphik",
                   "stop_reason": None, "projects": 0, "unused": False, "quarantined": False}  # fmt: skip
    return Identity(**(given | changes))


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    by_check = _checked(_neon(projects=[_project(1)]), monkeypatch, _identity(projects=1))
    assert {line.status for line in by_check.values()} == {CheckStatus.OK}, by_check
    assert "of 100 in the plan launch_v3" in by_check["projects"].message


@pytest.mark.parametrize(
    ("answers", "check", "status", "said"),
    [
        ({"auth": (401, {"code": "", "message": "bad key"})}, "key", CheckStatus.FAILED, "Neon rejects the key"),
        ({"auth": AUTH | {"auth_method": "api_key_user"}}, "key", CheckStatus.WARNING, "a personal key"),
        ({"auth": AUTH | {"auth_method": "something_new"}}, "key", CheckStatus.WARNING, "something_new"),
        ({"auth": (500, {})}, "key", CheckStatus.FAILED, "500"),
        ({"auth": (403, {"message": "Forbidden"})}, "key", CheckStatus.FAILED, "403: an intermediary answered"),
        (
            {"projects": [{"id": "odd-1"}]},
            "projects",
            CheckStatus.WARNING,
            "1 in the organization, 0 with a name of this product; 1",
        ),
        ({"organizations": SCOPED}, "organization", CheckStatus.FAILED, "for one project only"),
        ({"organizations": {"organizations": []}}, "organization", CheckStatus.FAILED, "the key sees none"),
        ({"projects": SCOPED}, "projects", CheckStatus.FAILED, "for one project only"),
        ({"projects": [_project(n) for n in range(90)]}, "projects", CheckStatus.WARNING, "has 100"),
        ({"regions": (404, REFUSED_KIND)}, "regions", CheckStatus.SKIPPED, "kind"),
        ({"regions": {"regions": [{"region_id": "aws-us-east-1"}]}}, "regions", CheckStatus.FAILED, "aws-us-east-2"),
        ({"projects": [_project(1, proxy_host="evil.example")]}, "database hosts", CheckStatus.FAILED, "evil.example"),
        ({"projects": []}, "database hosts", CheckStatus.SKIPPED, "no project"),
    ],
)
def test_what_neon_says_is_judged(
    answers: Json, check: str, status: CheckStatus, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = _checked(_neon(**answers), monkeypatch, _identity())[check]
    assert line.status is status, line
    assert said in line.message


def test_after_a_refused_key_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    by_check = _checked(_neon(auth=(401, REFUSED_KIND)), monkeypatch, _identity())
    assert [line.status for line in by_check.values()].count(CheckStatus.SKIPPED) == 5
    assert by_check["Neon's clock"].status is CheckStatus.OK


@pytest.mark.parametrize(
    ("organizations", "settings", "said"),
    [
        (["org-1", "org-2"], {}, "org-1, org-2"),
        (["org-2"], {"neon_org_id": "org-1"}, "does not see NEON_ORG_ID org-1"),
    ],
)
def test_a_wrong_organization_is_said_plainly(
    organizations: list[str], settings: Json, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = _neon(organizations={"organizations": [{"id": each} for each in organizations]})
    by_check = _checked(answer, monkeypatch, _identity(), **settings)
    assert by_check["organization"].status is CheckStatus.FAILED
    assert said in by_check["organization"].message
    assert by_check["projects"].status is CheckStatus.SKIPPED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"org_id": "org-0"}, "NEON_ORG_ID"),
        ({"neon_api_url": "https://other"}, "NEON_API_URL"),
        ({"control_plane_id": "other"}, "CONTROL_PLANE_ID"),
    ],
)
def test_what_the_catalog_works_with_is_compared(changes: Json, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = _checked(_neon(), monkeypatch, _identity(**changes))["binding"]
    assert (line.status, said in line.message) == (CheckStatus.FAILED, True)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, CheckStatus.FAILED),
        ({"unused": True}, CheckStatus.FAILED),
        ({"unused": True, "quarantined": True}, CheckStatus.WARNING),
    ],
)
def test_pins_unused_catalog_in_doubt_takes_another_plane(
    changes: Json, status: CheckStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = _checked(_neon(), monkeypatch, _identity(control_plane_id="former", **changes))["binding"]
    assert (line.status, "former" in line.message) == (status, True)


@pytest.mark.parametrize(("projects", "status"), [([], CheckStatus.OK), ([1], CheckStatus.WARNING)])
def test_projects_unused_catalog_warns_of_look_alikes(
    projects: list[int], status: CheckStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [_project(number) for number in projects]
    line = _checked(_neon(projects=found), monkeypatch, _identity(unused=True))["projects"]
    assert (line.status, "CONTROL_PLANE_ID" in str(line.remedy)) == (status, status is CheckStatus.WARNING)


def test_a_catalog_that_knows_more_projects_than_the_list_shows_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    line = _checked(_neon(projects=[_project(1)]), monkeypatch, _identity(projects=7))["projects"]
    assert (line.status, "recorded 7" in line.message) == (CheckStatus.WARNING, True)


def test_a_reading_client_sends_nothing_but_get() -> None:
    """Whatever is called, a request that could change something does not leave."""
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        return httpx.Response(200, json={})

    async def run() -> None:
        async with NeonClient(URL, "k", transport=ReadOnlyTransport(httpx.MockTransport(answer))) as client:
            with pytest.raises(NeonOutcomeUnknown):
                await client.delete_project("project-1")

    asyncio.run(run())
    assert sent == []


@pytest.mark.parametrize(
    ("seconds", "uncertain", "status"),
    [
        (0, 0, CheckStatus.OK),
        (1.9, 0, CheckStatus.OK),
        (-5, 0, CheckStatus.WARNING),
        (5, 4, CheckStatus.OK),
        (31, 0, CheckStatus.FAILED),
        (-31, 2, CheckStatus.WARNING),
    ],
)
def test_a_clock_is_judged_by_what_is_certain(seconds: float, uncertain: float, status: CheckStatus) -> None:
    line = check_clock_skew("clock", timedelta(seconds=seconds), timedelta(seconds=uncertain))
    assert line.status is status


def test_neons_clock_is_read_from_its_date() -> None:
    """An hour behind is an hour behind, to about a second."""

    def answer(_request: httpx.Request) -> httpx.Response:
        past = datetime.now(UTC) - timedelta(hours=1)
        return httpx.Response(200, headers={"Date": format_datetime(past, usegmt=True)})

    async def run() -> timedelta | None:
        transport = ReadOnlyTransport(httpx.MockTransport(answer))
        await transport.handle_async_request(httpx.Request("GET", URL))
        return transport.ahead

    ahead = asyncio.run(run())
    assert ahead is not None
    assert abs(ahead + timedelta(hours=1)) < timedelta(minutes=1)

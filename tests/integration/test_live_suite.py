"""The suite for the real Neon over local Neon: it can tell, and local Neon does as its table says."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from reconciler.local.behaviors import behaviors
from reconciler.local.errors import ApiError
from reconciler.local.options import LocalNeonOptions
from reconciler.local.routes.routing import match_route
from reconciler.local.state.account_state import AccountState
from reconciler.local.state.models import Project
from tests.integration.served_neon import served_neon
from tests.live.context import Untold
from tests.live.registry import Entry, Phase, Verdict, entries
from tests.live.report import Report
from tests.live.test_live import ORGANIZATION, opted_in
from tests.live.untried import UNTRIED
from tests.live.walk import context, walk

OPTIONS = LocalNeonOptions(physical=True, operation_seconds=(0.01, 0.05))
REGION = "aws-us-east-1"


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for a Postgres that an unprivileged user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "postgres"


def _walked(home: Path, chosen: Iterable[Entry] | None = None) -> tuple[Report, list[tuple[str, str]]]:
    async def run() -> tuple[Report, list[tuple[str, str]]]:
        async with (
            served_neon(home, OPTIONS) as neon,
            context(neon.url, SecretStr("any"), OPTIONS.org_id, REGION, patience=20.0, pause=1.5, poll=0.05) as live,
        ):
            report = await walk(live, neon.url, chosen)
            left = await live.client.list_all_projects(org_id=OPTIONS.org_id)
            assert left.projects == (), "the suite left a project behind"
            return report, neon.arrived

    return asyncio.run(run())


def _is_served(method: str, route: str) -> bool:
    try:
        match_route(method, route)
    except ApiError:
        return False
    return True


def _chosen(*names: str) -> list[Entry]:
    return [entry for entry in entries() if entry.name in names]


def test_every_assumption_holds_at_local_neon(home: Path, tmp_path: Path) -> None:
    """The whole life, and every row that can be tried: ``agrees``. A row waits only where the route is not served."""
    report, arrived = _walked(home)
    assert report.broken == []
    assert [call for call in report.missing if _is_served(*call.split(" ", 1))] == []
    assert report.left_behind == ""
    assumed = {row.id: row for row in behaviors() if row.assumed}
    found = dict(report.verdicts())
    assert assumed.keys() <= found.keys()
    for row, finding in found.items():
        waits = row in assumed and assumed[row].call != "any" and not _is_served(*assumed[row].call.split(" ", 1))
        told = Verdict.UNTOLD if waits or row in UNTRIED else Verdict.AGREES
        assert finding.verdict is told, (row, finding)
    assert sum(method == "POST" and path.endswith("/projects") for method, path in arrived) == 2  # one is no JSON
    report.write(tmp_path / "live.json")
    written = json.loads((tmp_path / "live.json").read_text())
    assert {each["id"] for each in written["behaviors"]} == set(found)
    for text in (report.render(), json.dumps(written)):
        assert "npg_" not in text
        assert "postgresql://" not in text


def test_a_neon_that_does_otherwise_is_seen(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that lags behind differs from what the row says, and the row is named."""
    after: Callable[[AccountState, str | None], Iterator[Project]] = AccountState.projects_after
    asked = 0

    def lagging(account: AccountState, cursor: str | None) -> Iterator[Project]:
        nonlocal asked
        asked += 1
        return iter(()) if asked <= 2 else after(account, cursor)

    monkeypatch.setattr(AccountState, "projects_after", lagging)
    report, _ = _walked(home, _chosen("create", "new-project-listed-immediately"))
    [mismatches] = report.mismatches()
    assert mismatches.startswith("new-project-listed-immediately: search: missed")


def test_a_break_is_said_without_secrets_and_the_project_goes(home: Path) -> None:
    """Steps and observations that raise end neither the walk nor the deletion."""

    async def raising(_live: object) -> None:
        raise ValueError("npg_secret")

    async def untold(_live: object) -> None:
        raise Untold("nobody knows")

    report, arrived = _walked(
        home,
        [
            *_chosen("create"),
            Entry(Phase.WHOLE, "broken", step=raising),
            Entry(Phase.WHOLE, "unknown-path", observe=untold),  # type: ignore[arg-type]
        ],
    )
    assert report.broken == ["broken: ValueError"]
    assert report.findings["unknown-path"].verdict is Verdict.UNTOLD
    assert report.findings["unknown-path"].seen == "nobody knows"
    assert any(method == "DELETE" for method, _ in arrived)


def test_another_organization_than_the_key_sees_is_refused_before_anything_is_made(home: Path) -> None:
    """A key and an organization that do not belong together make no project."""

    async def run() -> list[tuple[str, str]]:
        async with served_neon(home, OPTIONS) as neon:
            with pytest.raises(Untold, match="does not see the organization"):
                async with context(neon.url, SecretStr("any"), "org-other", REGION):
                    pytest.fail("the walk began")
            return neon.arrived

    assert {method for method, _ in asyncio.run(run())} == {"GET"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ORGANIZATION),
        ({"NEON_API_KEY": "napi_x"}, ORGANIZATION),
        ({ORGANIZATION: "org-1"}, "NEON_API_KEY"),
        ({ORGANIZATION: "org-1", "NEON_API_KEY": "napi_x", "NEON_ORG_ID": "org-2"}, "NEON_ORG_ID"),
    ],
)
def test_without_an_explicit_opt_in_it_is_skipped_and_says_why(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A key alone makes no project, nor does an organization alone."""
    monkeypatch.chdir(tmp_path)
    for name in ("NEON_API_KEY", "NEON_API_URL", "NEON_ORG_ID", ORGANIZATION):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    why = opted_in()
    assert isinstance(why, str)
    assert said in why

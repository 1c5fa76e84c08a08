"""The judge finds each thing that must not be, and nothing where all is well."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.ownership import APP_ID, CONTROL_PLANE_ID, NONCE
from reconciler.local.options import LocalNeonOptions
from reconciler.local.protocol import Request
from reconciler.local.simulator import LocalNeon
from reconciler.local.state.models import Project
from specs.names import format_project_name
from tests.soak import judge
from tests.soak.clients import Wish
from tests.soak.schedule import SETTLE_SECONDS
from tests.soak.traffic import Arrival

APP = "a" * 24
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class _Case:
    """One app that is ready, with its project at Neon, as Neon, catalog and client know it."""

    def __init__(self) -> None:
        self.machine = LocalNeon(LocalNeonOptions(), 1)
        self.projects = self.machine._account.projects
        self.project = self.make("n-1")
        self.wish = Wish(0, "app 1", "app-1-first", APP)
        self.row: dict[str, Any] = {
            "app_id": APP, "app_name": "app 1", "status": "ready", "project_id": self.project.id, "deleted_at": None,
            "history_retention_seconds": 21600, "deleting": False, "rests": True,
        }  # fmt: skip

    def make(self, nonce: str) -> Project:
        """A project of the app."""
        asked = {
            "name": format_project_name("app 1", APP),
            "history_retention_seconds": 21600,
            "branch": {"annotations": {APP_ID: APP, NONCE: nonce, CONTROL_PLANE_ID: "morphik"}},
        }
        answer = self.machine.handle(Request("POST", "/projects", body={"project": asked}), 1000.0)
        assert isinstance(answer.body, dict)
        return self.projects[answer.body["project"]["id"]]

    def look(self, *brought_back: str) -> judge.Findings:
        """What the judge finds."""
        return judge.look([self.row], [], self.projects, [self.wish], brought_back)

    def end(self) -> None:
        """The app was deleted, as its owner asked."""
        self.wish.delete_sent_at, self.wish.deleted, self.project.deleted_at = 1500.0, True, 1600.0
        self.row |= {"deleting": True, "deleted_at": NOW, "status": "deleted"}

    def deleted(self, project: Project, at: float) -> list[str]:
        """What the judge says about a delete of a project."""
        seen = Arrival("daemon-1", at, at + 1, "DELETE", f"/projects/{project.id}", 200, "")
        return judge.wrong_deletes([self.row], [seen], self.projects, [self.wish], {project.id: 1700.0})


def test_nothing_is_found_where_all_is_well() -> None:
    """Neither of an app that is ready nor of one that is deleted."""
    case = _Case()
    assert not case.look(), case.look().text()
    case.end()
    assert not case.look(), case.look().text()


def test_a_second_live_project_is_doubled_and_leaked() -> None:
    """Until it is deleted."""
    case = _Case()
    second = case.make("n-2")
    assert len(case.look().doubled) == len(case.look().leaked) == 1
    assert judge.surpluses(case.projects.values()) == 1
    second.deleted_at = 2000.0
    assert not case.look()


def test_a_live_project_of_a_deleted_app_is_leaked_unless_a_person_brought_it_back() -> None:
    """What a person does is a person's."""
    case = _Case()
    case.end()
    case.project.deleted_at = None
    assert len(case.look().leaked) == 1
    assert not case.look(case.project.id)


def test_what_was_acknowledged_and_is_not_so_is_lost() -> None:
    """No row, no project, not ready, not deleted, deleted without a word, or not asked for."""
    case = _Case()
    for changes in ({"app_id": "b" * 24}, {"project_id": None}, {"status": "failed"}, {"deleting": True}):
        kept, case.row = case.row, case.row | changes
        assert case.look().lost, changes
        case.row = kept
    case.wish.deleted, case.wish.delete_sent_at = True, 1.0
    assert case.look().lost


@pytest.mark.parametrize("changes", [{"rests": False}, {"status": "updating"}, {"history_retention_seconds": 1}])
def test_what_has_still_to_happen_is_unsettled(changes: dict[str, Any]) -> None:
    """Work that is due, a status on the way, a difference that nobody has put back."""
    case = _Case()
    case.row |= changes
    assert case.look().unsettled


def test_a_delete_is_wrong_before_the_app_s_end_was_asked_for() -> None:
    """And after a person brought its project back; that of a surplus never is."""
    case = _Case()
    assert case.deleted(case.project, 1400.0)
    assert not case.deleted(case.make("n-2"), 1400.0)
    case.end()
    assert case.deleted(case.project, 1400.0)
    assert not case.deleted(case.project, 1550.0)
    assert case.deleted(case.project, 1750.0)


def test_a_create_that_was_sent_again_is_found() -> None:
    """By its nonce, whatever became of the projects; and a new one by its time."""
    case = _Case()
    assert not judge.copies(case.projects.values())
    case.make("n-1").deleted_at = 1.0
    assert judge.copies(case.projects.values())
    first = {"app_id": APP, "create_seq": 1, "sent_at": NOW}
    for seconds, found in ((SETTLE_SECONDS - 0.1, 1), (SETTLE_SECONDS, 0)):
        again = first | {"create_seq": 2, "sent_at": NOW + timedelta(seconds=seconds)}
        assert len(judge.hasty([first, again])) == found
        assert not judge.hasty([first, again | {"app_id": "b" * 24}])


def test_credentials_and_defects_are_found_in_logs(tmp_path: Path) -> None:
    """A password of Neon's form, a URI with one, a secret by itself, and a traceback."""
    log = tmp_path / "daemon.log"
    log.write_text("well postgresql://app@host/app\n")
    assert not judge.told_secrets([log], ["canary"], ["well"])
    assert not judge.defects([log])
    for text in ("npg_aB3dE6", "postgresql://app:word@host", "morphik://app:word@host", "the canary"):
        log.write_text(f"{text}\n")
        assert judge.told_secrets([log], ["canary"], [])
        assert judge.told_secrets([], ["canary"], [text])
    log.write_text("Traceback (most recent call last):\n")
    assert judge.defects([log])

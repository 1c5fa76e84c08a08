"""With one safeguard switched off the simulator must fail, or it would not have seen that it was there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.catalog.work import Lease
from reconciler.core import create, delete, find, surplus
from reconciler.core import effects as e
from reconciler.core.desired import project_to_create
from reconciler.core.effects import Steps
from reconciler.core.mark import made_by as made_by_nonce
from reconciler.core.snapshot import CreateIntent, Next, Plane, Snapshot
from reconciler.errors import NeonAPIError
from specs.metadata import AppMetadata
from specs.neon import BranchList, Project, ProjectListing
from tests.simulation.catalog import Catalog
from tests.simulation.matrix import SAMPLED
from tests.simulation.run import Failure, run
from tests.simulation.scenarios import SCENARIOS

MOST_RUNS = 700
Mutate = Callable[[pytest.MonkeyPatch], None]


def no_settle_wait(patch: pytest.MonkeyPatch) -> None:
    """Absence is believed at once."""
    patch.setattr(Snapshot, "settle", property(lambda _: timedelta(0)))


def nonce_not_checked(patch: pytest.MonkeyPatch) -> None:
    """The name alone proves a project ours."""

    def made_by(_b: BranchList, _a: AppMetadata, _p: object, intents: tuple[CreateIntent, ...]) -> CreateIntent | None:
        return replace(intents[0], state="absent") if intents else None

    patch.setattr(find, "made_by", made_by)
    patch.setattr(surplus, "made_by", made_by)
    patch.setattr(find, "_copied", lambda _found: None)
    copies_are_surplus(patch)


def copies_are_surplus(patch: pytest.MonkeyPatch) -> None:
    """A nonce proves a project ours however many carry it."""
    honest = made_by_nonce

    def made_by(
        branches: BranchList, app: AppMetadata, plane: Plane, intents: tuple[CreateIntent, ...]
    ) -> CreateIntent | None:
        made = honest(branches, app, plane, intents)
        return None if made is None else replace(made, state="absent")

    def copied(*_: object) -> Steps[bool]:
        yield from ()
        return False

    patch.setattr(surplus, "made_by", made_by)
    patch.setattr(surplus, "_copied", copied)


def no_fence(patch: pytest.MonkeyPatch) -> None:
    """The catalog takes every write."""
    patch.setattr(Catalog, "fenced", False)


def project_replaced(patch: pytest.MonkeyPatch) -> None:
    """The catalog does not compare before it sets, and does not fence."""
    no_fence(patch)
    patch.setattr(Catalog, "_is_free", lambda _self, _app: True)


def no_intent(patch: pytest.MonkeyPatch) -> None:
    """The create is sent first, and its intent written afterwards."""

    def send(s: Snapshot, org_id: str) -> Steps[Next]:
        yield e.Permit()
        intent = CreateIntent(1, 1, s.nonce, "open", s.now)
        made = yield e.CreateProject(project_to_create(s.app, s.plane, intent, org_id))
        opened = yield e.OpenIntent(s.nonce, None)
        yield create._recording(s, org_id, opened, made)
        return Next(1.0)

    patch.setattr(create, "_send", send)
    patch.setattr("tests.simulation.tasks.SEND_MARGIN_SECONDS", 1e9)


def delete_unproven(patch: pytest.MonkeyPatch) -> None:
    """What is recorded is deleted, whatever it is now."""

    def proven(_s: Snapshot, _org_id: str, _project: Project) -> Steps[bool]:
        yield from ()
        return True

    patch.setattr(delete, "_proven_ours", proven)


def surplus_unproven(patch: pytest.MonkeyPatch) -> None:
    """What bears the name is deleted."""

    def proven(_s: Snapshot, _org_id: str, _project: Project) -> Steps[bool]:
        yield from ()
        return True

    patch.setattr(surplus, "_proven_surplus", proven)


def partial_lists_believed(patch: pytest.MonkeyPatch) -> None:
    """What a partial list lacks is absent."""
    patch.setattr(ProjectListing, "complete", property(lambda _: True))


def held_up_create_sent(patch: pytest.MonkeyPatch) -> None:
    """A create is sent however long ago it was permitted."""
    patch.setattr("tests.simulation.tasks.SEND_MARGIN_SECONDS", 1e9)


def create_sent_again(patch: pytest.MonkeyPatch) -> None:
    """A lost answer is taken for a refusal."""
    patch.setattr(create, "NeonSafeToSendAgain", NeonAPIError)


def delete_does_not_stop_a_create(patch: pytest.MonkeyPatch) -> None:
    """The intent is opened for an app that is being deleted."""
    honest = Catalog.open_intent

    def open_intent(self: Catalog, lease: Lease, effect: e.OpenIntent) -> CreateIntent:
        app = self.rows[lease.app_id]
        self.rows[lease.app_id] = app.model_copy(update={"delete_requested_at": None})
        try:
            return honest(self, lease, effect)
        finally:
            self.rows[lease.app_id] = app

    patch.setattr(Catalog, "open_intent", open_intent)


MUTANTS: tuple[tuple[Mutate, str], ...] = (
    (no_settle_wait, "projects of .* are alive"),
    (nonce_not_checked, "no intent of it made it|not proven"),
    (copies_are_surplus, "not proven"),
    (no_fence, "stale writer"),
    (project_replaced, "stale writer|replaced"),
    (no_intent, "without a committed intent"),
    (delete_unproven, "not proven"),
    (surplus_unproven, "not proven"),
    (partial_lists_believed, "projects of .* are alive"),
    (held_up_create_sent, "too long after its intent"),
    (create_sent_again, "projects of .* are alive|2 projects"),
    (delete_does_not_stop_a_create, "delete was acknowledged before"),
)


def _runs() -> Iterator[tuple[int, str]]:
    for seed in range(2):
        yield from ((seed, scenario) for scenario in SCENARIOS if scenario not in SAMPLED)
    yield from ((seed, "mixed") for seed in range(MOST_RUNS))


@pytest.mark.parametrize(("mutate", "broken"), MUTANTS, ids=[each.__name__ for each, _ in MUTANTS])
def test_missing_safeguard_is_found(mutate: Mutate, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some run breaks the rule that the safeguard is there for."""
    mutate(monkeypatch)
    for count, (seed, scenario) in enumerate(_runs(), 1):
        try:
            run(seed, scenario)
        except Failure as failure:
            assert re.search(broken, failure.reason), str(failure)  # noqa: PT017 - the first one is enough
            print(f"{mutate.__name__}: run {count}")  # noqa: T201
            return
    pytest.fail(f"{MOST_RUNS} seeds did not find it")

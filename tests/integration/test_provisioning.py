"""``AppProvisioningService``: a URI that connects, or a precise reason why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from api.http.prefer_wait import ConvergenceWaiter
from api.provisioning import (
    AppCreator,
    AppProvisioningService,
    InvalidAppRequest,
    ProvisioningFailed,
    ProvisioningTimedOut,
    ProvisionResult,
)
from reconciler.catalog.apps import AppStore
from reconciler.catalog.encryption import DecryptionFailed
from reconciler.catalog.errors import LimitReached, NameTaken
from reconciler.catalog.limits import OwnerLimits
from specs.metadata import AppMetadata
from specs.settings import NEON_REGIONS, ControlPlaneSettings
from specs.status import AppStatus
from tests.catalogs import NEON_URI, SEALER, execute, make_ready, new_app_id, opened

Reconcile = Callable[[str], None]


def provision(
    url: str, *calls: tuple[str, str, str | None], reconcile: Reconcile, wait_seconds: float = 60
) -> list[ProvisionResult]:
    """Call the service once per element of ``calls``; ``reconcile`` plays the reconciler for every app it looks at."""

    async def run() -> list[ProvisionResult]:
        async with opened(url) as database:
            catalog = AppStore(database)

            async def statuses(app_ids: Iterable[str]) -> dict[str, AppMetadata]:
                ids = [*app_ids]
                for app_id in ids:
                    reconcile(app_id)
                return await catalog.get_many(ids)

            waiting = ConvergenceWaiter(statuses, poll_seconds=0.001)
            plane = ControlPlaneSettings.model_construct(neon_regions=NEON_REGIONS)
            provisioner = AppCreator(
                catalog, plane, limits=OwnerLimits(2, 4), new_app_id=new_app_id, notifier=lambda: None
            )
            service = AppProvisioningService(provisioner, catalog, SEALER, waiting, wait_seconds=wait_seconds)
            try:
                return [await service.provision_new_app(*call) for call in calls]
            finally:
                await waiting.close()

    return asyncio.run(run())


def nothing(_app_id: str) -> None:
    """A reconciler that does nothing."""


def test_it_returns_a_uri_and_again_the_same(catalog_url: str) -> None:
    call = ("alice", "notes", "aws-eu-west-2")
    first, second = provision(catalog_url, call, call, reconcile=lambda app_id: make_ready(catalog_url, app_id))
    assert first == second
    assert first.status is AppStatus.READY
    assert first.morphik_uri == NEON_URI.replace("postgresql", "morphik")
    assert "p%40ss" not in repr(first)


def test_when_the_time_is_over_it_names_the_app(catalog_url: str) -> None:
    with pytest.raises(ProvisioningTimedOut) as caught:
        provision(catalog_url, ("alice", "notes", None), reconcile=nothing, wait_seconds=0.01)
    [row] = execute(catalog_url, "SELECT app_id FROM app_metadata")
    assert (caught.value.app_id, caught.value.status) == (row["app_id"], AppStatus.PENDING)


@pytest.mark.parametrize("status", [AppStatus.FAILED, AppStatus.LOST])
def test_an_app_that_settles_without_a_uri_is_a_failure(catalog_url: str, status: AppStatus) -> None:
    def fail(app_id: str) -> None:
        execute(
            catalog_url,
            "UPDATE app_metadata SET status = %(status)s WHERE app_id = %(app_id)s",
            {"status": status.value, "app_id": app_id},
        )

    with pytest.raises(ProvisioningFailed) as caught:
        provision(catalog_url, ("alice", "notes", None), reconcile=fail)
    assert (caught.value.status, caught.value.reason) == (status, "Queued")


def test_an_app_that_somebody_deletes_meanwhile_is_a_failure(catalog_url: str) -> None:
    def delete(_app_id: str) -> None:
        execute(catalog_url, "UPDATE app_metadata SET delete_requested_at = now(), status = 'deleted'")

    with pytest.raises(ProvisioningFailed) as caught:
        provision(catalog_url, ("alice", "notes", None), reconcile=delete)
    assert caught.value.status is AppStatus.DELETED


def test_a_uri_that_no_key_opens_is_said_to_be_so(catalog_url: str) -> None:
    def ready_for_another(app_id: str) -> None:
        make_ready(catalog_url, app_id)
        execute(catalog_url, "UPDATE app_metadata SET project_id = 'another'")

    with pytest.raises(DecryptionFailed):
        provision(catalog_url, ("alice", "notes", None), reconcile=ready_for_another)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (("", "notes", None), "user_id"),
        (("alice", "", None), "app_name"),
        (("alice", "a\nb", None), "app_name"),
        (("alice", "\U0001d160" * 40, None), "app_name"),
        (("a\x00", "notes", None), "user_id"),
        (("a" * 256, "notes", None), "user_id"),
        (("alice", "notes", "mars-1"), "region"),
        (("alice", "notes", ""), "region"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_written(
    catalog_url: str, call: tuple[str, str, str | None], field: str
) -> None:
    with pytest.raises(InvalidAppRequest) as caught:
        provision(catalog_url, call, reconcile=nothing)
    assert caught.value.field == field
    assert execute(catalog_url, "SELECT app_id FROM app_metadata") == []


def test_names_and_limits_are_those_of_the_api(catalog_url: str) -> None:
    def ready(app_id: str) -> None:
        make_ready(catalog_url, app_id)

    with pytest.raises(NameTaken):
        provision(catalog_url, ("alice", "a", None), ("alice", "a", "aws-eu-west-2"), reconcile=ready)
    with pytest.raises(LimitReached):
        provision(catalog_url, ("alice", "b", None), ("alice", "c", None), reconcile=ready)

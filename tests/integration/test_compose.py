"""The service for Python callers, put together from settings alone."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from api.composition import provisioning_service
from api.provisioning import InvalidAppRequest, ProvisioningTimedOut
from reconciler.catalog.errors import NameTaken
from specs.settings import ApiSettings, CatalogSettings, ControlPlaneSettings, EncryptionSettings


async def _use(url: str) -> None:
    settings = (
        CatalogSettings(database_url=SecretStr(url)),
        EncryptionSettings.load(encryption_keys="A" * 43),
        ControlPlaneSettings.load(),
        ApiSettings.load(),
    )
    async with provisioning_service(*settings) as service:
        service._wait_seconds = 0.2
        with pytest.raises(ProvisioningTimedOut) as first:
            await service.provision_new_app("alice", "mine")
        with pytest.raises(ProvisioningTimedOut) as again:
            await service.provision_new_app("alice", "mine")
        assert first.value.app_id == again.value.app_id
        with pytest.raises(NameTaken):
            await service.provision_new_app("alice", "mine", "aws-eu-central-1")
        with pytest.raises(InvalidAppRequest):
            await service.provision_new_app("alice", "", None)


def test_without_a_reconciler_the_row_is_there_and_the_wait_ends_precisely(catalog_url: str) -> None:
    """The same call again finds the same app; nothing is half-done."""
    asyncio.run(_use(catalog_url))

"""Builds the API from its settings: the one place that chooses the concrete parts."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from api.app import create_app
from api.auth.revocations import TokenRevocations
from api.auth.tokens import TokenVerifier
from api.dependencies import Dependencies
from api.http.prefer_wait import ConvergenceWaiter
from api.provisioning import AppCreator, AppProvisioningService, owner_limits
from api.wakeup_notifier import WakeupNotifier
from reconciler.catalog.apps import AppStore
from reconciler.catalog.database import Database
from reconciler.catalog.encryption import Sealer
from reconciler.catalog.revocations import RevocationStore
from specs.names import app_id_from_bytes
from specs.settings import (
    ApiSettings,
    CatalogSettings,
    ControlPlaneSettings,
    EncryptionSettings,
    MetricsSettings,
    TokenSettings,
)


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The settings of ``serve``; none of them gives access to Neon."""

    catalog: CatalogSettings
    encryption: EncryptionSettings
    control_plane: ControlPlaneSettings
    tokens: TokenSettings
    http: ApiSettings
    metrics: MetricsSettings


def new_app_id() -> str:
    """Return an unused app id."""
    return app_id_from_bytes(secrets.token_bytes(15))


def build_app(settings: ServeSettings, registry: CollectorRegistry | None = None) -> tuple[Starlette, Database]:
    """Return the application, and the database that its server closes.

    ``registry`` contains further metrics of the process.
    """
    database = Database(settings.catalog.database_url.get_secret_value())
    dependencies = Dependencies(
        catalog=AppStore(database),
        database=database,
        sealer=Sealer(settings.encryption.keys()),
        tokens=TokenVerifier(settings.tokens),
        revocations=TokenRevocations(RevocationStore(database).minimums),
        control_plane=settings.control_plane,
        http=settings.http,
        new_app_id=new_app_id,
        metrics=settings.metrics,
        registry=CollectorRegistry() if registry is None else registry,
    )
    return create_app(dependencies), database


@asynccontextmanager
async def provisioning_service(
    catalog: CatalogSettings,
    encryption: EncryptionSettings,
    control_plane: ControlPlaneSettings,
    http: ApiSettings,
) -> AsyncIterator[AppProvisioningService]:
    """Yield the service for Python callers, with connections of its own to the catalog.

    ``async with provisioning_service(load_catalog_settings(), …) as service`` and then
    ``await service.provision_new_app(user_id, app_name)``.
    """
    database = Database(catalog.database_url.get_secret_value())
    apps = AppStore(database)
    waiter, notifier = ConvergenceWaiter(apps.get_many), WakeupNotifier(apps.notify)
    creator = AppCreator(apps, control_plane, limits=owner_limits(http), new_app_id=new_app_id, notifier=notifier)
    await database.open()
    try:
        yield AppProvisioningService(creator, apps, Sealer(encryption.keys()), waiter)
    finally:
        await waiter.close()
        await notifier.close()
        await database.close()

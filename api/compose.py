"""The API from its settings: the one place that knows which concrete parts it is made of."""

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
from api.context import ApiContext
from api.nudge import WakeupNotifier
from api.provisioning import AppCreator, AppProvisioningService, owner_limits
from api.waiting import Waiting
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
    """Every group that ``serve`` uses; none of them can touch Neon."""

    catalog: CatalogSettings
    seal: EncryptionSettings
    plane: ControlPlaneSettings
    tokens: TokenSettings
    http: ApiSettings
    metrics: MetricsSettings


def new_app_id() -> str:
    """An id that no app has."""
    return app_id_from_bytes(secrets.token_bytes(15))


def compose(settings: ServeSettings, registry: CollectorRegistry | None = None) -> tuple[Starlette, Database]:
    """The application, and the database that its server closes.

    ``registry`` holds what else the process measures, to be shown on ``/metrics`` too.
    """
    database = Database(settings.catalog.database_url.get_secret_value())
    context = ApiContext(
        catalog=AppStore(database),
        database=database,
        sealer=Sealer(settings.seal.keys()),
        tokens=TokenVerifier(settings.tokens),
        revocations=TokenRevocations(RevocationStore(database).minimums),
        plane=settings.plane,
        http=settings.http,
        new_app_id=new_app_id,
        metrics=settings.metrics,
        registry=CollectorRegistry() if registry is None else registry,
    )
    return create_app(context), database


@asynccontextmanager
async def provisioning_service(
    catalog: CatalogSettings, seal: EncryptionSettings, plane: ControlPlaneSettings, http: ApiSettings
) -> AsyncIterator[AppProvisioningService]:
    """The service for Python callers, over a catalog of its own connections.

    ``async with provisioning_service(load_catalog_settings(), …) as service`` and then
    ``await service.provision_new_app(user_id, app_name)``.
    """
    database = Database(catalog.database_url.get_secret_value())
    apps = AppStore(database)
    waiting, nudge = Waiting(apps.get_many), WakeupNotifier(apps.notify)
    provisioner = AppCreator(apps, plane, limits=owner_limits(http), new_app_id=new_app_id, nudge=nudge)
    await database.open()
    try:
        yield AppProvisioningService(provisioner, apps, Sealer(seal.keys()), waiting)
    finally:
        await waiting.close()
        await nudge.close()
        await database.close()

"""The API from its settings: the one place that knows which concrete parts it is made of."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from starlette.applications import Starlette

from api.app import create_app
from api.context import ApiContext
from api.tokens import TokenVerifier
from reconciler.catalog.apps import AppCatalog
from reconciler.catalog.database import Database
from reconciler.catalog.seal import Sealer
from specs.names import app_id_from_bytes
from specs.settings import CatalogSettings, HttpSettings, PlaneSettings, SealSettings, TokenSettings


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Every group that ``serve`` uses; none of them can touch Neon."""

    catalog: CatalogSettings
    seal: SealSettings
    plane: PlaneSettings
    tokens: TokenSettings
    http: HttpSettings


def new_app_id() -> str:
    """An id that no app has."""
    return app_id_from_bytes(secrets.token_bytes(15))


def compose(settings: ApiSettings) -> tuple[Starlette, Database]:
    """The application, and the database that its server closes."""
    database = Database(settings.catalog.database_url.get_secret_value())
    context = ApiContext(
        catalog=AppCatalog(database),
        database=database,
        sealer=Sealer(settings.seal.keys()),
        tokens=TokenVerifier(settings.tokens),
        plane=settings.plane,
        http=settings.http,
        new_app_id=new_app_id,
    )
    return create_app(context), database

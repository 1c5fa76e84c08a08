"""What the API is made from; whoever starts it knows the concrete things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from api.auth.revocations import TokenRevocations
from api.auth.tokens import TokenVerifier
from reconciler.catalog.apps import AppStore
from reconciler.catalog.database import Database
from reconciler.catalog.encryption import Sealer
from specs.settings import ApiSettings, ControlPlaneSettings, MetricsSettings


@dataclass(frozen=True, slots=True)
class ApiContext:
    """Everything that the routes use.

    Attributes:
        catalog: the apps.
        database: the catalog's connections; opened by the API, closed by whoever made it.
        sealer: opens URIs.
        tokens: checks tokens.
        revocations: refuses revoked tokens.
        plane: regions and defaults.
        http: limits and hosts.
        new_app_id: makes an unused app id.
        metrics: where ``/metrics`` is, and who may read it.
        registry: what the process measures; shown on ``/metrics``, with the API's own metrics added.
    """

    catalog: AppStore
    database: Database
    sealer: Sealer
    tokens: TokenVerifier
    revocations: TokenRevocations
    plane: ControlPlaneSettings
    http: ApiSettings
    new_app_id: Callable[[], str]
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

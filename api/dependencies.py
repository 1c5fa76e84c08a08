"""The parts that an application is built from."""

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
class Dependencies:
    """The parts that a caller of ``create_app`` provides.

    Attributes:
        catalog: the apps.
        database: the catalog's connections; the application opens them, and the caller closes them.
        sealer: decrypts URIs.
        tokens: verifies tokens.
        revocations: rejects revoked tokens.
        control_plane: regions and defaults.
        http: limits and hosts.
        new_app_id: returns an unused app id.
        metrics: where ``/metrics`` is, and its token.
        registry: the metrics of the process; the application adds its own.
    """

    catalog: AppStore
    database: Database
    sealer: Sealer
    tokens: TokenVerifier
    revocations: TokenRevocations
    control_plane: ControlPlaneSettings
    http: ApiSettings
    new_app_id: Callable[[], str]
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

"""The live parts that the endpoint handlers share. ``api.app`` builds them once per application."""

from __future__ import annotations

from dataclasses import dataclass

from api.auth.authorizer import Authorizer
from api.http.prefer_wait import ConvergenceWaiter
from api.metrics import MetricsEndpoint
from api.provisioning import AppCreator
from api.wakeup_notifier import WakeupNotifier
from reconciler.catalog.apps import AppStore
from reconciler.catalog.database import Database
from reconciler.catalog.encryption import Sealer


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that the handlers use.

    Attributes:
        apps: the apps in the catalog.
        creator: creates apps.
        database: the catalog's connections, for probes.
        sealer: decrypts URIs.
        authorizer: checks tokens.
        waiter: waits for convergence.
        notifier: wakes the workers after a commit.
        metrics: all metrics of the process.
        openapi: the OpenAPI document as JSON.
        docs: the reference page as HTML.
    """

    apps: AppStore
    creator: AppCreator
    database: Database
    sealer: Sealer
    authorizer: Authorizer
    waiter: ConvergenceWaiter
    notifier: WakeupNotifier
    metrics: MetricsEndpoint
    openapi: str
    docs: str

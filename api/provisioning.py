"""Creating an app: the core of ``POST /ee/apps``, and ``AppProvisioningService`` for Python callers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError

from api.app_uri import morphik_uri
from api.http.prefer_wait import MAX_WAIT_SECONDS, ConvergenceWaiter, is_converged
from reconciler.catalog.apps import AppStore, CreateResult
from reconciler.catalog.encryption import Sealer
from reconciler.catalog.limits import OwnerLimits
from reconciler.errors import ReconcileError
from specs.app import AppRequest, DesiredApp
from specs.metadata import AppMetadata
from specs.names import OWNER_LENGTH, is_owner_id
from specs.settings import ApiSettings, ControlPlaneSettings
from specs.status import AppStatus, ConditionType, find_condition


class ProvisioningError(ReconcileError):
    """Base: the call returned no URI."""


class InvalidAppRequest(ProvisioningError):
    """A field of the request is not valid. Nothing was written.

    Attributes:
        field: the invalid field.
        reason: why it is not valid.
    """

    def __init__(self, field_name: str, reason: str) -> None:
        self.field = field_name
        self.reason = reason
        super().__init__(f"{field_name}: {reason}")


class ProvisioningTimedOut(ProvisioningError):
    """The app exists and is not ready yet. The same call continues to wait.

    Attributes:
        app_id: the app.
        status: its status.
    """

    def __init__(self, app_id: str, status: AppStatus) -> None:
        self.app_id = app_id
        self.status = status
        super().__init__(f"app {app_id} is {status} and not ready yet; repeat the call to continue waiting")


class ProvisioningFailed(ProvisioningError):
    """The app has converged without a URI.

    Attributes:
        app_id: the app.
        status: failed, lost, deleting or deleted.
        reason: the condition's reason.
    """

    def __init__(self, app_id: str, status: AppStatus, reason: str, message: str) -> None:
        self.app_id = app_id
        self.status = status
        self.reason = reason
        super().__init__(f"app {app_id} is {status}: {reason}: {message}")


@dataclass(frozen=True, slots=True)
class ProvisionResult:
    """A ready app. ``repr`` hides the URI, which contains a password."""

    app_id: str
    morphik_uri: str = field(repr=False)
    status: AppStatus


def owner_limits(http: ApiSettings) -> OwnerLimits:
    """Return the limits of every owner."""
    return OwnerLimits(http.max_apps_per_owner, http.creates_per_owner_per_day)


class AppCreator:
    """Creates apps, for the API and for Python callers.

    Args:
        catalog: the apps.
        control_plane: regions and defaults.
        limits: of each owner.
        new_app_id: returns an unused id.
        notifier: called after a commit.
    """

    def __init__(
        self,
        catalog: AppStore,
        control_plane: ControlPlaneSettings,
        *,
        limits: OwnerLimits,
        new_app_id: Callable[[], str],
        notifier: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._control_plane = control_plane
        self._limits = limits
        self._new_app_id = new_app_id
        self._notifier = notifier

    async def create(
        self, owner_id: str, request: AppRequest, *, idempotency_key: str | None, request_id: str | None
    ) -> CreateResult:
        """Write the app's row, or find the row of an earlier identical request.

        A region that is not configured now may have been at the first request, so that request is searched first.

        Raises:
            InvalidAppRequest: the region is not configured, and no such app exists.
            NameTaken, LimitReached, CreateLimitReached, KeyLimitReached, IdempotencyKeyReused, CatalogUnavailable: see
                ``AppStore.create``.
        """
        provided = request.provided_fields()
        defaults = {"region": self._control_plane.region, "pg_version": self._control_plane.default_pg_version}
        desired = DesiredApp.model_validate(defaults | provided)
        fingerprint = request.fingerprint() if idempotency_key else None
        if desired.region not in self._control_plane.neon_regions:
            existing = await self._catalog.find(
                owner_id, desired, provided=provided, idempotency_key=idempotency_key, fingerprint=fingerprint
            )
            if existing is None:
                raise InvalidAppRequest("region", f"must be one of {', '.join(self._control_plane.neon_regions)}")
            return CreateResult(existing, created=False)
        result = await self._catalog.create(
            owner_id,
            desired,
            provided=provided,
            app_id=self._new_app_id(),
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            limits=self._limits,
            request_id=request_id,
        )
        if result.created:
            self._notifier()
        return result


class AppProvisioningService:
    """Returns the URI of an app by its name, and creates the app if it does not exist.

    Args:
        creator: writes the row.
        catalog: the apps.
        sealer: decrypts the URI.
        waiter: waits for convergence.
        wait_seconds: the maximum wait of ``provision_new_app``.
    """

    def __init__(
        self,
        creator: AppCreator,
        catalog: AppStore,
        sealer: Sealer,
        waiter: ConvergenceWaiter,
        *,
        wait_seconds: float = MAX_WAIT_SECONDS,
    ) -> None:
        self._creator = creator
        self._catalog = catalog
        self._sealer = sealer
        self._waiter = waiter
        self._wait_seconds = wait_seconds

    async def provision_new_app(self, user_id: str, app_name: str, region: str | None = None) -> ProvisionResult:
        """Create an app and wait until it is ready. A repeated call returns the same app.

        Args:
            user_id: the owner; 1 to 255 printable characters.
            app_name: 1 to 100 printable characters, unique among the owner's apps.
            region: a Neon region id, or None for the default.

        Raises:
            InvalidAppRequest: a value is not valid.
            NameTaken, LimitReached, CreateLimitReached: as for POST.
            ProvisioningTimedOut: the app exists and is not ready in time.
            ProvisioningFailed: the app converged without a URI.
            DecryptionFailed: no key decrypts the URI.
            CatalogUnavailable: the catalog did not respond; the call can be repeated safely.
        """
        if not is_owner_id(user_id):
            raise InvalidAppRequest("user_id", f"must have 1 to {OWNER_LENGTH} printable characters")
        try:
            request = AppRequest(app_name=app_name, region=region)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            message = str(first["msg"]).removeprefix("Value error, ")
            raise InvalidAppRequest(str(first["loc"][0]), message) from None
        result = await self._creator.create(user_id, request, idempotency_key=None, request_id=None)
        app = result.app
        if not is_converged(app):
            await self._waiter.until_converged(app.app_id, self._wait_seconds)
            current = await self._catalog.get(user_id, app.app_id)
            if current is None:
                raise ProvisioningFailed(app.app_id, AppStatus.DELETED, "Deleted", "the app was deleted")
            app = current
        return self._result(app)

    def _result(self, app: AppMetadata) -> ProvisionResult:
        uri = morphik_uri(app, self._sealer, "connection_uri") if app.can_expose_uri else None
        if uri is not None:
            return ProvisionResult(app.app_id, uri, app.status)
        if not is_converged(app) and app.delete_requested_at is None:
            raise ProvisioningTimedOut(app.app_id, app.status)
        synced = find_condition(app.conditions, ConditionType.SYNCED)
        condition = synced or find_condition(app.conditions, ConditionType.READY)
        if condition is None:
            raise ProvisioningFailed(app.app_id, app.status, "Unknown", "the app has no conditions")
        raise ProvisioningFailed(app.app_id, app.status, condition.reason, condition.message)

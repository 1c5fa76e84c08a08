"""The URIs that Neon returns for the app's role and database."""

from __future__ import annotations

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import build_status_update, record_if_changed, requeue_with_backoff
from reconciler.core.context import ConditionUpdate, ReconcileContext, Result
from reconciler.core.effects import EffectGenerator, GetConnectionURI, perform
from reconciler.core.host_allow_list import AddressNotAllowed, CheckedURI
from reconciler.errors import NeonNotFound, NeonPasswordsNotStored
from specs.status import Reason


def read_credentials(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Read the direct URI. Stores ``observed.uri``."""
    try:
        ctx.observed.uri = yield from read_uri(ctx, pooled=False)
    except (NeonNotFound, NeonPasswordsNotStored):
        text = "Neon has no credentials for the app's role and database. Operator action required."
        missing = ConditionUpdate("False", Reason.CREDENTIALS_MISSING, text)
        yield from record_if_changed(ctx, build_status_update(ctx, ready=missing))
        return Result(CAP_SECONDS, backoff=True)
    except AddressNotAllowed as error:
        return (yield from record_address_not_allowed(ctx, error))
    return None


def read_uri(ctx: ReconcileContext, *, pooled: bool) -> EffectGenerator[CheckedURI]:
    """Return Neon's URI; raises AddressNotAllowed."""
    observed, app = ctx.observed, ctx.app
    read = GetConnectionURI(observed.project.id, observed.branch.id, app.role, app.database, pooled=pooled)
    return CheckedURI((yield from perform(read)), ctx.address_rule)


def record_address_not_allowed(ctx: ReconcileContext, error: AddressNotAllowed) -> EffectGenerator[Result]:
    """Record the address's condition, publish nothing, and retry with backoff."""
    not_allowed = ConditionUpdate("False", Reason.HOST_NOT_ALLOWED, f"{error} Operator action required.")
    yield from record_if_changed(ctx, build_status_update(ctx, ready=not_allowed))
    return requeue_with_backoff(ctx)

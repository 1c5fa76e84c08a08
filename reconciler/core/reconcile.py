"""The stages of a reconcile, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from reconciler.core.conditions import record_error
from reconciler.core.context import Observed, ReconcileContext, Result
from reconciler.core.effects import EffectGenerator
from reconciler.core.stages.access import verify_access
from reconciler.core.stages.compute import ensure_compute
from reconciler.core.stages.connection import await_creation, verify_connection
from reconciler.core.stages.create import create
from reconciler.core.stages.credentials import read_credentials
from reconciler.core.stages.delete import delete
from reconciler.core.stages.duplicates import delete_duplicates
from reconciler.core.stages.hold import hold
from reconciler.core.stages.missing import observe_project
from reconciler.core.stages.settings import apply_settings
from reconciler.errors import CatalogUnavailable, LeaseLost, RateLimitExhausted, ReconcileError

Stage: TypeAlias = Callable[[ReconcileContext], EffectGenerator[Result | None]]
"""One step of a reconcile. It returns None if nothing is left to do in it, and the next stage runs."""

STAGES: tuple[Stage, ...] = (
    hold,  # Without a confirmed owner, and after a confirmed deletion, nothing is read or changed.
    delete,  # A delete ends every other work on the app.
    verify_access,  # A wrong key makes every response about the app meaningless.
    delete_duplicates,  # A late create's second project is billed even while the app itself cannot be repaired.
    create,  # All later stages need a project.
    await_creation,  # One request created everything, so a new app needs no further reads of Neon.
    observe_project,  # Recovers or reports a missing project; the stages below compare the one that it finds.
    apply_settings,  # Before the compute: a limit that Neon enforces may block its creation.
    ensure_compute,  # Neon returns a URI only for a branch with a compute.
    read_credentials,  # The connection is verified with the URI that Neon returns now.
    verify_connection,  # Publishes the URI, and only after a connection succeeded.
)

# A repair without a token of the rate limit is requeued after this time, and up to twice that.
RATE_LIMIT_REQUEUE_SECONDS = 2.0


def reconcile(ctx: ReconcileContext) -> EffectGenerator[Result]:
    """Observe one app, send at most one mutation, record, and return when to reconcile again.

    Raises:
        LeaseLost: another worker may hold the lease; nothing is recorded.
        CatalogUnavailable: nothing can be recorded now.
    """
    ctx = replace(ctx, observed=Observed())
    try:
        return (yield from _reconcile_app(ctx))
    except (LeaseLost, CatalogUnavailable):
        raise
    except RateLimitExhausted:
        # A wait for the rate limit is no condition of the app.
        return Result(RATE_LIMIT_REQUEUE_SECONDS * (1 + ctx.jitter), low_priority=True)
    except ReconcileError as error:
        return (yield from record_error(ctx, error))


def _reconcile_app(ctx: ReconcileContext) -> EffectGenerator[Result]:
    result: Result | None = None
    for stage in STAGES:
        result = yield from stage(ctx)
        if result is not None:
            break
    if result is None or result.requeue_after is None:
        return ctx.observed.duplicates or result or Result(None)
    return result

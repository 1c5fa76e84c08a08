"""Runs the core for one app: performs its effects one at a time, and returns their results to it."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any, TypeVar

from reconciler.catalog.work_queue import WorkItem
from reconciler.core import effects as e
from reconciler.core.context import ControlPlane, ReconcileContext, Result
from reconciler.core.poll_interval import AdaptivePollInterval
from reconciler.core.rate_limit import Priority
from reconciler.core.reconcile import reconcile
from reconciler.errors import CatalogUnverified, NeonAPIError, NeonNotFound, NeonPasswordsNotStored, ReconcileError
from reconciler.runtime.handlers import HANDLERS, READ_HANDLERS, Handlers, find_handler
from reconciler.runtime.handlers.session import Dependencies, ReadSession, Session
from specs.metadata import AppMetadata

S = TypeVar("S", bound=ReadSession)


class Reconciler:
    """Reconciles apps.

    Args:
        dependencies: what the effects need.
        control_plane: the inputs that all reconciles share.
    """

    def __init__(self, dependencies: Dependencies, control_plane: ControlPlane) -> None:
        self._dependencies = dependencies
        self._control_plane = control_plane
        self._poll_interval = AdaptivePollInterval()

    async def run(self, item: WorkItem) -> Result:
        """Reconcile a leased app.

        Raises:
            LeaseLost: another worker may hold the lease; nothing more was written.
            CatalogUnavailable: the catalog accepts no write now.
        """
        steps = reconcile(
            self._context(
                item.app,
                item.at,
                attempts=item.attempts,
                intents=item.intents,
                confirmed_missing=item.confirmed_missing,
                duplicate_ids=item.duplicate_ids,
            )
        )
        session = Session(self._dependencies, self._control_plane, item)
        try:
            effect = next(steps)
            while True:
                try:
                    result = await perform(HANDLERS, session, effect)
                except ReconcileError as error:
                    automatic = isinstance(effect, e.AuthorizeMutation) and effect.automatic
                    self._dependencies.recorder.on_error(error, budget=automatic)
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration as end:
            outcome: Result = end.value
            if outcome.create_seconds is not None:
                self._poll_interval = self._poll_interval.with_sample(outcome.create_seconds)
            return outcome
        finally:
            steps.close()

    async def has_drift(self, app: AppMetadata, now: datetime) -> bool:
        """Whether a reconcile would do more than read. Reads Neon, writes nothing and wakes no compute.

        Raises:
            ReconcileError: Neon's state could not be read.
        """
        steps = reconcile(self._context(app, now))
        session = ReadSession(self._dependencies, self._control_plane, app, Priority.RESYNC)
        try:
            effect = next(steps)
            while find_handler(READ_HANDLERS, type(effect)) is not None:
                try:
                    result = await perform(READ_HANDLERS, session, effect)
                except (NeonNotFound, NeonPasswordsNotStored) as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(result)
        except StopIteration:
            return False
        finally:
            steps.close()
        return True

    def _context(self, app: AppMetadata, now: datetime, *, attempts: int = 0, **known: Any) -> ReconcileContext:
        return ReconcileContext(
            app=app,
            control_plane=self._control_plane,
            now=now,
            attempts=attempts,
            jitter=secrets.randbelow(1 << 24) / (1 << 24),
            nonce=secrets.token_hex(16),
            poll_interval=self._poll_interval,
            **known,
        )


async def perform(handlers: Handlers[S], session: S, effect: e.Effect[Any]) -> Any:
    """Return the result of one effect.

    Raises:
        ReconcileError: for the core.
        TypeError: the effect has no handler.
    """
    handler = find_handler(handlers, type(effect))
    if handler is None:
        raise TypeError(f"no handler for {type(effect).__name__}")
    guard = session.dependencies.organization
    try:
        return await handler(session, effect)
    except NeonAPIError as error:
        guard.record_failure(error)
        raise
    except CatalogUnverified:
        guard.invalidate()
        raise

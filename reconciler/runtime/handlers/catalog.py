"""Handlers of the effects on the catalog: each is one statement, conditional on the lease's fencing token.

An authorization bounds how late its mutation may be sent. A create is sent within half a second, so that the settle
time that counts from the intent covers it. Any other mutation is sent within ``MUTATION_WINDOW_SECONDS``, and only
while the lease outlives the request's timeout.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from reconciler.core import effects as e
from reconciler.core.context import CreateIntent, Credentials
from reconciler.runtime.handlers.session import ReadSession, Session
from specs.settings import SEND_MARGIN_SECONDS

MUTATION_WINDOW_SECONDS: Final = 5.0
"""If Neon rejects a mutation for longer, the next reconcile observes again before it sends the mutation."""


async def decrypt_credentials(session: ReadSession, _effect: e.DecryptCredentials) -> Credentials | None:
    """Decrypt the app's recorded credentials; this reads nothing but the row of the session."""
    rule = session.control_plane.address_rule(session.app)
    return session.dependencies.status_store.decrypt_credentials(session.app, rule)


async def open_intent(session: Session, effect: e.OpenIntent) -> CreateIntent:
    """Commit the intent, which authorizes the create."""
    statement = partial(session.dependencies.status_store.open_intent, session.lease, effect)
    return await session.authorize(statement, SEND_MARGIN_SECONDS)


async def authorize_mutation(session: Session, effect: e.AuthorizeMutation) -> None:
    """Authorize any other mutation."""
    store = session.dependencies.status_store
    statement = partial(store.authorize_mutation, session.lease, automatic=effect.automatic)
    await session.authorize(statement, min(MUTATION_WINDOW_SECONDS, session.dependencies.send_within_seconds))


async def mark_intent_rejected(session: Session, effect: e.MarkIntentRejected) -> None:
    """Record that Neon rejected the create."""
    await session.dependencies.status_store.mark_intent_rejected(session.lease, effect.create_seq)


async def record_absence(session: Session, effect: e.RecordAbsence) -> None:
    """Record that a complete list did not contain the project."""
    store = session.dependencies.status_store
    await store.record_absence(session.lease, effect.create_seq, confirmed=effect.confirmed)


async def record_project(session: Session, effect: e.RecordProject) -> None:
    """Record the project and the update."""
    store, recorder = session.dependencies.status_store, session.recorder
    await store.record_project(session.lease, session.app, effect, recorder.request_id)
    recorder.on_recorded(effect)


async def record_credentials(session: Session, effect: e.RecordCredentials) -> None:
    """Encrypt and record the credentials and the update."""
    store, recorder = session.dependencies.status_store, session.recorder
    await store.record_credentials(session.lease, session.app, effect.credentials, effect.update, recorder.request_id)
    recorder.on_recorded(effect)


async def record_status(session: Session, effect: e.RecordStatus) -> None:
    """Record the update."""
    recorder = session.recorder
    await session.dependencies.status_store.record(session.lease, effect.update, recorder.request_id)
    recorder.on_recorded(effect)


async def dismiss_duplicate(session: Session, effect: e.DismissDuplicate) -> None:
    """Remove a project from the app's duplicates."""
    store = session.dependencies.status_store
    await store.dismiss_duplicate(session.lease, effect.project_id, report=effect.report)

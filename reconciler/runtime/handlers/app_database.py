"""Handlers of the effects on an app's database."""

from __future__ import annotations

from reconciler.core import effects as e
from reconciler.runtime.handlers.session import Session


async def probe_database(session: Session, effect: e.ProbeDatabase) -> None:
    """Connect and execute a statement. Raises AppDatabaseUnreachable."""
    await session.dependencies.probe(effect.uri)

"""Handlers of the effects on Neon."""

from __future__ import annotations

from typing import Any

from reconciler.core import effects as e
from reconciler.runtime.handlers.session import ReadSession, Session
from specs.neon import BranchList, ProjectListing


async def read(session: ReadSession, effect: e.Read[Any]) -> Any:
    """Send the effect's call."""
    return await session.client.send(effect.call())


async def mutate(session: Session, effect: e.Mutate[Any]) -> Any:
    """Send the effect's call under the authorization."""
    session.use_authorization(type(effect).__name__)
    with session.recorder.mutation(effect):
        response = await session.client.send(effect.call())
        session.recorder.on_mutated(response)
    return response


async def verify_access(session: ReadSession, effect: e.VerifyAccess) -> str:
    """Verify the key. Sets the session's organization."""
    guard = session.dependencies.organization
    session.org_id = await guard.verify(fresh=effect.fresh, exclude_app_id=session.app.app_id)
    return session.org_id


async def list_projects(session: ReadSession, effect: e.ListProjects) -> ProjectListing:
    """Read all pages of the verified organization's projects."""
    return await session.client.list_all_projects(
        org_id=session.org_id, search=effect.search, recoverable=effect.recoverable
    )


async def list_branches(session: ReadSession, effect: e.ListBranches) -> BranchList:
    """Read all pages of a project's branches."""
    return await session.client.list_branches(effect.project_id)

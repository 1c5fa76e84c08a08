"""One handler for each effect of the core: reads in ``READ_HANDLERS``, all of them in ``HANDLERS``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from reconciler.core import effects as e
from reconciler.runtime.handlers import app_database, catalog, neon
from reconciler.runtime.handlers.session import ReadSession, Session

S = TypeVar("S")
Handlers = Mapping[type[e.Effect[Any]], Callable[[S, Any], Awaitable[Any]]]

READ_HANDLERS: Final[Handlers[ReadSession]] = {
    e.Read: neon.read,
    e.VerifyAccess: neon.verify_access,
    e.ListProjects: neon.list_projects,
    e.ListBranches: neon.list_branches,
    e.DecryptCredentials: catalog.decrypt_credentials,
}
"""Effects that change nothing at Neon, in the catalog or in the app's database, and wake no compute."""

HANDLERS: Final[Handlers[Session]] = {
    **READ_HANDLERS,
    e.Mutate: neon.mutate,
    e.OpenIntent: catalog.open_intent,
    e.AuthorizeMutation: catalog.authorize_mutation,
    e.MarkIntentRejected: catalog.mark_intent_rejected,
    e.RecordAbsence: catalog.record_absence,
    e.RecordProject: catalog.record_project,
    e.RecordCredentials: catalog.record_credentials,
    e.RecordStatus: catalog.record_status,
    e.DismissDuplicate: catalog.dismiss_duplicate,
    e.ProbeDatabase: app_database.probe_database,
}


def find_handler(handlers: Handlers[S], kind: type[e.Effect[Any]]) -> Callable[[S, Any], Awaitable[Any]] | None:
    """Return the handler of an effect or of its nearest base class; None if there is none."""
    return next((handlers[base] for base in kind.__mro__ if base in handlers), None)

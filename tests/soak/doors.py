"""Every app's door at the end: its URI leads to its own database and data, and a deleted app has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from reconciler.local.postgres.commands import database_name
from reconciler.local.state.models import Project
from tests.processes.clients import for_psql
from tests.soak.clients import Clients, Wish
from tests.soak.console import app_of

_TRIES = 3


async def try_all(clients: Clients, projects: Mapping[str, Project]) -> tuple[int, list[str]]:
    """How many URIs were connected to, and what is wrong with the others."""
    databases = {
        app_of(project): {
            database_name(project.default_branch.storage_key, name) for name in project.default_branch.databases
        }
        for project in projects.values()
        if project.deleted_at is None
    }
    reached, wrong = 0, list[str]()
    for wish in clients.wishes:
        if wish.app_id is None:
            continue
        app = await _looked_up(clients, wish)
        if app is None:
            wrong.append(f"app {wish.app_id} cannot be read at the end")
        elif wish.delete_sent_at is None:
            problem = await _problem(wish, app["morphik_uri"], databases.get(wish.app_id, set()))
            wrong += [] if problem is None else [f"app {wish.app_id} {problem}"]
            reached += problem is None
    return reached, wrong


async def _looked_up(clients: Clients, wish: Wish) -> dict[str, Any] | None:
    """The app as its owner sees it; that it is what it must be is checked on the way."""
    for _ in range(_TRIES):
        app = await clients.look(wish)
        if app is not None:
            return app
    return None


async def _problem(wish: Wish, uri: str | None, databases: set[str]) -> str | None:
    if uri is None:
        return "has no URI at the end"
    try:
        async with await psycopg.AsyncConnection.connect(for_psql(uri), connect_timeout=10) as inside:
            [(database,)] = await (await inside.execute("SELECT current_database()")).fetchall()
            if database not in databases:
                return f"has the URI of {database}, which is not its project's"
            if wish.kept:
                found = await (await inside.execute("SELECT app_id FROM kept")).fetchall()
                return None if found == [(wish.app_id,)] else f"has other data than was put there: {found}"
    except psycopg.Error as error:
        return f"cannot be connected to: {type(error).__name__} {error.sqlstate}"
    return None

"""The walk: everything in its order, over one project that is deleted whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg
from pydantic import SecretStr

from reconciler.errors import NeonAPIError, NeonNotFound, NeonRejected, ReconcileError
from reconciler.neon.client import NeonClient
from reconciler.neon.protocol import CompletedRequest
from tests.live.context import Live, Untold
from tests.live.registry import Entry, Finding, Verdict, entries
from tests.live.report import Report

_REMOVE_SECONDS = 180.0


@asynccontextmanager
async def context(url: str, key: SecretStr, org_id: str, region: str, **figures: Any) -> AsyncIterator[Live]:
    """A context over an API that knows the organization.

    Raises:
        Untold: the key does not see the organization; nothing was made.
        NeonAPIError: Neon did not say.
    """
    done: set[tuple[str, str]] = set()

    def count(exchange: CompletedRequest) -> None:
        if exchange.outcome == "success":
            done.add((exchange.request.method, exchange.request.route))

    headers = {"Authorization": f"Bearer {key.get_secret_value()}", "Accept": "application/json"}
    async with (
        NeonClient(url, key, on_request=count) as client,
        httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as http,
    ):
        visible = [organization.id for organization in await client.list_organizations()]
        if org_id not in visible:
            raise Untold(f"the key does not see the organization {org_id}")
        yield Live(client, http, org_id, region, done=done, **figures)


async def walk(live: Live, url: str, chosen: Iterable[Entry] | None = None) -> Report:
    """Do all entries, or the chosen ones, and delete the project at the end. Only cancelling breaks it off."""
    report = Report(url)
    try:
        for entry in entries() if chosen is None else chosen:
            await _do(entry, live, report)
    finally:
        report.done = live.done
        report.left_behind = await _remove(live)
    return report


async def _do(entry: Entry, live: Live, report: Report) -> None:
    """One entry; what it raises becomes words that hold no secret."""
    try:
        if entry.step is not None:
            await entry.step(live)
        if entry.observe is not None:
            report.findings[entry.name] = await entry.observe(live)
    except (Untold, ReconcileError, AssertionError) as error:
        _note(entry, report, " ".join(str(error).split())[:300] or type(error).__name__)
    except (httpx.HTTPError, psycopg.Error, OSError, LookupError, TypeError, ValueError) as error:
        state = getattr(error, "sqlstate", None)
        _note(entry, report, f"{type(error).__name__}{f', SQLSTATE {state}' if state else ''}")


def _note(entry: Entry, report: Report, words: str) -> None:
    if entry.observe is not None:
        report.findings[entry.name] = Finding(Verdict.UNTOLD, words)
    else:
        report.broken.append(f"{entry.name}: {words}")


async def _remove(live: Live) -> str:
    """Delete every project that carries this walk's name; what is left, in words."""
    deadline, trouble = time.monotonic() + min(_REMOVE_SECONDS, live.patience), ""
    while time.monotonic() < deadline:
        try:
            left = await _delete_all(live)
        except (NeonAPIError, httpx.HTTPError) as error:
            trouble = str(error) if isinstance(error, NeonAPIError) else type(error).__name__
        else:
            if not left:
                return ""
            trouble = f"{', '.join(left)} still there"
        await asyncio.sleep(live.poll)
    return f"delete {live.name} in Neon's console, in the organization {live.org_id} ({trouble})"


async def _delete_all(live: Live) -> list[str]:
    """Send the deletes; the ids of what was there before them."""
    listing = await live.client.list_all_projects(org_id=live.org_id, search=live.name)
    found = {project.id for project in listing.projects if project.name == live.name}
    if live.created is not None:
        try:
            found.add((await live.client.get_project(live.created.project.id)).id)
        except NeonNotFound:
            found.discard(live.created.project.id)
    for project_id in found:
        try:
            await live.client.delete_project(project_id)
        except NeonRejected:
            branches = await live.client.list_branches(project_id)
            for branch in branches.branches:
                if branch.protected:
                    await live.client.update_branch(project_id, branch.id, protected=False)
    return sorted(found)

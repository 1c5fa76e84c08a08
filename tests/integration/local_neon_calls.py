"""What tests of local Neon with a real Postgres say often."""

from __future__ import annotations

import psycopg

from tests.integration.test_local_neon_postgres import Api, Json


def paths(made: Json) -> tuple[str, str]:
    """The paths of a project and of its default branch."""
    project = f"/projects/{made['project']['id']}"
    return project, f"{project}/branches/{made['branch']['id']}"


async def changed(api: Api, made: Json, method: str, path: str, body: object = None, status: int = 200) -> Json:
    """Send a change, and wait until its operations are over."""
    answer = await api.call(method, path, body, status)
    await api.settled(made["project"]["id"])
    return answer


def names(uri: str) -> dict[str, str]:
    """The parts of a URI."""
    return {key: str(value) for key, value in psycopg.conninfo.conninfo_to_dict(uri).items()}


async def ended(session: psycopg.AsyncConnection) -> bool:
    """Whether a connection was ended from the other side."""
    try:
        await session.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False

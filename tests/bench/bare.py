"""The least that can be compared: Starlette, psycopg and one statement for each request.

``python -m tests.bench.bare`` serves it; ``DATABASE_URL`` says where the table ``bare`` is made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.cli.process import fast_loop, listen, run_until_signal, serve

_TABLE = """
CREATE TABLE IF NOT EXISTS bare (
    id text PRIMARY KEY, owner text NOT NULL, name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now()
)
"""
_INSERT = "INSERT INTO bare (id, owner, name) VALUES (%(id)s, %(owner)s, %(name)s) RETURNING *"
_SELECT = "SELECT * FROM bare WHERE id = %(id)s"


def application(pool: AsyncConnectionPool[psycopg.AsyncConnection[dict[str, object]]]) -> Starlette:
    """One route that inserts a row, one that selects it."""

    async def create(request: Request) -> JSONResponse:
        asked = await request.json()
        async with pool.connection() as connection:
            row = await (await connection.execute(_INSERT, asked)).fetchone()
        return JSONResponse(_document(row), status_code=201)

    async def get(request: Request) -> JSONResponse:
        async with pool.connection() as connection:
            row = await (await connection.execute(_SELECT, request.path_params)).fetchone()
        return JSONResponse(_document(row))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await pool.open()
        async with pool.connection() as connection:
            await connection.execute(_TABLE)
        try:
            yield
        finally:
            await pool.close()

    routes = [Route("/bare", create, methods=["POST"]), Route("/bare/{id}", get)]
    return Starlette(routes=routes, lifespan=lifespan)


def _document(row: dict[str, object] | None) -> dict[str, object]:
    return {} if row is None else row | {"created_at": str(row["created_at"])}


def main() -> None:
    """Serve until a signal."""

    async def run() -> None:
        # The pool is the catalog's in size and in what it asks of a server: no prepared statements.
        pool: AsyncConnectionPool[psycopg.AsyncConnection[dict[str, object]]] = AsyncConnectionPool(
            os.environ["DATABASE_URL"],
            kwargs={"autocommit": True, "row_factory": dict_row, "prepare_threshold": None},
            min_size=0,
            max_size=10,
            open=False,
        )
        with listen("127.0.0.1", 0) as listener:
            sys.stderr.write(f"serving http://127.0.0.1:{listener.getsockname()[1]}\n")
            await serve(application(pool), listener)

    run_until_signal(run, new_loop=fast_loop)


if __name__ == "__main__":
    main()

"""The catalog's named statements: which there are, and which of them run."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, Self

from reconciler.catalog import database
from reconciler.catalog.statements import load

_NAMED = re.compile(r"/\* (\w+\.\w+) \*/")

Run = Callable[[], Awaitable[Any]]
Tap = Callable[["TappedConnection", str, Run], Awaitable[Any]]
"""Stands between the catalog and the server: given the connection, the statement's name and what carries it out."""


def files() -> list[str]:
    """The names of the catalog's ``.sql`` files."""
    found = resources.files("reconciler.catalog").iterdir()
    return sorted(each.name.removesuffix(".sql") for each in found if each.name.endswith(".sql"))


def statements(*sources: str) -> list[str]:
    """All statements of these files, as ``file.name``, in the files' order."""
    return [f"{source}.{name}" for source in sources or files() for name in load(source)]


class TappedCursor(database._Cursor):
    """A cursor whose named statements go through the connection's tap."""

    async def execute(self, query: Any, *arguments: Any, **options: Any) -> Self:
        """Carry a statement out, as the tap lets it."""
        run = super().execute
        named = _NAMED.match(query) if isinstance(query, str) else None
        connection = self.connection
        if named is None or not isinstance(connection, TappedConnection):
            await run(query, *arguments, **options)
        else:
            await connection.tap(connection, named[1], lambda: run(query, *arguments, **options))
            connection.fetched = False
        return self


class TappedConnection(database.Connection):
    """A connection of the catalog's pool whose named statements can be watched and spoilt.

    Attributes:
        fetched: whether it was fetched from the pool and no named statement ran since.
        committed: called once behind the next commit.
    """

    tap: Tap
    fetched = False
    committed: Run | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = TappedCursor

    @asynccontextmanager
    async def block(self) -> AsyncIterator[None]:
        """A transaction, and what is to happen behind its commit."""
        async with super().block():
            yield
        behind, self.committed = self.committed, None
        if behind is not None:
            await behind()


async def checked(connection: database.Connection) -> None:
    """What the pool does with a connection that it hands out."""
    await _check(connection)
    if isinstance(connection, TappedConnection):
        connection.fetched = True


_check = database._check


def tapped(tap: Tap) -> type[TappedConnection]:
    """The class of connections with this tap; it goes where ``reconciler.catalog.database.Connection`` is."""
    return type("Tapped", (TappedConnection,), {"tap": staticmethod(tap)})

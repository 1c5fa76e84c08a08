"""What tests share: one Postgres for the session, and a catalog of its own for whoever asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.environment import environment
from tests.postgres import TestServer, running_server

pytest_plugins = ("tests.conformance.plugin",)


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestServer]:
    """The session's Postgres."""
    with running_server() as server, environment(server.url):
        yield server


@pytest.fixture
def catalog_url(postgres: TestServer) -> Iterator[str]:
    """The address of a fresh, migrated catalog."""
    name = postgres.create_database(postgres.migrated_template())
    yield postgres.dsn(name)
    postgres.drop_database(name)


@pytest.fixture
def empty_database_url(postgres: TestServer) -> Iterator[str]:
    """The address of a database with nothing in it."""
    name = postgres.create_database()
    yield postgres.dsn(name)
    postgres.drop_database(name)

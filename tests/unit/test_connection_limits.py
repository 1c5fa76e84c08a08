"""How many connections a process takes, and how long an idle one may stay."""

from __future__ import annotations

import resource

import pytest
from starlette.applications import Starlette

from api.cli.server import GracefulServer
from api.connections.pool import Connections, connection_limit
from specs.settings import ConnectionSettings


@pytest.mark.parametrize(("descriptors", "limit"), [(64, 32), (256, 128), (1024, 768), (20_000, 10_000)])
def test_connection_limit_leaves_descriptors_for_the_rest(descriptors: int, limit: int) -> None:
    assert connection_limit(descriptors) == limit


def test_settings_give_the_limit_and_the_keep_alive_timeout() -> None:
    """The soft limit on descriptors is raised to the hard one; a setting can only lower the limit that follows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        allowed = Connections.of(ConnectionSettings.model_construct())
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
        assert allowed.limit == connection_limit(hard)
        assert Connections.of(ConnectionSettings.model_construct(max_connections=7)).limit == 7
        assert Connections.of(ConnectionSettings.model_construct(max_connections=10**9)).limit == allowed.limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (allowed.keep_alive_seconds, Connections().keep_alive_seconds) == (75, 75)
    longer = Connections.of(ConnectionSettings.model_construct(keep_alive_seconds=620))
    server = GracefulServer(Starlette(), ready=None, release_waiters=_nothing, connections=longer)
    assert server.config.timeout_keep_alive == 620


async def _nothing() -> None:
    """No request waits of its own will."""

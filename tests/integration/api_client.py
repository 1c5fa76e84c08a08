"""The API over a real catalog, in process, for tests."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import Any

import httpx
import jwt
from pydantic import SecretStr

from api.app import create_app
from api.auth.revocations import TokenRevocations
from api.auth.tokens import TokenVerifier
from api.dependencies import Dependencies
from reconciler.catalog.apps import AppStore
from reconciler.catalog.database import Database
from reconciler.catalog.revocations import RevocationStore
from specs.settings import NEON_REGIONS, ApiSettings, ControlPlaneSettings, TokenSettings
from tests.catalogs import SEALER, new_app_id
from tests.described import acheck_response

SECRET = "k" * 32


def token(user: str = "alice", permissions: tuple[str, ...] = ("read", "write"), **changes: Any) -> str:
    """A token of a user, for ten minutes: none that is made while tests are collected lives until its test."""
    assert "PYTEST_CURRENT_TEST" in os.environ, "make a token in the test that sends it"
    claims = {"user_id": user, "permissions": [*permissions], "exp": int(time.time()) + 600} | changes
    return jwt.encode(claims, SECRET, algorithm="HS256")


def bearer(user: str = "alice", permissions: tuple[str, ...] = ("read", "write")) -> dict[str, str]:
    """The header with a token of a user."""
    return {"Authorization": f"Bearer {token(user, permissions)}"}


def api_context(url: str, **http: Any) -> Dependencies:
    """A context over the catalog at ``url``; ``http`` changes ApiSettings."""
    database = Database(url, timeout_seconds=2)
    return Dependencies(
        catalog=AppStore(database),
        database=database,
        sealer=SEALER,
        tokens=TokenVerifier(TokenSettings.model_construct(jwt_secret_key=SecretStr(SECRET))),
        revocations=TokenRevocations(RevocationStore(database).minimums),
        control_plane=ControlPlaneSettings.model_construct(neon_regions=NEON_REGIONS),
        http=ApiSettings.model_construct(**http),
        new_app_id=new_app_id,
    )


class ApiClient:
    """A client in a loop of its own; it sends alice's token unless told otherwise."""

    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient) -> None:
        self._runner = runner
        self._client = client

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send one request and wait for its answer."""
        return self._runner.run(self._client.request(method, path, **arguments))

    def anonymous(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Send one request without the token."""

        async def send() -> httpx.Response:
            request = self._client.build_request(method, path, **arguments)
            if "authorization" not in {name.lower() for name in arguments.get("headers", {})}:
                del request.headers["Authorization"]
            return await self._client.send(request)

        return self._runner.run(send())

    get = partialmethod(request, "GET")
    head = partialmethod(request, "HEAD")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    delete = partialmethod(request, "DELETE")


@contextmanager
def client_over(context: Dependencies) -> Iterator[ApiClient]:
    """A client of the API over a context."""
    app = create_app(context)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://api.test",
        headers=bearer(),
        event_hooks={"response": [acheck_response]},
    )
    lifespan = app.router.lifespan_context(app)
    with asyncio.Runner() as runner:
        runner.run(lifespan.__aenter__())
        try:
            yield ApiClient(runner, client)
        finally:
            runner.run(client.aclose())
            runner.run(lifespan.__aexit__(None, None, None))
            runner.run(context.database.close())

"""``make bench-http``: the API against a bare Starlette route that does one statement, side by side.

Same HTTP server, same pool size, same Postgres, same load; the two sides take turns, so that a slow spell of the
machine meets both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from pydantic import SecretStr

from api.auth.tokens import issue_token
from reconciler.catalog.migrate import migrate
from reconciler.local.postgres.embedded import EmbeddedPostgres
from specs.settings import TokenSettings
from tests.bench.load import Load, rate
from tests.bench.report import ROUNDS, Figure, publish
from tests.processes.running import Stage, settings, staged, url_of

CONNECTIONS = 16
LIMITS = {"MAX_APPS_PER_OWNER": "10000000", "REQUESTS_PER_MINUTE": "100000000"}
_names = count()


def _request(method: str, path: str, token: str | None, body: dict[str, str] | None = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: bench"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


class _Bench:
    """Both servers over one Postgres."""

    def __init__(self, stage: Stage, owners: int, seconds: float) -> None:
        product = stage.serve(**LIMITS)
        bare = stage.start_module("tests.bench.bare", "bare")
        self._product, self._bare = url_of(product), url_of(bare)
        self._seconds = seconds
        secret = TokenSettings.model_construct(jwt_secret_key=SecretStr(stage.environment["JWT_SECRET_KEY"]))
        self._tokens = [issue_token(secret, f"owner-{number}", ("read", "write"), 3600) for number in range(owners)]

    async def post(self) -> tuple[float, float]:
        """Creates per second: of the product, of the bare route."""

        def apps(number: int) -> Iterator[bytes]:
            token = self._tokens[number % len(self._tokens)]
            for name in _names:
                yield _request("POST", "/ee/apps", token, {"app_name": f"bench {name}"})

        def rows(number: int) -> Iterator[bytes]:
            for name in _names:
                row = {"id": f"row-{name}", "owner": f"owner-{number}", "name": f"bench {name}"}
                yield _request("POST", "/bare", None, row)

        return await self._rate(Load(self._product, apps, 201)), await self._rate(Load(self._bare, rows, 201))

    async def get(self) -> tuple[float, float]:
        """Reads of one app per second: of the product, of the bare route."""
        app_id = await self._created(self._product, "/ee/apps", {"app_name": "read"}, "app_id")
        row = {"id": f"read-{next(_names)}", "owner": "owner", "name": "read"}
        row_id = await self._created(self._bare, "/bare", row, "id")

        def app(_number: int) -> Iterator[bytes]:
            while True:
                yield _request("GET", f"/ee/apps/{app_id}", self._tokens[0])

        def bare(_number: int) -> Iterator[bytes]:
            while True:
                yield _request("GET", f"/bare/{row_id}", None)

        return await self._rate(Load(self._product, app, 200)), await self._rate(Load(self._bare, bare, 200))

    async def _rate(self, load: Load) -> float:
        return await rate(load, connections=CONNECTIONS, seconds=self._seconds)

    async def _created(self, url: str, path: str, body: dict[str, str], field: str) -> str:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(_request("POST", path, self._tokens[0], body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        document = json.loads(await reader.readexactly(length))
        writer.close()
        return str(document[field])


async def measure(rounds: int, owners: int, seconds: float) -> bool:
    """Run all rounds and publish; whether the bounds are kept."""
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedPostgres(Path(folder) / "postgres") as postgres:
            url = postgres.dsn("postgres")
            await asyncio.to_thread(migrate, url)
            with staged(settings(url)) as stage:
                bench = _Bench(stage, owners, seconds)
                posts, gets = [], []
                for _ in range(rounds):
                    posts.append(await bench.post())
                    gets.append(await bench.get())
    return publish(
        "http",
        [
            Figure("post_ratio", [ours / bare for ours, bare in posts], wanted=(">=", 0.6)),
            Figure("get_ratio", [ours / bare for ours, bare in gets], wanted=(">=", 0.6)),
            Figure("post_rate", [ours for ours, _ in posts], unit="1/s"),
            Figure("post_rate_bare", [bare for _, bare in posts], unit="1/s"),
            Figure("get_rate", [ours for ours, _ in gets], unit="1/s"),
            Figure("get_rate_bare", [bare for _, bare in gets], unit="1/s"),
        ],
    )


def main() -> int:
    """Measure; exit status 1 when a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.http", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--owners", type=int, default=CONNECTIONS, help="over how many owners the creates are spread")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each side is measured in a round")
    parsed = parser.parse_args()
    return 0 if asyncio.run(measure(parsed.rounds, parsed.owners, parsed.seconds)) else 1


if __name__ == "__main__":
    sys.exit(main())

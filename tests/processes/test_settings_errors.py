"""A wrong or missing setting stops the start with one line that names it; a command asks only for what it uses."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator

import pytest

from tests.processes.clients import api_of, rows
from tests.processes.running import Running, Stage, free_port, plain_environment, settings, staged, url_of

UNREACHABLE = "postgresql://somebody:secret-word@127.0.0.1:9/catalog"
# command, changes to a complete environment, the variable at fault
WRONG: list[tuple[str, dict[str, str | None], str]] = [
    ("migrate", {"DATABASE_URL": None}, "DATABASE_URL"),
    ("migrate", {"DATABASE_URL": "mysql://host/db"}, "DATABASE_URL"),
    ("serve", {"DATABASE_URL": None}, "DATABASE_URL"),
    ("serve", {"DATABASE_URL": "postgresql://[::"}, "DATABASE_URL"),
    ("serve", {"ENCRYPTION_KEYS": None}, "ENCRYPTION_KEYS"),
    ("serve", {"ENCRYPTION_KEYS": "secret-word"}, "ENCRYPTION_KEYS"),
    ("serve", {"JWT_SECRET_KEY": None}, "JWT_SECRET_KEY"),
    ("serve", {"JWT_SECRET_KEY": "secret-word"}, "JWT_SECRET_KEY"),
    ("serve", {"JWT_SECRET_KEY": "s" * 64}, "JWT_SECRET_KEY"),
    ("serve", {"DEFAULT_REGION": "the-moon"}, "DEFAULT_REGION"),
    ("serve", {"PORT": "70000"}, "PORT"),
    ("serve", {"TRUSTED_PROXIES": "everybody"}, "TRUSTED_PROXIES"),
    ("serve --reconcile", {"NEON_API_KEY": None}, "NEON_API_KEY"),
    ("reconcile", {"NEON_API_KEY": None}, "NEON_API_KEY"),
    ("reconcile", {"NEON_API_KEY": "secret word"}, "NEON_API_KEY"),
    ("reconcile", {"ENCRYPTION_KEYS": None}, "ENCRYPTION_KEYS"),
    ("reconcile", {"NEON_API_URL": "http://neon.example/api/v2"}, "NEON_API_URL"),
    ("reconcile", {"NEON_TIMEOUT_SECONDS": "3", "LEASE_SECONDS": "5"}, "NEON_TIMEOUT_SECONDS"),
    ("reconcile", {"SETTLE_SECONDS": "2"}, "SETTLE_SECONDS"),
    ("reconcile", {"RESYNC_SECONDS": "never"}, "RESYNC_SECONDS"),
    ("reconcile", {"CONTROL_PLANE_ID": "Not This One"}, "CONTROL_PLANE_ID"),
    ("local-neon", {"NEON_ORG_ID": "Not This One"}, "NEON_ORG_ID"),
    ("token --user alice", {"JWT_SECRET_KEY": None}, "JWT_SECRET_KEY"),
    ("dev", {"JWT_SECRET_KEY": "secret-word"}, "JWT_SECRET_KEY"),
    ("serve --port {port}", {"METRICS_PORT": "{port}"}, "METRICS_PORT"),
    ("reconcile --port {port}", {"METRICS_PORT": "{port}"}, "METRICS_PORT"),
    ("dev --port {port}", {"METRICS_PORT": "{port}"}, "METRICS_PORT"),
    ("resume", {"DATABASE_URL": None}, "DATABASE_URL"),
    ("owners revoke-tokens alice --below 1", {"DATABASE_URL": None}, "DATABASE_URL"),
]


@pytest.fixture(scope="module")
def refused() -> Iterator[list[Running]]:
    """All the commands of ``WRONG``, started two at a time, and ended by themselves."""
    with staged(settings(UNREACHABLE)) as stage:
        started: list[Running] = []
        for command, changes, _ in WRONG:
            port = free_port()
            named = {name: value and value.replace("{port}", str(port)) for name, value in changes.items()}
            started.append(stage.start(*command.replace("{port}", str(port)).split(), **named))
            for earlier in started[:-2]:
                earlier.code()
        yield started


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[f"{c} {name} {n}" for n, (c, _, name) in enumerate(WRONG)])
def test_one_line_names_what_is_wrong(refused: list[Running], number: int) -> None:
    """Exit code 1 and exactly one line on stderr, without the value, which may be a secret."""
    ran, (_, _, variable) = refused[number], WRONG[number]
    assert ran.code() == 1
    lines = ran.err.splitlines()
    assert len(lines) == 1, ran.err
    assert variable in lines[0]
    assert "secret" not in lines[0]


def test_a_catalog_that_is_not_there(tmp_path_factory: pytest.TempPathFactory) -> None:
    """``migrate`` and ``resume`` name setting and reason in one line, without the address's password."""
    with staged(settings(UNREACHABLE)) as stage:
        for ran in [stage.start(command) for command in ("migrate", "resume")]:
            assert ran.code(60) == 1
            assert len(ran.err.splitlines()) == 1, ran.err
            assert "DATABASE_URL" in ran.err
            assert "nothing listens" in ran.err
            assert "secret-word" not in ran.err


def test_a_port_that_is_taken(stage: Stage) -> None:
    """One line names the port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = stage.run("serve", "--port", port)
        assert ran.code() == 1
        assert len(ran.err.splitlines()) == 1, ran.err
        assert port in ran.err


def test_token_prints_a_token_and_nothing_else() -> None:
    """It needs no other setting than the secret."""
    with staged(plain_environment() | {"JWT_SECRET_KEY": "jk" * 21}) as stage:
        ran = stage.run("token", "--user", "alice", "--permission", "read")
        assert (ran.code(), ran.err) == (0, "")
        [line] = ran.out.splitlines()
        payload = line.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        assert claims["user_id"] == "alice"
        assert claims["permissions"] == ["read"]


def test_a_fresh_catalog_is_migrated_and_served_without_a_key_of_neon(empty_database_url: str) -> None:
    """``serve`` waits for ``migrate``, and needs no ``NEON_API_KEY``; ``migrate`` needs the address alone."""
    environment = settings(empty_database_url)
    del environment["NEON_API_KEY"], environment["NEON_API_URL"]
    with staged(environment) as stage:
        serving = stage.serve()
        api = api_of(stage, serving)
        assert api.http.get(f"{url_of(serving)}/healthz").status_code == 200
        assert api.http.get("/readyz").status_code == 503
        assert api.post("early").status_code == 503
        unset = dict.fromkeys(("JWT_SECRET_KEY", "ENCRYPTION_KEYS"))
        assert stage.run("migrate", **unset).out.startswith("applied ")
        assert stage.run("migrate", **unset).out == "the catalog is up to date\n"
        assert api.http.get("/readyz").status_code == 200
        app = api.create("early")
        assert app["status"] == "pending"
        assert rows(empty_database_url, "SELECT app_name FROM app_metadata") == [("early",)]
        assert serving.stop() == 0

"""Clients of the running processes: of the API, of local Neon behind everybody's back, and of the databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
from pydantic import SecretStr

from api.auth.tokens import issue_token
from specs.settings import TokenSettings
from tests.described import check_response
from tests.processes.running import Running, Stage, until, url_of

Document = dict[str, Any]
WAIT = {"Prefer": "wait=30"}


class Api:
    """The API as one owner sees it."""

    def __init__(self, stage: Stage, url: str, token: str) -> None:
        self.http = _client(stage, url, token)
        self.http.event_hooks = {"response": [check_response]}

    def post(self, name: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Ask for an app."""
        return self.http.post("/ee/apps", json={"app_name": name}, headers=headers)

    def create(self, name: str) -> Document:
        """Ask for a new app, without a wait."""
        answer = self.post(name)
        assert answer.status_code == 201, answer.text
        return document(answer)

    def get(self, app: Document) -> Document:
        """An app as it is now."""
        return document(self.http.get(f"/ee/apps/{app['app_id']}"))

    def delete(self, app: Document, headers: dict[str, str] | None = None) -> httpx.Response:
        """Ask for an app's end."""
        return self.http.delete(f"/ee/apps/{app['app_id']}", headers=headers)

    def until(self, app: Document, status: str) -> Document:
        """Wait until an app has a status."""
        last: Document = {}

        def look() -> bool:
            last.update(self.get(app))
            return bool(last["status"] == status)

        try:
            until(look, f"the app is {status}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it is {last['status']}: {last['conditions']}") from None
        return last

    def events(self, app: Document) -> list[Document]:
        """An app's history, newest first."""
        found: list[Document] = document(self.http.get(f"/ee/apps/{app['app_id']}/events"))["events"]
        return found

    def until_reason(self, app: Document, reason: str) -> str:
        """Wait until a condition of an app has a reason; its message."""

        def look() -> str:
            found = [c["message"] for c in self.get(app)["conditions"] if c["reason"] == reason]
            return str(found[0]) if found else ""

        return until(look, f"a condition says {reason}")

    def all(self, **query: str) -> list[Document]:
        """All of the owner's apps, page by page."""
        found: list[Document] = []
        cursor: str | None = None
        while True:
            asked = {"limit": "200", **query} | ({} if cursor is None else {"cursor": cursor})
            page = document(self.http.get("/ee/apps", params=asked))
            found += page["apps"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


class Neon:
    """Local Neon, as somebody with its console would use it."""

    def __init__(self, stage: Stage) -> None:
        self.http = _client(stage, stage.environment["NEON_API_URL"], stage.environment["NEON_API_KEY"])

    def call(self, method: str, path: str, body: Document | None = None) -> Document:
        """One call, repeated while Neon is busy with the project."""
        last: list[httpx.Response] = []

        def look() -> bool:
            last[:] = [self.http.request(method, path, json=body)]
            return last[0].status_code != 423

        until(look, f"{method} {path} is not locked")
        return document(last[0])

    def projects(self, *, recoverable: bool = False) -> list[Document]:
        """All projects, page by page to the empty one."""
        found: list[Document] = []
        cursor = ""
        while True:
            query = f"limit=100&recoverable={str(recoverable).lower()}" + (f"&cursor={cursor}" if cursor else "")
            page = self.call("GET", f"/projects?{query}")
            if not page["projects"]:
                return found
            found += page["projects"]
            cursor = page["pagination"]["cursor"]

    def project_of(self, app: Document) -> Document:
        """The one live project that carries an app's name."""
        [project] = [p for p in self.projects() if p["name"].endswith(app["app_id"])]
        return self.project(project["id"])

    def project(self, project_id: str) -> Document:
        """One project in full."""
        found: Document = self.call("GET", f"/projects/{project_id}")["project"]
        return found


def _client(stage: Stage, url: str, bearer: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {bearer}"}
    return stage.closing.enter_context(httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False))


def api_of(stage: Stage, serving: Running, user: str = "alice") -> Api:
    """A client of a running ``serve``, with a token for a user."""
    return client_of(stage, url_of(serving), user)


def client_of(stage: Stage, url: str, user: str = "alice") -> Api:
    """A client of whatever serves at an address, with a token for a user."""
    return Api(stage, url, token_for(stage, user))


def token_for(stage: Stage, user: str) -> str:
    """A token for a user, with `read` and `write`, valid for an hour."""
    secret = SecretStr(stage.environment["JWT_SECRET_KEY"])
    return issue_token(TokenSettings(jwt_secret_key=secret), user, ("read", "write"), 3600)


def document(answer: httpx.Response) -> Document:
    """A good answer's document."""
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    parsed: Document = answer.json()
    return parsed


def for_psql(uri: str, **parts: str) -> str:
    """A ``morphik://`` URI as Postgres clients read it, with another ``host:port`` or ``database`` if asked for."""
    found = re.fullmatch(r"morphik://(?P<login>[^@/]+)@(?P<address>[^/]+)/(?P<database>[^?]+)(?P<query>\?.*)?", uri)
    assert found is not None
    part = found.groupdict() | parts
    return f"postgresql://{part['login']}@{part['address']}/{part['database']}{part['query'] or ''}"


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    """A connection in autocommit."""
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        yield connection


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What one statement returns."""
    with connected(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def for_operators(stage: Stage, app: Document) -> str:
    """What the conditions of an app say to operators, which the API does not show."""
    asked = f"""SELECT string_agg(c->>'operator_message', ' ') FROM app_metadata, jsonb_array_elements(conditions) AS c
                WHERE app_id = '{app["app_id"]}'"""
    [(text,)] = rows(stage.catalog_url, asked)
    return str(text)


def connects(url: str) -> bool:
    """Whether a client gets in."""
    try:
        with connected(url):
            return True
    except psycopg.OperationalError:
        return False


def keep(app: Document, text: str) -> None:
    """Put a text into an app's database."""
    rows(for_psql(app["morphik_uri"]), f"CREATE TABLE kept AS SELECT '{text}' AS text")


def kept(app: Document) -> str:
    """The text that ``keep`` put there."""
    [(text,)] = rows(for_psql(app["morphik_uri"]), "SELECT text FROM kept")
    return str(text)

"""SIGTERM under load, to each of the three commands: what was accepted is answered, and no lease is left behind.

Clients ask as fast as they can, over connections that they keep and over one for each request, while Neon is slow and
refuses. A request may stay without an answer only if its connection was made after the signal, and then it did nothing.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from tests.processes.clients import api_of, rows
from tests.processes.proxy import Refusal, proxied
from tests.processes.running import Running, Stage, until, url_of

WITHIN_SECONDS = 10.0
UNLIMITED = {"MAX_APPS_PER_OWNER": "1000000", "REQUESTS_PER_MINUTE": "1000000"}
# Longer than the test: what is given back was given back, and did not expire.
LONG = {"LEASE_SECONDS": "120", "NEON_TIMEOUT_SECONDS": "20", "SETTLE_SECONDS": "21"}
HELD = """SELECT lease_holder FROM app_work WHERE lease_holder IS NOT NULL OR lease_expires_at IS NOT NULL
          UNION ALL
          SELECT lease_holder FROM periodic_jobs WHERE lease_holder IS NOT NULL OR lease_expires_at IS NOT NULL"""


@dataclass
class Asked:
    """A request that was sent, and what came of it.

    Attributes:
        name: of the app that it asks for; empty for a GET.
        connected_at: when its connection was made, ``time.monotonic()``.
        status: of the answer; None when there was none, or not the whole of it.
    """

    name: str
    connected_at: float
    status: int | None = None


@dataclass
class Load:
    """Clients that ask until nobody listens any more.

    Attributes:
        url: the API's.
        token: one that may read and write.
        asked: all that was asked.
    """

    url: str
    token: str
    asked: list[Asked] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start all clients: keeping connections, making new ones, and waiting for apps that do not come."""
        for number in range(4):
            self._begin(f"keeping {number}", keep=True, prefer=None)
            self._begin(f"new {number}", keep=False, prefer=None)
        for number in range(3):
            self._begin(f"waiting {number}", keep=True, prefer="wait=60")

    def finish(self) -> None:
        """Wait for the clients' end; the listener's end is theirs."""
        self.over.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), f"{thread.name} still waits for an answer"

    def _begin(self, who: str, *, keep: bool, prefer: str | None) -> None:
        thread = threading.Thread(target=self._run, args=(who, keep, prefer), name=who, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, who: str, keep: bool, prefer: str | None) -> None:
        chance, number = random.Random(who), 0
        while not self.over.is_set():
            connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
            try:
                connection.connect()
            except OSError:
                return
            connected_at = time.monotonic()
            goes_on = True
            while goes_on and not self.over.is_set():
                number += 1
                asked = Asked("" if number % 3 == 0 and prefer is None else f"{who} {number}", connected_at)
                self.asked.append(asked)
                goes_on = self._ask(connection, asked, prefer) and keep
                time.sleep(chance.uniform(0, 0.03))
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection, asked: Asked, prefer: str | None) -> bool:
        """Ask; whether the connection may be used again."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        headers |= {} if prefer is None else {"Prefer": prefer}
        try:
            if asked.name:
                connection.request("POST", "/ee/apps", json.dumps({"app_name": asked.name}), headers)
            else:
                connection.request("GET", "/ee/apps?limit=2", headers=headers)
            answer = connection.getresponse()
            json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return False
        asked.status = answer.status
        return not answer.will_close


@pytest.fixture
def slow_neon(stage: Stage) -> Iterator[dict[str, str]]:
    """Where a Neon is that refuses every change after a while, so that passes come and go and many are under way."""
    stage.local_neon().said("local Neon serves")

    def gate(method: str, _path: str) -> Refusal | None:
        if method == "GET":
            return None
        time.sleep(0.3)
        return Refusal(503)

    with proxied(stage.environment["NEON_API_URL"]) as proxy:
        proxy.gate = gate
        yield {"NEON_API_URL": proxy.url, **UNLIMITED, **LONG}


def _started(stage: Stage, mode: str, slow_neon: dict[str, str]) -> tuple[Running, Running]:
    """Who is told to stop, and who serves the API."""
    if mode == "serve --reconcile":
        both = stage.start("serve", "--port", "0", "--reconcile", **slow_neon)
        return both, both
    serving, daemon = stage.serve(**slow_neon), stage.reconcile(**slow_neon)
    return (serving if mode == "serve" else daemon), serving


@pytest.mark.parametrize(
    ("mode", "signals"),
    [
        ("serve", (signal.SIGTERM,)),
        ("reconcile", (signal.SIGTERM,)),
        ("serve --reconcile", (signal.SIGTERM,)),
        ("serve --reconcile", (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT)),
    ],
)
def test_sigterm_under_load(
    stage: Stage, slow_neon: dict[str, str], mode: str, signals: tuple[signal.Signals, ...]
) -> None:
    """Exit code 0 inside ten seconds; nothing accepted is dropped, nothing leased is kept, whatever is sent again."""
    url = stage.catalog_url
    told, serving = _started(stage, mode, slow_neon)
    load = Load(url_of(serving), api_of(stage, serving).http.headers["Authorization"].removeprefix("Bearer "))
    load.start()
    until(lambda: len([1 for asked in load.asked if asked.status == 201]) > 50, "the load is on")
    until(lambda: len(rows(url, HELD)) >= 8, "passes are under way")

    told_at = time.monotonic()
    for number in signals:
        os.kill(told.pid, number)
        time.sleep(0.05)
    assert told.code(WITHIN_SECONDS) == 0
    if told is not serving and serving.alive:
        assert rows(url, HELD) == []
        assert serving.stop() == 0
    elif "--reconcile" in mode:
        assert rows(url, HELD) == []
    load.finish()

    unanswered = [asked for asked in load.asked if asked.status is None]
    assert [asked for asked in unanswered if asked.connected_at < told_at] == []
    assert {asked.status for asked in load.asked} - {None} == {200, 201}
    made = {name for (name,) in rows(url, "SELECT app_name FROM app_metadata")}
    assert made == {asked.name for asked in load.asked if asked.status == 201}
    assert any(asked.connected_at < told_at and asked.name.startswith("waiting") for asked in load.asked)


def test_a_request_that_does_not_end_is_broken_off(stage: Stage) -> None:
    """A client that never sends the rest of its body holds nobody up: it is told so, and the exit code is 0."""
    serving = stage.serve()
    where = urlsplit(url_of(serving))
    with socket.create_connection((where.hostname, where.port), timeout=30) as client:
        token = api_of(stage, serving).http.headers["Authorization"]
        head = f"POST /ee/apps HTTP/1.1\r\nHost: api\r\nAuthorization: {token}\r\nContent-Type: application/json"
        client.sendall(f"{head}\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n".encode())
        assert client.recv(1000).startswith(b"HTTP/1.1 100"), "the request is being read"
        client.sendall(b'{"app_name":')
        os.kill(serving.pid, signal.SIGTERM)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert (answer.status, answer.will_close) == (503, True)
        assert json.loads(answer.read())["type"] == "/problems/unavailable"
        assert answer.headers["X-Request-ID"]
    assert serving.code(WITHIN_SECONDS) == 0

"""1,100 silent connections against a process with 1,024 descriptors: others are answered, and the log stays short."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from tests.conformance import processes as conformance
from tests.processes.clients import api_of
from tests.processes.running import Running, Stage, until, url_of

ATTACKERS = 1_100
DESCRIPTORS = 1_024
TIMEOUT_SECONDS = 5.0
ASKED = 20
MODES = {
    "serve": ("serve", "--port", "0"),
    "serve --reconcile": ("serve", "--port", "0", "--reconcile"),
    "reconcile": ("reconcile", "--port", "0"),
    "dev": ("dev", "--port", "0"),
}


def _started(stage: Stage, arguments: tuple[str, ...]) -> Running:
    """A process whose soft and hard limits on descriptors are low."""
    limited = ["/bin/sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$0" "$@"']
    return stage.start_program([*limited, sys.executable, "-m", conformance.command(), *arguments], arguments[0])


def _get(address: tuple[str, int], path: str) -> int:
    connection = http.client.HTTPConnection(*address, timeout=TIMEOUT_SECONDS)
    try:
        connection.putrequest("GET", path)
        connection.endheaders()
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@contextmanager
def _attack(address: tuple[str, int]) -> Iterator[list[socket.socket]]:
    """Connections that send the beginning of a request, and wait."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * ATTACKERS)), hard))
    try:
        with ExitStack() as stack:
            attackers = []
            for _ in range(ATTACKERS):
                attacker = stack.enter_context(socket.create_connection(address, timeout=30))
                attacker.sendall(b"GET /hea")
                attackers.append(attacker)
            yield attackers
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("mode", MODES)
def test_silent_connections_keep_no_client_from_an_answer(
    stage: Stage, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """New clients are answered while the connections are held, and all of those are closed in the end."""
    if mode == "serve --reconcile":
        stage.local_neon().said("local Neon serves")
    if mode == "dev":
        for name in ("DATABASE_URL", "NEON_API_URL", "NEON_API_KEY"):
            stage.environment.pop(name)
    process = _started(stage, MODES[mode])
    url = process.said(r"serves (http://[^\s;]+);")[1] if mode == "dev" else url_of(process)
    where = urlsplit(url)
    address = (where.hostname or "", where.port or 0)
    assert (_get(address, "/%6detrics"), _get(address, "/metrics")) == (404, 200)
    before, durations = len(process.err), []
    with _attack(address) as attackers:
        for number in range(ASKED):
            began = time.monotonic()
            assert _get(address, "/healthz" if number % 2 else "/metrics") == 200
            durations.append(time.monotonic() - began)
        for attacker in attackers:
            # The oldest gave way without a word; the others learn that their head did not arrive.
            received = attacker.recv(100)
            assert not received or received.startswith(b"HTTP/1.1 408 ")
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{mode}: slowest of {ASKED} answers among {ATTACKERS} silent connections: {max(durations):.3f} s; "
            f"log: {len(process.err) - before} bytes"
        )
    assert len(process.err) - before < 10_000


def test_request_in_flight_outlasts_silent_connections(stage: Stage) -> None:
    """A client that waits with ``Prefer: wait`` since before the attack is answered; so is one that keeps asking."""
    process = _started(stage, MODES["serve"])
    where = urlsplit(url_of(process))
    address = (where.hostname or "", where.port or 0)
    token = api_of(stage, process).http.headers["Authorization"]
    answers: list[int] = []

    def wait() -> None:
        waiting = http.client.HTTPConnection(*address, timeout=60)
        headers = {"Authorization": token, "Content-Type": "application/json", "Prefer": "wait=12"}
        waiting.request("POST", "/ee/apps", json.dumps({"app_name": "held"}), headers)
        answers.append(waiting.getresponse().status)
        waiting.close()

    held = threading.Thread(target=wait, daemon=True)
    held.start()
    listed = api_of(stage, process).http
    until(lambda: listed.get("/ee/apps").json()["apps"], "the app is asked for")
    with _attack(address):
        assert _get(address, "/healthz") == 200
        held.join(60)
    assert answers == [201]

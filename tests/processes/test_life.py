"""``morphik-apps dev``: the printed curl, an app's life, and what Ctrl-C and kill -9 leave behind."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from specs.uri import MorphikURI
from tests.processes.clients import WAIT, Api, Document, connects, document, for_psql, keep, kept, rows
from tests.processes.running import FIGURES, Running, Stage, children_of, is_alive, plain_environment, staged, until


@dataclass
class Dev:
    """A ``dev`` that serves."""

    process: Running
    folder: Path
    curl: str
    api: Api


def _dev(stage: Stage, *arguments: str) -> Dev:
    process = stage.start("dev", "--port", "0", *arguments)
    curl = process.said(r"(?ms)^curl .*?\n  -d .*?\n")[0]
    url, token = re.search(r"http://\S+?(?=/ee)", curl), re.search(r"Bearer ([^']+)'", curl)
    assert url is not None
    assert token is not None
    return Dev(process, stage.folder, curl, Api(stage, url[0], token[1]))


@pytest.fixture(scope="module")
def dev() -> Iterator[Dev]:
    """A ``dev`` on a fresh data folder, with nothing set."""
    with staged(plain_environment()) as stage:
        yield _dev(stage)


@pytest.fixture
def brief() -> Iterator[Stage]:
    """A stage for ``dev`` with short figures."""
    with staged(plain_environment() | FIGURES) as stage:
        yield stage


def test_dev_answers_only_its_own_key_and_this_machines_names(dev: Dev) -> None:
    """The key of its local Neon is random and kept for its owner; a page of another name gets nothing."""
    kept = dev.folder / ".data" / "neon-api-key"
    assert kept.stat().st_mode & 0o777 == 0o600
    neon = dev.process.said(r"databases come from (http://\S+/api/v2)")[1]
    seen = []
    for key, host in (("local", {}), (kept.read_text(), {}), (kept.read_text(), {"Host": "rebound.example"})):
        headers = {"Authorization": f"Bearer {key}", **host}
        seen.append(httpx.get(f"{neon}/projects", headers=headers, trust_env=False).status_code)
    assert seen == [401, 200, 421]
    api = dev.curl.split("POST ")[1].split()[0]
    token = {"Authorization": f"Bearer {dev.curl.split('Bearer ')[1].split(chr(39))[0]}"}
    assert httpx.get(api, headers=token, trust_env=False).status_code == 200
    assert httpx.get(api, headers={**token, "Host": "rebound.example"}, trust_env=False).status_code == 400


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl to paste into")
def test_the_printed_curl_makes_a_ready_app(dev: Dev, tmp_path: Path) -> None:
    """Exactly what is printed, pasted into a shell: 201, ready, a URI; and again: 200, the same app."""
    (tmp_path / ".curlrc").write_text('write-out = "\\n%{http_code}"\n')
    seen = []
    for _ in range(2):
        ran = subprocess.run(
            ["bash", "-c", dev.curl],
            env=plain_environment() | {"HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert ran.stderr == ""
        body, _, status = ran.stdout.rpartition("\n")
        seen.append((int(status), json.loads(body)))
    [(first_status, first), (second_status, second)] = seen
    assert (first_status, second_status) == (201, 200)
    assert first["status"] == "ready"
    assert first["app_name"] == "My first app"
    assert second == first
    assert connects(for_psql(first["morphik_uri"]))
    assert connects(for_psql(first["pooled_uri"]))


def test_an_app_goes_from_pending_to_deleted(dev: Dev) -> None:
    """POST answers at once without a URI; the app becomes ready, holds data, and its URI dies with it."""
    answer = dev.api.post("notes")
    assert answer.status_code == 201
    asked = document(answer)
    assert answer.headers["Location"] == f"/ee/apps/{asked['app_id']}"
    assert (asked["status"], asked["morphik_uri"], asked["pooled_uri"]) == ("pending", None, None)

    app = dev.api.until(asked, "ready")
    keep(app, "a note")
    assert kept(app) == "a note"
    again = dev.api.post("notes")
    assert again.status_code == 200
    assert document(again)["app_id"] == app["app_id"]
    assert dev.api.http.post("/ee/apps", json={"app_name": "notes", "region": "aws-eu-west-2"}).status_code == 409

    gone = dev.api.delete(app, WAIT)
    assert gone.status_code == 200
    assert document(gone)["status"] == "deleted"
    assert document(gone)["morphik_uri"] is None
    until(lambda: not connects(for_psql(app["morphik_uri"])), "the deleted app's URI does not connect")


def test_an_app_reaches_its_own_database_only(dev: Dev) -> None:
    """An app's credentials open no other app's database, no database of the cluster, and not the catalog."""
    one, other = (document(dev.api.post(name, WAIT)) for name in ("one", "other"))
    url = for_psql(one["morphik_uri"])
    own, neighbour = (MorphikURI.parse(app["morphik_uri"]).database for app in (one, other))
    names = {str(name) for (name,) in rows(url, "SELECT datname FROM pg_database")} | {"postgres", "template1"}
    assert neighbour in names
    for name in names - {own}:
        assert not connects(for_psql(one["morphik_uri"], database=name)), name

    [neon] = {for_psql(app["morphik_uri"]).split("@")[1].split("/")[0] for app in (one, other)}
    ports = _listening(dev.process.pid)
    assert neon.split(":")[1] in ports
    assert len(ports) >= 2, "the catalog listens too"
    for port in ports - {neon.split(":")[1]}:
        for name in ("postgres", "template1"):
            assert not connects(for_psql(one["morphik_uri"], address=f"127.0.0.1:{port}", database=name)), port


def _listening(pid: int) -> set[str]:
    """The ports of the Postgres servers below a process, from their command lines."""
    found = set()
    for child in children_of(pid):
        arguments = (Path("/proc") / str(child) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        found |= {argument.removeprefix("port=") for argument in arguments if argument.startswith("port=")}
    return found


def _same(api: Api, app: Document, text: str) -> None:
    """The app is served as before, and its URI leads to the same data."""
    now = api.get(app)
    assert (now["status"], now["morphik_uri"]) == ("ready", app["morphik_uri"])
    assert kept(now) == text


def test_ctrl_c_ends_everything_and_a_restart_has_it_all(brief: Stage) -> None:
    """SIGINT to the group, as a terminal sends it: exit code 0 and no process left; then all is there again."""
    first = _dev(brief)
    app = document(first.api.post("kept", WAIT))
    keep(app, "before")
    below = children_of(first.process.pid)
    assert below, "Postgres runs below dev"
    assert first.process.stop(signal.SIGINT) == 0
    assert [pid for pid in below if is_alive(pid)] == []

    second = _dev(brief)
    _same(second.api, app, "before")
    assert second.process.stop(signal.SIGTERM) == 0


def test_kill_9_loses_nothing_that_was_acknowledged(brief: Stage) -> None:
    """A ready app, one that was asked for and one whose end was asked for right before the kill."""
    first = _dev(brief)
    ready, doomed = (document(first.api.post(name, WAIT)) for name in ("ready", "doomed"))
    keep(ready, "before")
    asked = first.api.create("asked for")
    assert first.api.delete(doomed).status_code == 202
    first.process.kill()
    assert not connects(for_psql(ready["morphik_uri"]))

    second = _dev(brief)
    _same(second.api, ready, "before")
    assert connects(for_psql(second.api.until(asked, "ready")["morphik_uri"]))
    second.api.until(doomed, "deleted")
    until(lambda: not connects(for_psql(doomed["morphik_uri"])), "the deleted app's URI does not connect")
    assert second.process.stop(signal.SIGINT) == 0

"""A client that openapi-python-client generates from the served document, against ``morphik-apps dev``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.described import example, without_times
from tests.foreign.test_openapi_tools import generate_python_client
from tests.processes.running import plain_environment, staged

APPS, ONE = "/ee/apps", "/ee/apps/{app_id}"
UNLIKE = {"app_id": "", "morphik_uri": "", "pooled_uri": ""}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, str]]:
    """The address and a token of ``morphik-apps dev``."""
    with staged(plain_environment()) as stage:
        process = stage.start("dev", "--port", "0")
        curl = process.said(r"(?ms)^curl .*?\n  -d .*?\n")[0]
        url, token = re.search(r"http://\S+?(?=/ee)", curl), re.search(r"Bearer ([^']+)'", curl)
        assert url is not None
        assert token is not None
        yield url[0], token[1]


def test_generated_client_creates_reads_and_deletes_an_app(
    served: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each response is parsed, with problems and headers, and equals the example in the document but for its ids."""
    url, token = served
    document = tmp_path / "openapi.json"
    document.write_text(httpx.get(f"{url}/openapi.json", trust_env=False).text)
    generate_python_client(document, tmp_path / "generated_client")
    monkeypatch.syspath_prepend(tmp_path)
    models = import_module("generated_client.models")
    arguments = {"httpx_args": {"trust_env": False}, "timeout": httpx.Timeout(90)}
    with import_module("generated_client").AuthenticatedClient(base_url=url, token=token, **arguments) as client:
        _check_lifecycle(client, models)


def _check_lifecycle(client: Any, models: Any) -> None:

    def call(name: str, *arguments: Any, **named: Any) -> tuple[int, Any]:
        response = import_module(f"generated_client.api.apps.{name}").sync_detailed(*arguments, client=client, **named)
        assert response.parsed is not None, response
        return int(response.status_code), response.parsed

    body = models.AppRequest.from_dict(example("POST", APPS))
    created = call("create_app", body=body, idempotency_key="one", prefer="wait=60")
    repeated = call("create_app", body=body, idempotency_key="one", prefer="wait=60")
    assert (created[0], repeated[0]) == (201, 200)
    assert repeated[1] == created[1]
    app_id = created[1].app_id
    assert _comparable(created[1]) == _comparable(example("GET", ONE, 200))
    assert created[1].morphik_uri.startswith("morphik://")
    assert call("get_app", app_id) == (200, created[1])
    status, problem = call("create_app", body=body, idempotency_key="two words")
    assert (status, type(problem), problem.status) == (400, models.Problem, 400)
    [app] = call("list_apps", status=models.AppStatus.READY)[1].apps
    assert app.app_id == app_id
    status, deleting = call("delete_app", app_id)
    assert (status, _comparable(deleting)) == (202, _comparable(example("DELETE", ONE, 202)))
    status, deleted = call("delete_app", app_id, prefer="wait=60")
    assert (status, _comparable(deleted)) == (200, _comparable(example("DELETE", ONE, 200)))
    assert call("list_apps")[1].apps == []
    status, events = call("list_events", app_id)
    first = without_times(example("GET", "/ee/apps/{app_id}/events", 200))["events"][0]
    assert without_times(events.to_dict())["events"][-1] | {"actor": first["actor"]} == first


def _comparable(app: Any) -> Any:
    """An app without its ids and times."""
    document = app if isinstance(app, dict) else app.to_dict()
    return without_times(json.loads(json.dumps(document)) | UNLIKE)

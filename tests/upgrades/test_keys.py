"""A process that does not have the newest of ``ENCRYPTION_KEYS`` yet, beside one that seals with it.

It says which key it needs, and changes nothing of what it cannot open: no password is reset, no URI is sealed anew.
"""

from __future__ import annotations

import base64

import pytest

from reconciler.catalog.seal import key_id
from tests.catalogs import execute
from tests.processes.clients import Document, api_of, connects, document, for_psql
from tests.processes.running import SECRETS, Stage, until

NEW = b"n" * 32
BOTH = {"ENCRYPTION_KEYS": f"{base64.urlsafe_b64encode(NEW).decode()},{SECRETS['ENCRYPTION_KEYS']}"}
NEEDS = f"needs key {key_id(NEW)}, not in ENCRYPTION_KEYS"
SEALED = """SELECT data_key_sealed, data_key_wrapped_by, connection_uri_sealed, pooled_uri_sealed
            FROM app_metadata WHERE app_id = %(app_id)s"""
LOOK_AT = "UPDATE app_work SET due_at = now(), rank_at = now(), wakes = wakes + 1 WHERE app_id = %(app_id)s"
UNPROVEN = """UPDATE app_metadata SET connected_at = NULL, observed_generation = 0, status = 'provisioning',
              conditions = jsonb_set(conditions, '{0,status}', '"False"')
              WHERE app_id = %(app_id)s"""


@pytest.mark.parametrize("proven", [True, False], ids=["ready", "not yet connected to"])
def test_a_daemon_without_the_key(stage: Stage, proven: bool) -> None:
    """The condition names the key, nothing is lost, other work goes on, and all is well once a daemon has the key."""
    url = stage.environment["DATABASE_URL"]
    api = api_of(stage, stage.serve(**BOTH))
    knowing = stage.reconcile(**BOTH)
    app = api.until(api.create("sealed with the new key"), "ready")
    doomed = api.until(api.create("to be deleted"), "ready")
    sealed = execute(url, SEALED, app)
    assert sealed[0]["data_key_wrapped_by"] == key_id(NEW)
    assert knowing.stop() == 0

    unknowing = stage.reconcile()
    if not proven:
        execute(url, UNPROVEN, app)
    execute(url, LOOK_AT, app)
    assert NEEDS in api.until_reason(app, "Held")
    assert api.get(app)["status"] == ("degraded" if proven else "failed")
    assert execute(url, SEALED, app) == sealed
    assert connects(for_psql(app["morphik_uri"]))
    assert api.delete(doomed).status_code == 202
    api.until(doomed, "deleted")
    assert unknowing.stop() == 0

    stage.reconcile(**BOTH)
    execute(url, LOOK_AT, app)
    again = api.until(app, "ready")
    assert again["morphik_uri"] == app["morphik_uri"]
    assert execute(url, SEALED, app) == sealed
    assert {condition["reason"] for condition in again["conditions"]} == {"Available", "InSync"}


def test_an_api_without_the_key(stage: Stage) -> None:
    """It shows the app without its URI, and its log names the key; one that has it shows the URI."""
    knowing, unknowing = stage.serve(**BOTH), stage.serve()
    stage.reconcile(**BOTH)
    api = api_of(stage, knowing)
    app = api.until(api.create("sealed with the new key"), "ready")
    shown: Document = document(api_of(stage, unknowing).http.get(f"/ee/apps/{app['app_id']}"))
    assert (shown["status"], shown["morphik_uri"], shown["pooled_uri"]) == ("ready", None, None)
    until(lambda: NEEDS in unknowing.err, "the log names the key")
    assert api.get(app)["morphik_uri"] == app["morphik_uri"]

"""A process that does not have the newest of ``ENCRYPTION_KEYS`` yet, beside one that seals with it.

Operators learn which key it needs. It changes nothing of what it cannot open: no password is reset, no URI is sealed
anew.
"""

from __future__ import annotations

import base64

from reconciler.catalog.encryption import key_id
from tests.catalogs import execute
from tests.processes.clients import Document, api_of, connects, document, for_operators, for_psql
from tests.processes.running import SECRETS, Stage, until

NEW = b"n" * 32
BOTH = {"ENCRYPTION_KEYS": f"{base64.urlsafe_b64encode(NEW).decode()},{SECRETS['ENCRYPTION_KEYS']}"}
NEEDS = f"needs key {key_id(NEW)}, not in ENCRYPTION_KEYS"
SEALED = """SELECT data_key_sealed, data_key_wrapped_by, connection_uri_sealed, pooled_uri_sealed
            FROM app_metadata WHERE app_id = %(app_id)s"""
LOOK_AT = (
    "UPDATE app_work SET due_at = now(), priority_at = now(), wake_count = wake_count + 1 WHERE app_id = %(app_id)s"
)
UNPROVEN = """UPDATE app_metadata SET connected_at = NULL, observed_generation = 0, status = 'provisioning',
              conditions = jsonb_set(conditions, '{0,status}', '"False"')
              WHERE app_id = %(app_id)s"""


def test_processes_without_the_key(stage: Stage) -> None:
    """Condition and log name the key to operators, nothing is lost, other work goes on; a daemon with it ends that."""
    url = stage.catalog_url
    serving, blind = stage.serve(**BOTH), stage.serve()
    knowing = stage.reconcile(**BOTH)
    api = api_of(stage, serving)
    apps = [api.create(name) for name in ("connected to", "not yet connected to", "to be deleted")]
    proven, unproven, doomed = [api.until(app, "ready") for app in apps]
    sealed = [execute(url, SEALED, app) for app in (proven, unproven)]
    assert {row["data_key_wrapped_by"] for [row] in sealed} == {key_id(NEW)}
    assert knowing.stop() == 0

    shown: Document = document(api_of(stage, blind).http.get(f"/ee/apps/{proven['app_id']}"))
    assert (shown["status"], shown["morphik_uri"], shown["pooled_uri"]) == ("ready", None, None)
    until(lambda: NEEDS in blind.err, "the log names the key")

    unknowing = stage.reconcile()
    execute(url, UNPROVEN, unproven)
    for app, status in ((proven, "degraded"), (unproven, "failed")):
        execute(url, LOOK_AT, app)
        assert NEEDS not in api.until_reason(app, "OnHold")
        assert NEEDS in for_operators(stage, app)
        assert api.get(app)["status"] == status
    assert api.delete(doomed).status_code == 202
    api.until(doomed, "deleted")
    assert unknowing.stop() == 0
    assert [execute(url, SEALED, app) for app in (proven, unproven)] == sealed

    stage.reconcile(**BOTH)
    for app in (proven, unproven):
        execute(url, LOOK_AT, app)
        again = api.until(app, "ready")
        assert again["morphik_uri"] == app["morphik_uri"]
        assert connects(for_psql(again["morphik_uri"]))
        assert {condition["reason"] for condition in again["conditions"]} == {"Available", "UpToDate"}

"""This version beside a later one, which nobody knows yet: whatever that adds is passed over or kept, and not lost.

What a later version may add: columns, jobs, settings, and words for a status, a condition, a reason or an event.
"""

from __future__ import annotations

import httpx

from tests.catalogs import execute
from tests.processes.clients import Api, Document, Neon, api_of
from tests.processes.running import Stage, until, url_of

LATER = {"type": "Backed", "status": "False", "reason": "TooLong", "message": "Later.",
         "last_transition_time": "2030-01-01T00:00:00Z", "observed_generation": 1}  # fmt: skip
TABLES = """SELECT relname FROM pg_class
            WHERE relkind = 'r' AND relnamespace = quote_ident(current_schema())::regnamespace AND relname !~ 'yoyo'"""
SAYS = """UPDATE app_metadata SET status = 'archived',
              conditions = jsonb_build_array(%(later)s::jsonb) || conditions WHERE app_id = %(app_id)s"""
TELLS = """INSERT INTO app_events (app_id, type, reason, message, actor, generation)
           VALUES (%(app_id)s, 'Backed', 'TooLong', 'Later.', 'keeper', 1)"""
WAKES = """UPDATE app_work SET due_at = now(), priority_at = now(), wake_count = wake_count + 1, lane = 7
           WHERE app_id = %(app_id)s"""
RESTS = "SELECT due_at = 'infinity' AND lease_holder IS NULL AS rests FROM app_work WHERE app_id = %(app_id)s"
WRITTEN = "SELECT status, conditions FROM app_metadata WHERE app_id = %(app_id)s"


def _grow(url: str) -> None:
    """What a later migration does, as far as the rule for migrations lets it."""
    for row in execute(url, TABLES):
        execute(url, f"ALTER TABLE {row['relname']} ADD COLUMN later_on text NOT NULL DEFAULT 'later'")
    execute(url, "INSERT INTO periodic_jobs (name) VALUES ('tidy')")
    execute(url, "INSERT INTO _yoyo_migration VALUES ('h', '9999.later', now())")


def _speak(url: str, app: Document) -> None:
    """What a later program writes about an app."""
    values = {"app_id": app["app_id"], "later": httpx.Response(200, json=LATER).text}
    execute(url, SAYS, values)
    execute(url, TELLS, values)


def _looked_at(url: str, app: Document) -> None:
    """Have a daemon look at an app."""
    execute(url, WAKES, app)
    until(lambda: execute(url, RESTS, app)[0]["rests"], "the app rests again")


def test_a_later_version_s_words_and_columns(stage: Stage) -> None:
    """The API answers, a daemon works, and what it does not understand stays as it is."""
    url = stage.catalog_url
    stage.environment["SETTING_OF_A_LATER_VERSION"] = "on"
    serving = stage.serve()
    stage.reconcile()
    api = api_of(stage, serving)
    app, doomed = api.create("before"), api.create("to be deleted")
    for one in (app, doomed):
        api.until(one, "ready")

    _grow(url)
    for one in (app, doomed):
        _speak(url, one)
    assert httpx.get(f"{url_of(serving)}/readyz", trust_env=False).status_code == 200
    assert httpx.get(f"{url_of(serving)}/metrics", trust_env=False).status_code == 200
    _is_understood(api, app)

    written = execute(url, WRITTEN, app)
    _looked_at(url, app)
    assert execute(url, WRITTEN, app) == written

    assert api.delete(doomed).status_code == 202
    assert LATER in api.until(doomed, "deleted")["conditions"]
    api.until(api.create("after"), "ready")
    assert len(Neon(stage).projects()) == 2


def _is_understood(api: Api, app: Document) -> None:
    """The status in a word of this version, and the rest as it was written."""
    seen = api.get(app)
    assert seen["status"] == "ready"
    assert LATER in seen["conditions"]
    assert {one["status"] for one in api.all()} == {"ready"}
    newest = api.events(app)[0]
    assert (newest["type"], newest["reason"], newest["actor"]) == ("Backed", "TooLong", "keeper")

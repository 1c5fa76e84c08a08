"""What the state machine once found, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.httpmodel.calls import Call, Caller
from tests.httpmodel.stage import Stage, staged
from tests.postgres import TestServer


@pytest.fixture
def stage(postgres: TestServer) -> Iterator[Stage]:
    """An empty stage."""
    with staged(postgres) as stage:
        yield stage


def _post(name: str, key: str | None = None) -> Call:
    return Call(Caller.ALICE, "POST", "/ee/apps", {"app_name": name}, key)


def _get(app_id: str) -> Call:
    return Call(Caller.ALICE, "GET", f"/ee/apps/{app_id}")


def _delete(app_id: str) -> Call:
    return Call(Caller.ALICE, "DELETE", f"/ee/apps/{app_id}")


@pytest.mark.parametrize("act", ["delete the compute", "reset the password"])
def test_what_people_change_before_the_first_connection_is_seen(stage: Stage, act: str) -> None:
    """The database does not answer as the create said it would, and only a look at the whole shows why."""
    app_id = stage.ask(_post("a")).document["app_id"]
    stage.step(1)
    stage.clock.pass_by(5)
    assert stage.truth.person(act, app_id)
    stage.rest()
    seen = stage.ask(_get(app_id)).document
    assert seen["status"] == "ready"
    assert (seen["morphik_uri"], seen["pooled_uri"]) == stage.truth.uris(app_id)


@pytest.mark.parametrize("order", [[0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0]])
def test_a_name_that_becomes_free_between_two_looks_is_no_limit(stage: Stage, order: list[int]) -> None:
    """A create that meets the delete of its name comes before it or after it."""
    app_id = stage.ask(_post("a")).document["app_id"]
    created, deleted = stage.at_once([_post("a"), _delete(app_id)], 0, order)
    assert deleted.status == 202
    assert created.status in {200, 201}
    assert (created.document["app_id"] == app_id) == (created.status == 200)


@pytest.mark.parametrize("swept", [False, True])
def test_a_key_stands_for_its_app_for_a_day(stage: Stage, swept: bool) -> None:
    """And no longer: then the same request makes a new app, whether the row of the old one is there or not."""
    app_id = stage.ask(_post("a", "k1")).document["app_id"]
    stage.ask(_delete(app_id))
    stage.rest()
    known = stage.ask(_post("a", "k1"))
    assert (known.status, known.document["app_id"], known.document["status"]) == (200, app_id, "deleted")
    stage.clock.pass_by(9 * 86_400)
    if swept:
        stage.sweep()
    assert stage.ask(_get(app_id)).status == 404
    again = stage.ask(_post("a", "k1"))
    assert again.status == 201
    assert again.document["app_id"] != app_id

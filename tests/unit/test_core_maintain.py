"""From a recorded project to a proven URI, and drift repaired."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from reconciler import errors
from reconciler.core import effects as e
from reconciler.core.context import Credentials, Result
from reconciler.core.poll_interval import AdaptivePollInterval
from specs.metadata import AppMetadata
from specs.neon import Branch, Endpoint, Operation
from specs.status import AppStatus, Reason
from tests.addresses import checked
from tests.unit.core_passes import POOLED, Neon, neon_error, passed
from tests.unit.test_core_recovering import LONG_AGO, NOW, URI, app, project

SERVED = app(Reason.AVAILABLE)
FRESH = app(Reason.OPERATIONS_RUNNING, connected_at=None, project_recorded_at=NOW - timedelta(seconds=4))
HELD = Credentials(checked(URI), checked(POOLED))
SLOW = Result(60.0, backoff=True)
SILENT = {e.ProbeDatabase: errors.AppDatabaseUnreachable("refused")}


def _operation(status: str, ago: float = 4, **changes: Any) -> Operation:
    fields = {"id": "op-1", "action": "create_timeline", "created_at": NOW - timedelta(seconds=ago), "updated_at": NOW}
    return Operation.model_validate(fields | {"status": status} | changes)


def test_after_a_create_only_the_operations_and_the_database_are_looked_at() -> None:
    done = passed(FRESH, Neon(held=HELD, operations=(_operation("finished", 3),)))
    assert done.kinds == ["VerifyAccess", "DecryptCredentials", "ListOperations", "ProbeDatabase", "RecordStatus"]
    assert (done.ready, done.synced) == (("True", Reason.AVAILABLE), ("True", Reason.UP_TO_DATE))
    assert (done.told[0].timestamps, done.told[0].status) == ({"connected_at": NOW}, AppStatus.READY)
    assert done.again == Result(None, create_seconds=3.0)


@pytest.mark.parametrize("changes", [{"held": None}, {"attempts": 3}])
def test_without_a_uri_or_after_some_failures_the_whole_is_looked_at(changes: dict[str, Any]) -> None:
    neon = Neon(alive=(project(FRESH),), held=changes.get("held", HELD))
    assert "ListEndpoints" in passed(FRESH, neon, attempts=changes.get("attempts", 2)).kinds


def test_two_failures_do_not_make_a_new_project_one_that_somebody_may_have_changed() -> None:
    done = passed(FRESH, Neon(held=HELD), attempts=2)
    assert done.kinds == ["VerifyAccess", "DecryptCredentials", "ListOperations", "ProbeDatabase", "RecordStatus"]


def test_running_operations_are_waited_for_at_the_pace_of_late() -> None:
    running = Neon(alive=(project(SERVED),), held=HELD, operations=(_operation("running"),))
    assert passed(FRESH, running, poll_interval=AdaptivePollInterval((6.0,))).again == Result(2.0)
    assert passed(SERVED, Neon(alive=running.alive, operations=running.operations)).again == Result(1.0)
    failed = passed(FRESH, Neon(held=HELD, operations=(_operation("failed"), _operation("running"))))
    assert (failed.ready, failed.again) == (("False", Reason.OPERATION_FAILED), Result(1.0, backoff=True))


@pytest.mark.parametrize(
    ("operation", "blamed"),
    [(_operation("error"), True), (_operation("running", 601), True), (_operation("finished"), False)],
)
def test_an_operation_is_to_blame_only_where_the_database_does_not_answer(operation: Operation, blamed: bool) -> None:
    done = passed(FRESH, Neon(held=HELD, operations=(operation,)))
    assert (done.ready, done.again) == (
        ("True", Reason.AVAILABLE),
        Result(None, create_seconds=None if blamed else 4.0),
    )
    silent = passed(FRESH, Neon(held=HELD, operations=(operation,), errors=SILENT))
    if blamed:
        assert (silent.synced, silent.again) == (("False", Reason.OPERATION_FAILED), SLOW)
    else:
        assert (silent.ready, silent.synced) == (("False", Reason.CONNECTING), None)


def test_an_operation_has_ten_minutes_by_the_clock_that_says_something() -> None:
    old = FRESH.model_copy(update={"project_recorded_at": NOW - timedelta(seconds=601)})
    for operation, of, waited in (
        (_operation("running", 600), old, True),
        (_operation("running", created_at=None), FRESH, True),
        (_operation("running", created_at=None), old, False),
        (_operation("running", -600), old, True),
        (_operation("running", -601), old, False),
    ):
        assert ("ProbeDatabase" in passed(of, Neon(held=HELD, operations=(operation,))).kinds) is not waited


def test_an_operation_that_was_done_later_is_not_given_up() -> None:
    done = (_operation("finished"), _operation("error"))
    assert passed(FRESH, Neon(held=HELD, operations=done, errors=SILENT)).synced is None


def test_what_people_changed_is_put_back() -> None:
    changed = project(SERVED, name="x", history_retention_seconds=1)
    done = passed(SERVED, Neon(alive=(changed,), changed=project(SERVED)))
    [permit, update] = done.changes
    assert permit == e.AuthorizeMutation()
    assert isinstance(update, e.UpdateProject)
    assert (update.update.name, update.update.history_retention_seconds) == (SERVED.project_name, 21_600)
    assert (update.update.default_endpoint_settings, update.update.settings) == (None, None)
    assert (done.events, done.again) == (["DriftRepaired", "Synced"], Result(1.0, backoff=True))
    kept = passed(SERVED, Neon(alive=(changed,), changed=changed))
    assert (kept.synced, kept.again) == (("False", Reason.NEON_REJECTED), SLOW)


def test_a_project_of_another_organization_is_held() -> None:
    done = passed(SERVED, Neon(alive=(project(SERVED, org_id="org-2"),)))
    assert (done.changes, done.synced, done.again) == ([], ("False", Reason.ON_HOLD), SLOW)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"branches": (Branch(id="br-1", name="main"),)}, Reason.ENDPOINT_MISSING),
        ({"errors": {e.GetConnectionURI: neon_error(errors.NeonPasswordsNotStored)}}, Reason.CREDENTIALS_MISSING),
        ({"errors": {e.GetConnectionURI: neon_error(errors.NeonNotFound)}}, Reason.CREDENTIALS_MISSING),
    ],
)
def test_what_only_a_person_can_mend_is_said_and_asked_for_slowly(changes: dict[str, Any], reason: Reason) -> None:
    done = passed(SERVED, Neon(alive=(project(SERVED),), **changes))
    assert (done.changes, done.ready, done.again) == ([], ("False", reason), SLOW)


@pytest.mark.parametrize("other", [{"branch_id": "br-2"}, {"type": "read_only"}])
def test_a_default_branch_without_its_compute_is_given_one(other: dict[str, str]) -> None:
    wrong = Endpoint(**({"id": "ep-1", "branch_id": "br-1", "type": "read_write"} | other))
    neon = Neon(alive=(project(SERVED),), endpoints=(wrong,))
    done = passed(SERVED, neon)
    [permit, made] = done.changes
    assert permit == e.AuthorizeMutation()
    assert isinstance(made, e.CreateEndpoint)
    assert (made.project_id, made.spec.branch_id, made.spec.autoscaling_limit_max_cu) == ("p-1", "br-1", 2)
    assert (done.ready, done.again) == (("False", Reason.ENDPOINT_MISSING), Result(1.0, backoff=True))
    assert done.events == ["EndpointCreated", "Ready", "Synced"]
    neon.operations = (_operation("running"),)
    assert (passed(SERVED, neon).changes, passed(SERVED, neon).again) == ([], Result(1.0))


def test_what_was_proven_is_not_connected_to_again() -> None:
    done = passed(SERVED, Neon(alive=(project(SERVED),), held=HELD))
    assert "ProbeDatabase" not in done.kinds
    assert (done.again, done.synced) == (Result(None), ("True", Reason.UP_TO_DATE))
    fallen = passed(app(Reason.CONNECTING), Neon(alive=(project(SERVED),), held=HELD))
    assert (fallen.kinds[-2:], fallen.events) == (["ProbeDatabase", "RecordStatus"], ["Ready", "Synced"])


def test_what_was_asked_for_last_is_there_when_the_project_is_as_it_shall_be() -> None:
    """Nothing is connected to again, and the owner still learns that the newest wish holds."""
    asked = app(Reason.AVAILABLE, generation=2, observed_generation=1)
    done = passed(asked, Neon(alive=(project(asked),), held=HELD))
    assert "ProbeDatabase" not in done.kinds
    assert (done.told[0].observed_generation, done.ready) == (2, ("True", Reason.AVAILABLE))


ELSEWHERE = SecretStr(URI.get_secret_value().replace("neon.tech", "neon.example"))
OTHER_PASSWORD = SecretStr(POOLED.get_secret_value().replace("secret", "other"))


@pytest.mark.parametrize(
    ("changes", "probes"),
    [({"uri": ELSEWHERE}, 0), ({"through_pooler": ELSEWHERE}, 1), ({"through_pooler": OTHER_PASSWORD}, 1)],
)
@pytest.mark.parametrize("of", [SERVED, FRESH])
def test_an_address_that_is_not_allowed_is_reported_and_read_again_with_backoff(
    of: AppMetadata, changes: dict[str, SecretStr], probes: int
) -> None:
    for attempts, seconds in ((0, 0.25), (3, 2.0), (20, 30.0)):
        done = passed(of, Neon(alive=(project(of),), **changes), attempts=attempts, jitter=0.5)  # type: ignore[arg-type]
        assert (done.changes, done.ready) == ([], ("False", Reason.HOST_NOT_ALLOWED))
        assert done.again == Result(seconds, backoff=True)
        assert done.kinds.count("ProbeDatabase") == probes
        assert "RecordCredentials" not in done.kinds
        [message] = [each.message for each in done.told[0].conditions if each.type == "Ready"]
        assert message.endswith(" Operator action required.")


def test_another_uri_is_connected_to_and_then_recorded() -> None:
    done = passed(SERVED, Neon(alive=(project(SERVED),)))
    recorded = done.effects[-1]
    assert isinstance(recorded, e.RecordCredentials)
    assert recorded.credentials == Credentials(checked(URI), checked(POOLED))
    assert (recorded.update.timestamps["connected_at"], done.again) == (NOW, Result(None))
    assert done.events == ["CredentialsRead", "Synced"]
    asked = [each for each in done.effects if isinstance(each, e.GetConnectionURI)]
    assert [each.pooled for each in asked] == [False, True]
    assert {(each.branch_id, each.role_name, each.database_name) for each in asked} == {
        ("br-1", SERVED.role, SERVED.database)
    }


def test_what_cannot_be_changed_in_place_is_said() -> None:
    done = passed(SERVED, Neon(alive=(project(SERVED, pg_version=16),), held=HELD))
    assert (done.synced, done.told[0].status) == (("False", Reason.IMMUTABLE_DRIFT), AppStatus.DEGRADED)


def test_a_vanished_project_is_recovered_only_when_a_sweep_confirmed_it() -> None:
    gone = Neon(deleted=(project(SERVED, deleted_at=NOW),))
    waits = passed(SERVED, gone)
    assert (waits.changes, waits.ready, waits.again) == ([], ("False", Reason.PROJECT_MISSING), Result(None))
    sent = passed(SERVED, gone, confirmed_missing=True)
    assert sent.changes == [e.AuthorizeMutation(), e.RecoverProject("p-1")]
    assert (sent.kinds[-3], sent.ready, sent.again) == (
        "RecordStatus",
        ("False", Reason.RECOVERING),
        Result(1.0, backoff=True),
    )
    held = passed(app(Reason.AVAILABLE, hold_reason="recovery"), gone, confirmed_missing=True)
    assert (held.changes, held.ready, held.again) == ([], ("False", Reason.PROJECT_MISSING), Result(None))


def test_of_a_vanished_project_nothing_is_concluded_from_a_partial_list() -> None:
    done = passed(SERVED, Neon(unavailable=("p-9",)), confirmed_missing=True)
    assert (done.told, done.again) == ([], Result(0.25, backoff=True))


def test_a_lost_app_stays_lost() -> None:
    since = LONG_AGO
    lost = passed(app(Reason.PROJECT_MISSING, missing_since=since), Neon(), confirmed_missing=True)
    assert (lost.told[0].status, lost.ready, lost.again) == (
        AppStatus.LOST,
        ("False", Reason.PROJECT_LOST),
        Result(None),
    )
    again = passed(app(Reason.PROJECT_LOST, status=AppStatus.LOST), Neon(), confirmed_missing=True)
    assert (again.told, again.again) == ([], Result(None))
    assert e.VerifyAccess(fresh=True) in again.effects


def test_a_pass_that_finds_no_room_in_the_budget_comes_back_later() -> None:
    spent = passed(SERVED, Neon(errors={e.GetProject: errors.RateLimitExhausted("repair")}))
    assert (spent.told, spent.again) == ([], Result(3.0, low_priority=True))


def test_a_uri_that_does_not_answer_is_not_recorded_and_an_operation_may_be_to_blame() -> None:
    neon = Neon(alive=(project(SERVED),), operations=(_operation("error"),), errors=SILENT)
    assert (passed(SERVED, neon).kinds[-2:], passed(SERVED, neon).again) == (["ProbeDatabase", "RecordStatus"], SLOW)

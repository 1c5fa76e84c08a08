"""From intent to a recorded project: what is sent, what is recorded, and what is looked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import pytest
from pydantic import SecretStr

from reconciler import errors
from reconciler.core import effects as e
from reconciler.core.context import CreateIntent, Result
from reconciler.core.poll_interval import AdaptivePollInterval
from specs.metadata import AppMetadata
from specs.neon import ConnectionDetails, ConnectionParameters, Project
from specs.status import AppStatus, Reason
from tests.addresses import checked
from tests.catalogs import SPEC
from tests.unit.core_passes import ORG, POOLED, Neon, mark, neon_error, passed
from tests.unit.test_core_recovering import LONG_AGO, NOW, URI, app, project

NEW = app(Reason.QUEUED, project_id=None, project_recorded_at=None, connected_at=None, conditions=())
MADE = project(NEW)


def _intent(
    seq: int = 1, ago: float = 0.0, state: Literal["open", "rejected", "recorded", "absent"] = "open", **changes: Any
) -> CreateIntent:
    fields: dict[str, Any] = {"incarnation": 1, "nonce": f"n-{seq}"}
    return CreateIntent(seq, state=state, sent_at=NOW - timedelta(seconds=ago), **fields | changes)


def _marked(of: AppMetadata, **made: CreateIntent) -> dict[str, dict[str, str]]:
    return {project_id.replace("_", "-"): mark(of, intent) for project_id, intent in made.items()}


def test_a_project_is_made_by_one_request_and_recorded_with_its_uri() -> None:
    done = passed(NEW, Neon(created=MADE))
    assert done.kinds == ["VerifyAccess", "OpenIntent", "CreateProject", "RecordProject"]
    assert done.effects[1] == e.OpenIntent("nonce", None)
    recorded = done.effects[3]
    assert isinstance(recorded, e.RecordProject)
    assert (recorded.create_seq, recorded.project_id, recorded.org_id) == (1, "p-1", ORG)
    assert recorded.credentials is not None
    assert (recorded.credentials.connection_uri, recorded.credentials.pooled_uri) == (checked(URI), checked(POOLED))
    assert (done.ready, done.synced) == (("False", Reason.OPERATIONS_RUNNING), ("True", Reason.UP_TO_DATE))
    assert done.told[0].status is AppStatus.PROVISIONING
    assert done.events == ["ProjectCreated", "Ready", "Synced"]
    assert done.again == Result(1.0)


def test_a_new_project_is_first_looked_at_when_most_were_done_of_late() -> None:
    assert passed(NEW, Neon(created=MADE), poll_interval=AdaptivePollInterval((4.0,))).again == Result(4.0)


def test_a_create_asks_for_everything_at_once() -> None:
    of = NEW.model_copy(update={"spec": SPEC.model_copy(update={"quota": {"active_time_seconds": 7}})})
    [sent] = [each.spec for each in passed(of, Neon(created=MADE)).effects if isinstance(each, e.CreateProject)]
    assert (sent.name, sent.org_id, sent.region_id, sent.pg_version) == (of.project_name, ORG, of.spec.region, 17)
    assert (sent.store_passwords, sent.history_retention_seconds) == (True, 21_600)
    assert (sent.branch.name, sent.branch.role_name, sent.branch.database_name) == ("main", of.role, of.database)
    assert sent.branch.annotations == mark(of, CreateIntent(1, 1, "nonce", "open", NOW))
    size = sent.default_endpoint_settings
    assert size is not None
    assert (size.autoscaling_limit_min_cu, size.autoscaling_limit_max_cu, size.suspend_timeout_seconds) == (0.25, 2, 0)
    assert sent.settings is not None
    assert sent.settings.quota.active_time_seconds == 7


def test_a_refused_create_is_sent_again_under_its_nonce() -> None:
    refused = (_intent(3, state="rejected"), _intent(2, state="rejected"), _intent(9, state="rejected", incarnation=2))
    assert passed(NEW, Neon(created=MADE), intents=refused).effects[1] == e.OpenIntent("nonce", 3)


NEON = URI.get_secret_value()


@pytest.mark.parametrize(
    ("uri", "pooler"),
    [
        ("nonsense", None),
        (NEON.replace("ep-one.neon.tech", "host.example.com"), None),
        (NEON.replace("/app", "/postgres"), None),
        (f"{NEON}&hostaddr=127.0.0.1&port=23999", None),
        (NEON.replace("@", "@127.0.0.1:23999,@"), None),
        # Not even the direct URI of a pair is published while the pooled one is not allowed.
        (NEON, "evil.example.com"),
        (NEON, "no host"),
    ],
)
def test_an_address_that_is_not_allowed_is_not_recorded(uri: str, pooler: str | None) -> None:
    false = ConnectionDetails(
        connection_uri=SecretStr(uri), connection_parameters=ConnectionParameters(pooler_host=pooler)
    )
    done = passed(NEW, Neon(created=MADE, uris=(false,))).effects[3]
    assert isinstance(done, e.RecordProject)
    assert done.credentials is None
    both = passed(NEW, Neon(created=MADE, uris=(false, ConnectionDetails(connection_uri=URI)))).effects[3]
    assert isinstance(both, e.RecordProject)
    assert both.credentials is not None
    assert both.credentials.pooled_uri is None


@pytest.mark.parametrize("kind", [errors.NeonUnavailable, errors.NeonConflict])
def test_what_was_not_done_refuses_the_intent(kind: type[errors.NeonAPIError]) -> None:
    done = passed(NEW, Neon(errors={e.CreateProject: neon_error(kind)}))
    assert done.effects[3] == e.MarkIntentRejected(1)
    assert done.kinds[4:] == ["RecordStatus"]


@pytest.mark.parametrize("answer", [{"name": "another"}, {"org_id": "org-2"}, None])
def test_an_answer_that_says_nothing_leaves_the_intent_open(answer: dict[str, str] | None) -> None:
    lost = {e.CreateProject: neon_error(errors.NeonOutcomeUnknown)} if answer is None else {}
    done = passed(NEW, Neon(created=project(NEW, **answer or {}), errors=lost))
    assert done.kinds == ["VerifyAccess", "OpenIntent", "CreateProject", "RecordStatus"]
    assert done.synced == ("Unknown", Reason.OUTCOME_UNKNOWN)
    assert done.again == Result(1.0, backoff=True)


def test_what_an_unknown_outcome_left_behind_is_adopted() -> None:
    intent = _intent()
    done = passed(NEW, Neon(alive=(MADE,), marks=_marked(NEW, p_1=intent)), intents=(intent,))
    recorded = done.effects[-1]
    assert isinstance(recorded, e.RecordProject)
    assert (recorded.create_seq, recorded.project_id, recorded.org_id, recorded.credentials) == (1, "p-1", ORG, None)
    assert (done.ready, done.synced) == (("False", Reason.OPERATIONS_RUNNING), ("True", Reason.UP_TO_DATE))
    assert (done.told[0].status, done.events[0]) == (AppStatus.PROVISIONING, "Adopted")
    assert done.again == Result(0.0)


def test_of_an_app_that_is_to_be_deleted_nothing_is_said_to_be_made() -> None:
    intent, of = _intent(), NEW.model_copy(update={"delete_requested_at": NOW})
    done = passed(of, Neon(alive=(MADE,), marks=_marked(of, p_1=intent)), intents=(intent,))
    assert (done.ready, done.synced, done.again) == (None, ("True", Reason.UP_TO_DATE), Result(0.0))


def test_what_is_not_proven_by_name_is_not_looked_into() -> None:
    intent = _intent()
    other = project(NEW, id=f"p-{NEW.app_id}", name="shop")
    done = passed(NEW, Neon(alive=(other,), marks=_marked(NEW, p_1=intent)), intents=(intent,))
    assert done.kinds == ["VerifyAccess", "ListProjects", "RecordStatus"]
    assert (done.synced, done.again) == (("Unknown", Reason.OUTCOME_UNKNOWN), Result(1.0))


@pytest.mark.parametrize("delete_requested_at", [None, NOW])
def test_what_a_create_made_for_another_organization_is_neither_taken_nor_made_again(delete_requested_at: Any) -> None:
    """Neon's answers may leave the organization out, and a person may transfer a project."""
    intent, of = _intent(ago=30.0), NEW.model_copy(update={"delete_requested_at": delete_requested_at})
    for away in ({"org_id": "org-2"}, {"org_id": None}):
        neon = Neon(alive=(project(NEW, **away),), marks=_marked(of, p_1=intent))
        done = passed(of, neon, intents=(intent,))
        assert (done.changes, done.synced) == ([], ("False", Reason.OWNERSHIP_UNVERIFIED))
        assert done.again == Result(60.0, backoff=True)
        both = Neon(alive=(project(NEW, id="p-0", **away), MADE), marks=_marked(of, p_0=intent, p_1=intent))
        recorded = passed(of, both, intents=(intent,)).effects[-1]
        assert isinstance(recorded, e.RecordProject)
        assert recorded.project_id == MADE.id


def test_what_is_elsewhere_says_nothing_before_the_create_is_settled() -> None:
    """It may be a copy of what is still to come."""
    young = CreateIntent(1, 1, "n", "open", NOW - timedelta(seconds=29))
    done = passed(NEW, Neon(alive=(project(NEW, org_id="org-2"),), marks=_marked(NEW, p_1=young)), intents=(young,))
    assert (done.synced, done.again) == (("Unknown", Reason.OUTCOME_UNKNOWN), Result(1.0))


@pytest.mark.parametrize("delete_requested_at", [None, NOW])
def test_two_projects_of_one_create_are_left_to_a_person(delete_requested_at: Any) -> None:
    intent, of = _intent(), NEW.model_copy(update={"delete_requested_at": delete_requested_at})
    both = (MADE, project(NEW, id="p-2"))
    done = passed(of, Neon(alive=both, marks=_marked(of, p_1=intent, p_2=intent)), intents=(intent,))
    assert (done.changes, done.synced) == ([], ("False", Reason.OWNERSHIP_UNVERIFIED))
    assert done.again == Result(60.0, backoff=True)


def test_of_two_creates_the_oldest_project_wins() -> None:
    intents = (_intent(1), _intent(2))
    young: Project = project(NEW, id="p-0", created_at=NOW)
    neon = Neon(alive=(young, MADE), marks=_marked(NEW, p_0=intents[0], p_1=intents[1]))
    recorded = passed(NEW, neon, intents=intents).effects[-1]
    assert isinstance(recorded, e.RecordProject)
    assert (recorded.project_id, recorded.create_seq) == ("p-1", 2)


def test_a_partial_list_proves_neither_one_nor_none() -> None:
    """Before the settle time a list that is empty says nothing anyway, and the wait is the usual one."""
    intent = _intent(ago=30)
    found = Neon(alive=(MADE,), marks=_marked(NEW, p_1=intent), unavailable=("p-9",))
    for neon in (found, Neon(unavailable=("p-9",))):
        done = passed(NEW, neon, intents=(intent,))
        assert (done.changes, done.again) == ([], Result(1.0, backoff=True))
    assert passed(NEW, Neon(unavailable=("p-9",)), intents=(_intent(ago=10),)).again == Result(10.0)


def test_a_project_that_goes_while_it_is_looked_at_is_looked_for_again() -> None:
    gone = neon_error(errors.NeonNotFound)
    done = passed(NEW, Neon(alive=(MADE,), errors={e.ListBranches: gone}), intents=(_intent(),))
    assert done.again == Result(1.0, backoff=True)


@pytest.mark.parametrize(("ago", "wait"), [(0.0, 1.0), (4.0, 4.0), (29.5, 0.5)])
def test_a_create_that_may_still_take_effect_is_looked_for_ever_less_often(ago: float, wait: float) -> None:
    done = passed(NEW, Neon(), intents=(_intent(ago=ago),))
    assert (done.changes, done.again) == ([], Result(wait))


@pytest.mark.parametrize("delete_requested_at", [None, LONG_AGO])
def test_absence_is_proven_by_two_complete_lists_and_a_good_key(delete_requested_at: Any) -> None:
    of = NEW.model_copy(update={"delete_requested_at": delete_requested_at})
    first = passed(of, Neon(), intents=(_intent(ago=30),))
    assert first.changes == [e.RecordAbsence(1, confirmed=False)]
    assert first.effects[2:3] == (e.VerifyAccess(fresh=True),)
    assert first.again == Result(7.5)
    early = passed(of, Neon(), intents=(_intent(ago=40, first_absent_at=NOW - timedelta(seconds=6)),))
    assert (early.changes, early.again) == ([], Result(1.5))
    second = passed(of, Neon(), intents=(_intent(ago=40, first_absent_at=NOW - timedelta(seconds=7.5)),))
    assert second.effects[2:] == (e.VerifyAccess(fresh=True), e.RecordAbsence(1, confirmed=True))
    assert second.again == Result(0.0)

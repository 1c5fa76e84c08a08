"""What one pass knows of an app, as it is asked for it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from reconciler.core.context import CreateIntent, Credentials, Result
from specs.status import Reason
from tests.addresses import checked
from tests.unit.core_passes import snapshot
from tests.unit.test_core_recovering import NOW, app

ONE = Credentials(checked("postgresql://a:b@one/app"), None)
OTHER = Credentials(checked("postgresql://a:b@other/app"), None)


def test_credentials_are_the_same_by_their_direct_uri() -> None:
    assert ONE.has_same_uri(Credentials(ONE.connection_uri, checked("postgresql://a:b@pooler/app")))
    assert not ONE.has_same_uri(OTHER)
    assert not ONE.has_same_uri(None)


def test_the_newest_intent_of_unknown_outcome_counts() -> None:
    """So does one in a state that this version does not know; what is decided and what an earlier life made do not."""
    states = [(1, 1, "open"), (2, 1, "of a later version"), (3, 1, "recorded"), (4, 1, "absent"), (5, 2, "open")]
    intents = tuple(CreateIntent(seq, life, "n", state, NOW) for seq, life, state in states)  # type: ignore[arg-type]
    of = snapshot(app(Reason.QUEUED), intents=intents)
    assert of.open_intent == intents[1]
    assert snapshot(app(Reason.QUEUED), intents=intents[2:]).open_intent is None


def test_the_newest_refused_intent_counts() -> None:
    intents = tuple(CreateIntent(seq, 1, "n", "rejected", NOW) for seq in (1, 3, 2))
    assert snapshot(app(Reason.QUEUED), intents=intents).rejected_intent == intents[1]


@pytest.mark.parametrize(
    ("recorded", "seconds"),
    [(None, 0.0), (NOW, 0.0), (NOW - timedelta(seconds=90), 90.0), (NOW + timedelta(seconds=90), 0.0)],
)
def test_the_time_since_the_record_is_never_negative(recorded: datetime | None, seconds: float) -> None:
    """The clock of the catalog may have been set back since."""
    assert snapshot(app(Reason.AVAILABLE, project_recorded_at=recorded)).seconds_since_recorded == seconds


def test_what_comes_next_is_neither_a_failure_nor_in_the_background_unless_it_is_said() -> None:
    plain = Result(1.0)
    assert (plain.backoff, plain.low_priority, plain.create_seconds) == (False, False, None)

"""What holds for every name, address, delay and condition."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from pydantic import ValidationError

from reconciler.core.backoff import CAP_SECONDS, FLOOR_SECONDS, full_jitter
from reconciler.core.context import ControlPlane, CreateIntent
from reconciler.core.diff import diff_project, project_to_create
from specs.app import AppRequest, DesiredApp
from specs.metadata import AppMetadata
from specs.names import (
    app_id_from_bytes,
    format_project_name,
    is_app_id,
    parse_project_name,
    role_name,
    slug,
)
from specs.neon import Project, ProjectUpdate
from specs.status import Condition, ConditionType, find_condition, set_condition
from specs.uri import CHANNEL_BINDINGS, SSL_MODES, InvalidURI, MorphikURI
from tests.catalogs import SPEC

APP_IDS = st.binary(min_size=15, max_size=15).map(app_id_from_bytes)
PARTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
HOSTS = (
    st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,8}){0,3}", fullmatch=True)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(lambda address: f"[{address.compressed}]")
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
URIS = st.builds(
    MorphikURI,
    role=PARTS,
    password=PARTS,
    host=HOSTS,
    database=PARTS,
    port=st.integers(min_value=1, max_value=65535),
    sslmode=st.none() | st.sampled_from(SSL_MODES),
    channel_binding=st.none() | st.sampled_from(CHANNEL_BINDINGS),
)


@given(st.text(max_size=200), APP_IDS)
def test_a_projects_name_gives_its_app_back(app_name: str, app_id: str) -> None:
    """Whatever people call an app, its project's name leads back to it and fits Neon's 256 characters."""
    name = format_project_name(app_name, app_id)
    parsed = parse_project_name(name)
    assert parsed is not None
    assert (parsed.app_id, parsed.slug) == (app_id, slug(app_name))
    assert len(name) <= 256


@given(st.text(max_size=80))
def test_a_name_that_is_not_ours_is_not_taken_for_ours(text: str) -> None:
    """Parsing is the inverse of formatting: what parses is what formatting would have made."""
    parsed = parse_project_name(text)
    if parsed is not None:
        assert is_app_id(parsed.app_id)
        assert text == f"{parsed.slug}-{parsed.app_id}"


@given(APP_IDS, st.integers(1, 9), st.integers(1, 9999))
def test_a_role_fits_postgres(app_id: str, incarnation: int, number: int) -> None:
    """Fixed form, below the 63 bytes at which Postgres would cut two names to one."""
    assert len(role_name(app_id, incarnation, number).encode()) < 63


@given(URIS)
def test_a_uri_round_trips(uri: MorphikURI) -> None:
    """Build and parse are inverses, through postgresql:// too, and libpq reads the same parts."""
    assert MorphikURI.parse(uri.build()) == uri
    assert MorphikURI.from_postgresql(uri.to_postgresql()) == uri
    read = conninfo_to_dict(uri.to_postgresql())
    named = {"user": uri.role, "password": uri.password, "host": uri.host.strip("[]"), "port": str(uri.port)}
    query = {"sslmode": uri.sslmode, "channel_binding": uri.channel_binding}
    assert read == named | {"dbname": uri.database} | {key: value for key, value in query.items() if value is not None}


@given(URIS)
def test_a_password_is_hidden(uri: MorphikURI) -> None:
    """Neither repr nor str is a way to learn it."""
    hidden = MorphikURI(uri.role, "SECRET-" + uri.password, uri.host, uri.database, uri.port)
    assert "SECRET-" not in repr(hidden) + str(hidden) + hidden.redacted()


@given(st.text(max_size=80))
def test_any_text_is_a_uri_or_refused_without_repeating_it(text: str) -> None:
    """Parsing never fails in another way."""
    said = ""
    try:
        MorphikURI.parse("morphik://" + text)
    except InvalidURI as error:
        said = str(error)
    assert len(text) < 12 or text not in said


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 10_000))
def test_backoff_stays_in_its_bounds(attempts: int, jitter: float, asked: float | None) -> None:
    """Never above the cap, never below the floor, and what Neon asked for is never shortened."""
    wait = full_jitter(attempts, jitter, asked)
    assert FLOOR_SECONDS <= wait <= max(CAP_SECONDS, asked or 0)
    assert asked is None or wait >= asked


def _condition(kind: ConditionType, status: str, second: int) -> Condition:
    return Condition.model_validate(
        {
            "type": kind,
            "status": status,
            "reason": "R",
            "message": "m",
            "last_transition_time": NOW + timedelta(seconds=second),
            "observed_generation": 1,
        }
    )


@given(st.lists(st.tuples(st.sampled_from(ConditionType), st.sampled_from(["True", "False", "Unknown"])), max_size=12))
def test_a_conditions_time_moves_only_with_its_status(said: list[tuple[ConditionType, str]]) -> None:
    """The Kubernetes rule, over any history."""
    conditions: tuple[Condition, ...] = ()
    for second, (kind, status) in enumerate(said):
        before = find_condition(conditions, kind)
        conditions = set_condition(conditions, _condition(kind, status, second))
        after = find_condition(conditions, kind)
        assert after is not None
        moved = before is None or before.status != status
        assert (after.last_transition_time == NOW + timedelta(seconds=second)) == moved
    assert len({c.type for c in conditions}) == len(conditions)


@given(
    st.text(min_size=1, max_size=100),
    APP_IDS,
    st.dictionaries(st.sampled_from(["written_data_bytes"]), st.integers(0, 9)),
)
def test_what_was_just_created_has_not_drifted_and_a_repair_repairs(
    name: str, app_id: str, quota: dict[str, int]
) -> None:
    """The create call and the comparison speak of the same things."""
    app = AppMetadata(
        app_id=app_id, owner_id="o", app_name=name, spec=SPEC.model_copy(update={"quota": quota}), created_at=NOW,
        updated_at=NOW,
    )  # fmt: skip
    intent = CreateIntent(1, 1, "n", "open", NOW)
    sent = project_to_create(app, ControlPlane("morphik", "c", 30, ()), intent, "org-1").model_dump(mode="json")
    project = Project.model_validate(sent | {"id": "p-1", "created_at": NOW})
    assert diff_project(app, project) is None
    hacked = Project.model_validate(
        sent
        | {
            "id": "p-1",
            "created_at": NOW,
            "name": "hacked",
            "history_retention_seconds": 0,
            "settings": {"quota": {"active_time_seconds": 1}},
        }
    )
    update = diff_project(app, hacked)
    assert isinstance(update, ProjectUpdate)
    repaired = Project.model_validate(hacked.model_dump() | update.model_dump(exclude_none=True))
    assert diff_project(app, repaired) is None


@pytest.mark.parametrize("name", ["日本語", "a", "x" * 100, " ", "naïve café", "مرحبا", "नमस्\u200dते", "🦄🦄"])
def test_names_of_any_script_are_taken(name: str) -> None:
    """One to a hundred printable characters."""
    assert AppRequest(app_name=name).app_name


@given(st.text(max_size=120))
def test_a_name_that_is_taken_once_is_taken_again_unchanged(name: str) -> None:
    """By every later model, since normalizing can make a text longer and can change which characters it has."""
    try:
        taken = AppRequest(app_name=name).app_name
    except ValidationError:
        return
    desired = DesiredApp(app_name=taken, region="aws-us-east-1", pg_version=17)
    assert (desired.app_name, AppRequest(app_name=taken).app_name) == (taken, taken)


@pytest.mark.parametrize("name", ["", "x" * 101, "a\nb", "a\x00b", "\u200d", "a\u202eb", "\ud800", "\U0001d160" * 40])
def test_what_cannot_be_seen_is_refused(name: str) -> None:
    """Empty, too long before or after it is normalized, or with control characters."""
    with pytest.raises(ValidationError):
        AppRequest(app_name=name)

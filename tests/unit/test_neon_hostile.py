"""Whatever Neon answers becomes bounded values, or an error of Neon's; nothing else leaves the codec."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from reconciler.errors import NeonAPIError, NeonOutcomeUnknown
from reconciler.neon import codec
from reconciler.neon.protocol import NeonCall
from reconciler.neon.read_only import organizations_with_plans, project_hosts, regions
from specs import neon
from tests.unit.test_neon_codec import BRANCH, CREATED, PROJECT, SPEC, URI

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = "gentle-river-1"
OPERATION = {"id": "op-1", "action": "a", "status": "running", "created_at": "2026-01-01T00:00:00Z"}
ENDPOINT = {"id": "ep-1", "branch_id": "br-1", "type": "read_write"}
ANSWERS: dict[str, tuple[NeonCall[Any], Any]] = {
    "get project": (codec.get_project(ID), {"project": PROJECT}),
    "create project": (codec.create_project(SPEC), CREATED),
    "update project": (
        codec.update_project(ID, neon.ProjectUpdate(name="n")),
        {"project": PROJECT, "operations": [OPERATION]},
    ),
    "recover project": (codec.recover_project(ID), {"project": PROJECT, "branches": [BRANCH]}),
    "list projects": (
        codec.list_projects(),
        {"projects": [PROJECT], "unavailable_project_ids": ["x-1"], "pagination": {"cursor": "c"}},
    ),
    "list branches": (
        codec.list_branches(ID),
        {"branches": [BRANCH], "annotations": {"br-1": {"value": {"nonce": "n"}}}, "pagination": {"next": "n"}},
    ),
    "create branch": (codec.create_branch(ID, neon.BranchCreate()), {"branch": BRANCH, "endpoints": [ENDPOINT]}),
    "list endpoints": (codec.list_endpoints(ID), {"endpoints": [ENDPOINT]}),
    "list operations": (codec.list_operations(ID), {"operations": [OPERATION]}),
    "connection uri": (codec.get_connection_uri(ID, "d", "r"), {"uri": URI}),
    "organizations": (codec.list_organizations(), {"organizations": [{"id": "org-1", "name": "n"}]}),
    "auth": (codec.get_auth(), {"account_id": "a-1", "auth_method": "m"}),
    "plans": (organizations_with_plans(), {"organizations": [{"id": "org-1", "plan": "free"}]}),
    "hosts": (project_hosts("org-1", 5), {"projects": [{"id": "p-1", "proxy_host": "h"}]}),
    "regions": (regions("org-1"), {"regions": [{"region_id": "aws-us-east-1"}]}),
}
WORST: list[Any] = [
    None, True, "", "\x00", "a\nb", "\ud800", "\u202e", "../../../auth", "x" * 5000, "a" * 300, "NaN", "-1",
    0, -1, 2**63, -(2**63) - 1, 10**400, 1e308, -0.0, 253402300800, 1e300,
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00",
    "10000-01-01T00:00:00Z", "2026-01-01T00:00:00+99:00", "2026-01-01", "Infinity", [], {}, [[]], [None], {"": None},
    {"id": "../x"}, ["../x"], [{"id": 5}] * 3,
]  # fmt: skip
RAW = [b"1e999", b"-1e999", b"9" * 4000, b"9" * 5000, b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000, b'"\\ud800"']
"""JSON texts that no Python value is written as."""


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = _put(value[path[0]], path[1:], new)
    return changed


PLACES = [(name, path) for name, (_, body) in ANSWERS.items() for path in _places(body)]


def _bounded(value: Any) -> None:
    """Whether everything in what was read can be stored, printed and calculated with."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            each = getattr(value, name)
            if name in {"id", "org_id", "project_id", "branch_id", "parent_id", "endpoint_id"} and each:
                assert neon.is_neon_id(each) or isinstance(value, neon.Endpoint | neon.Operation), (name, each)
            _bounded(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            _bounded(each)
            assert isinstance(key, str)
    elif isinstance(value, tuple | list):
        for each in value:
            _bounded(each)
    elif isinstance(value, SecretStr):
        _bounded_text(value.get_secret_value())
    elif isinstance(value, str):
        _bounded_text(value)
    elif isinstance(value, datetime):
        assert value.tzinfo is not None
        assert abs(value + timedelta(days=3650) - (NOW - timedelta(days=3650))) > timedelta(0)
    elif isinstance(value, int | float):
        assert abs(value) < 2**64


def _bounded_text(text: str) -> None:
    assert "\0" not in text
    assert len(text.encode()) < 20_000


def _decode(call: NeonCall[Any], body: bytes) -> None:
    """Read a success: its values are bounded, or it is refused as one that cannot be read."""
    refused: NeonAPIError | None = None
    read: object = None
    try:
        read = codec.decode(call, 200, {}, body, "req-1", NOW)
    except NeonAPIError as error:
        refused = error
    if refused is not None:
        assert isinstance(refused, NeonOutcomeUnknown)
        assert refused.__context__ is None
        assert str(refused).isprintable()
        assert len(str(refused)) < 1000
    _bounded(read)


@pytest.mark.parametrize(("name", "path"), PLACES, ids=[f"{name} {'.'.join(map(str, path))}" for name, path in PLACES])
def test_the_worst_value_in_any_place_is_bounded_or_an_unknown_outcome(name: str, path: tuple[Any, ...]) -> None:
    call, body = ANSWERS[name]
    for worst in WORST:
        _decode(call, json.dumps(_put(body, path, worst)).encode())
    marked = json.dumps(_put(body, path, "@@")).encode()
    for raw in RAW:
        _decode(call, marked.replace(b'"@@"', raw, 1))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(WORST),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(PLACES), _JSON)
def test_no_value_in_any_place_breaks_the_codec(place: tuple[str, tuple[Any, ...]], value: Any) -> None:
    name, path = place
    call, body = ANSWERS[name]
    _decode(call, json.dumps(_put(body, path, value)).encode())


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(list(ANSWERS)),
    st.integers(100, 999),
    st.dictionaries(st.sampled_from(["Retry-After", "Date", "retry-after"]), st.text() | st.just("9" * 5000)),
    st.binary() | _JSON.map(lambda value: json.dumps({"code": value, "message": value}).encode()),
)
def test_no_answer_at_all_breaks_the_codec(name: str, status: int, headers: dict[str, str], body: bytes) -> None:
    refused: NeonAPIError | None = None
    try:
        codec.decode(ANSWERS[name][0], status, headers, body, "req-1", NOW)
    except NeonAPIError as error:
        refused = error
    if refused is not None:
        assert str(refused).isprintable()
        assert len(str(refused)) < 1000
        assert refused.retry_after is None or 0 <= refused.retry_after <= 86_400

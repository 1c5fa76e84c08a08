"""Every answer that is no success, and every one that cannot be read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from reconciler import errors
from reconciler.neon import codec, protocol
from specs import neon
from specs.neon.lenient import MAX_LIST_ITEMS

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URI = "postgresql://app_1f_1:hidden-1@ep-a-1.c-4.us-east-2.aws.neon.tech/app?sslmode=require"
CREATE = codec.create_project(
    neon.ProjectCreate(
        name="shop-x",
        region_id="aws-us-east-2",
        pg_version=17,
        branch=neon.DefaultBranchSpec(name="main", role_name="app_1f_1", database_name="app"),
    )
)
GET = codec.get_project("gentle-river-1")
PROJECT = b'{"id":"p-1","name":"shop","region_id":"r","pg_version":17,"created_at":"2026-01-01T00:00:00Z"}'


def answer(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> errors.NeonAPIError:
    with pytest.raises(errors.NeonAPIError) as raised:
        codec.decode(GET, status, headers or {}, body, "req-1", NOW)
    return raised.value


def general(message: str, code: str = "") -> bytes:
    return json.dumps({"request_id": "r", "code": code, "message": message}).encode()


# Successes that cannot be read


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>ok</html>",
        b'{"project": {"id": "gentle-ri',
        b'{"project": null}',
        b'{"project": {"id": "x"}}',
        b"\xff\xfe\xfa",
        b"[" * 100_000,
        b"9" * 5000,
        b'{"a": ' * 100_000,
        b'{"project": {"id": "a-1", "id": "b-2"}}',
        b'{"project": NaN}',
        b'{"project": {"id": Infinity}}',
        b'{"project": {"id": "a-1", "name": "\xff"}}',
        b"\xef\xbb\xbf{}",
        b'{"project": %s}' % PROJECT.replace(b"2026-", b"9999-"),
        b'{"project": %s}' % PROJECT.replace(b"2026-", b"0001-"),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("call", [GET, codec.delete_project("p-1"), CREATE])
def test_a_success_that_cannot_be_read_is_unknown(call: codec.NeonCall[object], status: int, body: bytes) -> None:
    with pytest.raises(errors.NeonOutcomeUnknown) as raised:
        codec.decode(call, status, {}, body, "req-1")
    assert (raised.value.status, raised.value.request_id) == (status, "req-1")


@pytest.mark.parametrize(
    ("call", "data"),
    [
        (codec.list_projects(), {"projects": [{}]}),
        (codec.list_operations("p-1"), {"operations": [{}]}),
        (codec.list_endpoints("p-1"), {"endpoints": [{}]}),
        (codec.list_branches("p-1"), {"branches": [{}]}),
        (codec.list_branches("p-1"), {"branches": [], "annotations": {"br-1": 1}}),
        (CREATE, {"project": json.loads(PROJECT), "branch": {"id": "br-1", "name": "main"}, "roles": [{}]}),
    ],
)
def test_parse_more_items_than_any_page_has_is_refused(call: codec.NeonCall[object], data: dict[str, Any]) -> None:
    """Each unreadable item costs more memory than bytes, and a body may hold 8 MB of them."""
    [name] = [name for name, value in data.items() if value in ([{}], {"br-1": 1})]
    call.parse(data)
    many = (
        [{}] * (MAX_LIST_ITEMS + 1)
        if isinstance(data[name], list)
        else dict.fromkeys(map(str, range(MAX_LIST_ITEMS + 1)))
    )
    with pytest.raises(ValidationError) as raised:
        call.parse(data | {name: many})
    assert raised.value.error_count() == 1


def test_a_success_that_cannot_be_read_leaves_no_secret_behind() -> None:
    broken = json.dumps({"roles": [{"name": ["hidden-1"], "password": "hidden-1"}]}).encode()
    with pytest.raises(errors.NeonOutcomeUnknown) as raised:
        codec.decode(CREATE, 201, {}, broken)
    assert raised.value.__context__ is None
    assert "hidden-1" not in repr(vars(raised.value))


# Refusals

STATUSES = {
    400: errors.NeonInvalidRequest,
    401: errors.NeonUnauthorized,
    402: errors.NeonInvalidRequest,
    403: errors.NeonUnauthorized,
    404: errors.NeonNotFound,
    406: errors.NeonInvalidRequest,
    408: errors.NeonOutcomeUnknown,
    409: errors.NeonConflict,
    410: errors.NeonNotFound,
    412: errors.NeonInvalidRequest,
    413: errors.NeonInvalidRequest,
    422: errors.NeonInvalidRequest,
    423: errors.NeonLocked,
    429: errors.NeonRateLimited,
    451: errors.NeonInvalidRequest,
    499: errors.NeonInvalidRequest,
    503: errors.NeonUnavailable,
} | dict.fromkeys(
    (0, 100, 101, 300, 301, 302, 303, 304, 307, 308, 500, 501, 502, 504, 520, 524, 599, 999),
    errors.NeonOutcomeUnknown,
)


@pytest.mark.parametrize(("status", "kind"), STATUSES.items())
def test_every_status_of_neon_has_one_meaning(status: int, kind: type[errors.NeonAPIError]) -> None:
    error = answer(status, general("why", "C_1"))
    assert type(error) is kind
    assert (error.status, error.route, error.method) == (status, "/projects/{project_id}", "GET")
    assert (error.request_id, error.code, error.detail) == ("req-1", "C_1", "why")


@pytest.mark.parametrize("status", [*STATUSES, 407])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>cloud</html>",
        b"upstream connect error or disconnect/reset before headers",
        b'{"message": "Forbidden"}',
        b'{"message": "no Route matched with those values", "request_id": "r"}',
        b'{"error": {"code": 403, "message": "denied"}}',
        b'{"message": 3, "code": []}',
        b'{"message": "m", "code": 401}',
        b'[{"message": "m", "code": ""}]',
        b'{"mess',
    ],
)
def test_a_status_without_neons_error_form_is_an_intermediary_and_an_unknown_outcome(status: int, body: bytes) -> None:
    """It neither accuses the key, nor proves absence, nor makes a change safe to send again."""
    error = answer(status, body, {"Retry-After": "7"})
    assert type(error) is errors.NeonIntermediaryError
    assert isinstance(error, errors.NeonOutcomeUnknown)
    assert (error.status, error.code, error.detail, error.retry_after) == (status, "", "an intermediary answered", 7)


def test_a_proxy_that_asks_for_credentials_is_an_intermediary_in_any_form() -> None:
    assert type(answer(407, general("log in"))) is errors.NeonIntermediaryError


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>log in to this network</html>", errors.NeonIntermediaryError),
        (b"OK", errors.NeonIntermediaryError),
        (b"", errors.NeonOutcomeUnknown),
        (b"{}", errors.NeonOutcomeUnknown),
    ],
)
@pytest.mark.parametrize("call", [GET, CREATE])
def test_a_success_of_a_captive_portal_is_no_success(
    call: codec.NeonCall[object], body: bytes, kind: type[errors.NeonAPIError]
) -> None:
    with pytest.raises(errors.NeonAPIError) as raised:
        codec.decode(call, 200, {}, body)
    assert type(raised.value) is kind


@pytest.mark.parametrize(
    ("status", "message", "code", "kind"),
    [
        (404, "not allowed for organization API keys", "", errors.NeonUnauthorized),
        (404, "Not Allowed to perform actions outside the project", "", errors.NeonUnauthorized),
        (404, "project not found", "", errors.NeonNotFound),
        (422, "x", "PROJECTS_LIMIT_EXCEEDED", errors.NeonProjectLimitReached),
        (403, "x", "PROJECTS_LIMIT_EXCEEDED", errors.NeonProjectLimitReached),
        (422, "Projects limit exceeded", "", errors.NeonProjectLimitReached),
        (422, "x", "BRANCHES_LIMIT_EXCEEDED", errors.NeonLimitReached),
        (422, "x", "ROLES_LIMIT_EXCEEDED", errors.NeonLimitReached),
        (422, "x", "DATABASES_LIMIT_EXCEEDED", errors.NeonLimitReached),
        (422, "x", "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED", errors.NeonLimitReached),
        (422, "x", "BRANCH_SIZE_LIMIT_EXCEEDED_THRESHOLD", errors.NeonLimitReached),
        (422, "branches limit exceeded", "", errors.NeonLimitReached),
        (422, "x", "COMPUTE_TIME_EXCEEDED", errors.NeonQuotaExceeded),
        (402, "x", "DATA_TRANSFER_LIMIT_EXCEEDED", errors.NeonQuotaExceeded),
        (422, "x", "written_data_quota_exceeded", errors.NeonQuotaExceeded),
        (422, "Your account or project has exceeded the compute time quota", "", errors.NeonQuotaExceeded),
        (422, "branch not ready yet", "", errors.NeonLocked),
        (422, "project has protected branches", "", errors.NeonBranchProtected),
        (422, "x", "SOMETHING_NEW", errors.NeonInvalidRequest),
        (400, "projects limit exceeded", "", errors.NeonInvalidRequest),
        (401, "x", "PROJECTS_LIMIT_EXCEEDED", errors.NeonUnauthorized),
        (423, "x", "COMPUTE_TIME_EXCEEDED", errors.NeonLocked),
        (500, "x", "PROJECTS_LIMIT_EXCEEDED", errors.NeonOutcomeUnknown),
    ],
)
def test_a_message_or_code_can_say_more(status: int, message: str, code: str, kind: type[errors.NeonAPIError]) -> None:
    assert type(answer(status, general(message, code))) is kind


def test_passwords_that_are_not_stored_are_told_apart() -> None:
    call = codec.get_connection_uri("p-1", "d", "r")
    with pytest.raises(errors.NeonPasswordsNotStored):
        codec.decode(call, 412, {}, general("Storing passwords is disabled"))


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        (f"cannot use {URI} now", "cannot use postgresql://*** now"),
        (f'uri="{URI}"', 'uri="postgresql://***'),
        ("see https://neon.com/docs", "see https://neon.com/docs"),
        ("a\r\nb\tc\x1b[31m \ud800", "a b c?[31m ?"),
        ("word " * 200, ("word " * 60)[:300]),
        ("x" * 3990 + " " + URI, "x" * 300),
        ("x" * 5000, "without a message"),
        (f"{'https://h/ ' * 363}{URI}", ("https://h/ " * 28)[:300]),
    ],
)
def test_a_message_is_short_printable_and_without_credentials(message: str, detail: str) -> None:
    error = answer(400, general(message))
    assert error.detail == detail
    assert "hidden-1" not in str(error)


@settings(deadline=None)
@given(st.text(), st.text(alphabet="abc123-._~%", min_size=1), st.text())
def test_no_message_shows_the_credentials_of_a_uri(before: str, password: str, after: str) -> None:
    message = f"{before} postgres://role:pw-{password}-pw@host/db {after}"
    assert f"pw-{password}-pw" not in answer(400, general(message)).detail


@pytest.mark.parametrize("code", ["has space", "x" * 101, "a\nb", ""])
def test_a_code_that_is_none_is_dropped(code: str) -> None:
    assert answer(400, general("m", code)).code == ""


# Retry-After


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("1_0", None),
        ("٣", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("-7", 0.0),
        ("86401", 86_400.0),
        ("9" * 6000, 86_400.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 11:59:30 GMT", 0.0),
        ("Sun, 01 Mar 2099 11:59:30 GMT", 86_400.0),
        ("Sun, 99 Mar 2026 11:59:30 GMT", None),
        (f"Sun, 01 Mar {'9' * 5000} 11:59:30 GMT", None),
    ],
)
def test_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    assert protocol.parse_retry_after(value, NOW) == seconds


@settings(deadline=None)
@given(st.text() | st.from_regex(r"\A[A-Z][a-z]{2}, [0-9]{1,6} [A-Z][a-z]{2} [0-9]{1,9} [0-9:]{1,9} .{0,9}\Z"))
def test_no_retry_after_breaks_the_reader(value: str) -> None:
    seconds = codec.parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= protocol.MAX_RETRY_AFTER


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=86_400))
def test_seconds_and_dates_mean_the_same(seconds: int) -> None:
    then = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert codec.parse_retry_after(str(seconds), NOW) == seconds
    assert codec.parse_retry_after(then, NOW) == seconds
    assert codec.parse_retry_after(then, None) is None


def test_a_date_to_wait_for_is_measured_by_the_clock_that_named_it() -> None:
    headers = {"RETRY-AFTER": "Sun, 01 Mar 2026 09:00:05 GMT", "Date": "Sun, 01 Mar 2026 09:00:00 GMT"}
    assert answer(429, general("m"), headers).retry_after == 5.0
    assert answer(423, b"", {"retry-after": headers["RETRY-AFTER"], "date": "?"}).retry_after == 0.0

"""Operations of local Neon: every way in which they end, and those that nobody asked for."""

from __future__ import annotations

from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.commands import EnsureDatabases
from reconciler.local.simulator import LocalNeon
from tests.unit.local_neon_client import Client, Json

LOCKED = "project already has running conflicting operations, scheduling of new ones is prohibited"


def _started(client: Client) -> str:
    made = client.call("POST", "/projects", {"project": {}}, status=201)
    return f"/projects/{made['project']['id']}"


def _newest(client: Client, path: str) -> Json:
    operations: list[Json] = client.call("GET", f"{path}/operations", limit="1")["operations"]
    return operations[0]


def _statuses(client: Client, path: str) -> list[str]:
    return [each["status"] for each in client.call("GET", f"{path}/operations")["operations"]]


def _endpoint(client: Client, path: str) -> Json:
    endpoints: list[Json] = client.call("GET", f"{path}/endpoints")["endpoints"]
    return endpoints[0]


def test_a_failed_operation_is_tried_again_and_finishes() -> None:
    client = Client(operation_seconds=(1.0, 1.0))
    client.simulator.inject_outcomes("fail")
    path = _started(client)
    client.wait(1.0)
    failed = client.call("GET", f"{path}/operations")["operations"][1]
    assert (failed["status"], failed["failures_count"]) == ("failed", 1)
    assert failed["retry_at"] > failed["created_at"]
    assert failed["error"]
    assert client.call("DELETE", path, status=423)["message"] == LOCKED
    client.wait(1.0)
    assert _statuses(client, path) == ["scheduling", "running"]
    client.wait(1.0)
    assert _statuses(client, path) == ["scheduling", "failed"]
    client.wait(3.0)
    assert _statuses(client, path) == ["finished", "finished"]
    first = client.call("GET", f"{path}/operations")["operations"][1]
    assert first["failures_count"] == 2
    assert "retry_at" not in first


def test_an_error_ends_an_operation_without_its_effect_and_frees_the_project() -> None:
    client = Client()
    path = _started(client)
    client.wait()
    client.simulator.inject_outcomes("error")
    endpoint = _endpoint(client, path)["id"]
    client.call("POST", f"{path}/endpoints/{endpoint}/suspend")
    client.call("POST", f"{path}/endpoints/{endpoint}/suspend", status=423)
    client.wait()
    newest = _newest(client, path)
    assert (newest["action"], newest["status"]) == ("suspend_compute", "error")
    assert _endpoint(client, path)["current_state"] == "active"
    client.call("POST", f"{path}/endpoints/{endpoint}/suspend")
    client.wait()
    assert _endpoint(client, path)["current_state"] == "idle"


def test_an_operation_is_cancelled_by_and_by_and_without_its_effect() -> None:
    client = Client(operation_seconds=(1.0, 1.0))
    path = _started(client)
    client.wait()
    client.simulator.inject_outcomes("cancel")
    client.call("POST", f"{path}/endpoints/{_endpoint(client, path)['id']}/suspend")
    seen = []
    for _ in range(3):
        seen.append(_newest(client, path)["status"])
        locked = seen[-1] != "cancelled"
        client.call("PATCH", path, {"project": {}}, status=423 if locked else 200)
        client.wait(1.0)
    assert seen == ["running", "cancelling", "cancelled"]
    assert _endpoint(client, path)["current_state"] == "active"


def test_a_skipped_start_starts_nothing() -> None:
    client = Client()
    client.simulator.inject_outcomes("finish", "skip")
    path = _started(client)
    client.wait()
    assert _statuses(client, path) == ["skipped", "finished"]
    assert _endpoint(client, path)["current_state"] == "idle"


def test_a_branch_whose_deletion_ends_in_an_error_is_there_again() -> None:
    client = Client()
    path = _started(client)
    client.wait()
    branch = client.call("POST", f"{path}/branches", {}, status=201)["branch"]["id"]
    client.wait()
    client.simulator.inject_outcomes("finish", "error")
    client.call("DELETE", f"{path}/branches/{branch}")
    client.call("GET", f"{path}/branches/{branch}", status=404)
    client.wait()
    client.call("GET", f"{path}/branches/{branch}")


def test_a_stuck_operation_locks_until_it_is_released() -> None:
    client = Client()
    client.simulator.inject_outcomes("hang")
    path = _started(client)
    client.wait(86_400)
    assert _statuses(client, path) == ["scheduling", "running"]
    assert client.simulator.next_due() is None
    client.call("DELETE", path, status=423)
    client.simulator.resume_hanging(client.now)
    assert client.simulator.next_due() is not None
    client.wait()
    assert _statuses(client, path) == ["finished", "finished"]
    client.call("DELETE", path)


def test_operations_go_astray_by_chance_and_the_seed_says_which() -> None:
    def play(seed: int) -> list[str]:
        client = Client(LocalNeon(LocalNeonOptions(failure_rate=0.5), seed))
        path = _started(client)
        client.wait()
        for _ in range(40):
            client.call("PATCH", path, {"project": {"settings": {}}})
            client.wait(60)
        return _statuses(client, path)

    assert play(3) == play(3) != play(4)
    assert set(play(3)) == {"finished", "error", "cancelled", "skipped"}


def test_injected_failures_change_no_ids() -> None:
    def made(rate: float) -> list[str]:
        client = Client(LocalNeon(LocalNeonOptions(failure_rate=rate), 5))
        return [_started(client) for _ in range(5)]

    assert made(0.0) == made(1.0)


def test_with_an_executor_failing_operations_issue_no_command() -> None:
    client = Client(physical=True, operation_seconds=(1.0, 1.0))
    client.simulator.inject_outcomes("fail", "error")
    path = _started(client)
    issued = []
    for _ in range(8):
        issued += client.simulator.advance(client.now)
        client.wait(1.0)
    (command,) = issued
    assert isinstance(command, EnsureDatabases)
    assert _statuses(client, path) == ["scheduling", "running"]
    client.simulator.complete(command.operation_id, client.now)
    assert client.simulator.advance(client.now) == []
    client.wait(1.0)
    assert client.simulator.advance(client.now) == []
    assert _statuses(client, path) == ["error", "finished"]


def test_the_system_checks_computes_by_itself_and_locks_meanwhile() -> None:
    client = Client(availability_check_seconds=3600, operation_seconds=(10.0, 10.0))
    path = _started(client)
    client.wait(3599)
    assert client.simulator.advance(client.now) == []
    assert client.simulator.next_due() == client.now + 1
    client.call("PATCH", path, {"project": {"name": "n"}})
    client.wait(2)
    newest = _newest(client, path)
    assert (newest["action"], newest["status"]) == ("check_availability", "running")
    refused = client.call("POST", f"{path}/branches", {}, status=423)
    assert refused["message"] == LOCKED
    client.wait(10)
    client.call("POST", f"{path}/branches", {}, status=201)
    client.wait(36_000)
    found = client.call("GET", f"{path}/operations")["operations"]
    assert sum(each["action"] == "check_availability" for each in found) == 2


def test_scaling_to_zero_may_be_an_operation() -> None:
    client = Client(suspend_operations=True, operation_seconds=(10.0, 10.0))
    path = _started(client)
    client.wait(325)
    newest = _newest(client, path)
    assert (newest["action"], newest["status"]) == ("suspend_compute", "running")
    client.call("PATCH", path, {"project": {}}, status=423)
    client.wait(10)
    client.call("PATCH", path, {"project": {}})
    assert _endpoint(client, path)["current_state"] == "idle"
    assert client.simulator.next_due() is None


def test_by_default_the_system_starts_nothing() -> None:
    client = Client()
    path = _started(client)
    client.wait(30 * 86_400)
    assert _statuses(client, path) == ["finished", "finished"]
    assert client.simulator.next_due() is None


def test_operations_are_listed_newest_first_with_a_cursor_on_the_last_page() -> None:
    client = Client()
    path = _started(client)
    client.wait()
    for _ in range(3):
        client.call("PATCH", path, {"project": {"settings": {}}})
        client.wait()
    everything = client.call("GET", f"{path}/operations")["operations"]
    assert len(everything) == 5
    assert [each["created_at"] for each in everything] == sorted((e["created_at"] for e in everything), reverse=True)
    seen: list[Json] = []
    query: Json = {"limit": "2"}
    while True:
        page = client.call("GET", f"{path}/operations", **query)
        if not page["operations"]:
            break
        seen += page["operations"]
        query["cursor"] = page["pagination"]["cursor"]
    assert seen == everything
    for limit in ("0", "1001"):
        client.call("GET", f"{path}/operations", limit=limit, status=400)
    for cursor in ("x", "²", "9" * 5000):
        client.call("GET", f"{path}/operations", cursor=cursor, status=400)
    client.call("GET", f"{path}/operations", limit="1000")
    client.call("GET", f"{path}/operations/{everything[-1]['id']}")
    client.call("GET", f"{path}/operations/00000000-0000-4000-8000-000000000000", status=404)


def test_operations_are_kept_for_half_a_year() -> None:
    client = Client()
    path = _started(client)
    client.wait(182 * 86_400)
    client.call("PATCH", path, {"project": {"settings": {}}})
    assert len(_statuses(client, path)) == 3
    client.wait(2 * 86_400)
    client.call("PATCH", path, {"project": {"settings": {}}})
    assert len(_statuses(client, path)) == 2

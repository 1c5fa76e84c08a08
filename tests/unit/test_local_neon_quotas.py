"""What projects of local Neon consume, and what happens over a quota."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.local.postgres.commands import EnsureDatabases
from tests.unit.local_neon_client import Client, Json

TEXT = "Your account or project has exceeded the {} quota. Upgrade your plan to increase limits."


def _made(client: Client, **quota: int) -> tuple[str, str]:
    made = client.create(settings={"quota": quota})
    return made["project"]["id"], made["endpoints"][0]["id"]


def _project(client: Client, project_id: str) -> Json:
    project: Json = client.call("GET", f"/projects/{project_id}")["project"]
    return project


def _state(client: Client, project_id: str) -> str:
    state: str = client.call("GET", f"/projects/{project_id}/endpoints")["endpoints"][0]["current_state"]
    return state


def _raise(client: Client, project_id: str, **quota: int) -> list[Json]:
    body = {"project": {"settings": {"quota": quota}}}
    operations: list[Json] = client.call("PATCH", f"/projects/{project_id}", body)["operations"]
    client.wait()
    return operations


def test_a_compute_consumes_while_it_is_active_and_not_when_it_is_idle() -> None:
    client = Client(operation_seconds=(1.0, 1.0))
    defaults = {"autoscaling_limit_min_cu": 2, "autoscaling_limit_max_cu": 4, "suspend_timeout_seconds": 100}
    project_id = client.create(default_endpoint_settings=defaults)["project"]["id"]
    assert _project(client, project_id)["active_time_seconds"] == 3
    client.wait(10_000)
    project = _project(client, project_id)
    assert (project["active_time_seconds"], project["compute_time_seconds"]) == (100, 200)
    (listed,) = client.call("GET", "/projects")["projects"]
    assert (listed["active_time"], listed["cpu_used_sec"]) == (100, 200)


def test_what_is_consumed_does_not_depend_on_who_looks_when() -> None:
    def active(looks: int) -> float:
        client = Client()
        project_id, _ = _made(client)
        for _ in range(looks):
            client.wait(600 / looks)
            _project(client, project_id)
        document: Any = client.simulator.dump(project_id)
        return round(float(document["usage"]["active_time_seconds"]), 3)

    assert active(1) == active(7) == 300.0


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        ("active_time_seconds", "active time"),
        ("compute_time_seconds", "compute time"),
        ("written_data_bytes", "written data"),
        ("data_transfer_bytes", "data transfer"),
    ],
)
def test_over_a_quota_computes_are_suspended_and_nothing_starts_them(quota: str, words: str) -> None:
    client = Client()
    project_id, endpoint = _made(client, **{quota: 1000})
    assert _state(client, project_id) == "active"
    client.simulator.consume(project_id, client.now, **{quota: 1000})
    client.wait()
    client.wait()
    assert _state(client, project_id) == "idle"
    assert _project(client, project_id)[quota] >= 1000
    path = f"/projects/{project_id}"
    branch = f"{path}/branches/{client.call('GET', f'{path}/branches')['branches'][0]['id']}"
    refused: list[tuple[str, str, object]] = [
        ("POST", f"{path}/endpoints/{endpoint}/start", None),
        ("POST", f"{path}/endpoints", {"endpoint": {"branch_id": "b", "type": "read_only"}}),
        ("POST", f"{path}/branches", {"endpoints": [{"type": "read_write"}]}),
        ("POST", f"{branch}/roles", {"role": {"name": "r"}}),
        ("DELETE", f"{branch}/roles/r", None),
        ("POST", f"{branch}/roles/neondb_owner/reset_password", None),
        ("POST", f"{branch}/databases", {"database": {"name": "d", "owner_name": "neondb_owner"}}),
        ("PATCH", f"{branch}/databases/neondb", {"database": {"owner_name": "neondb_owner"}}),
        ("DELETE", f"{branch}/databases/neondb", None),
    ]
    for method, where, body in refused:
        answer = client.call(method, where, body, status=423)
        assert (answer["message"], answer["code"]) == (TEXT.format(words), "")
    client.call("GET", f"{path}/connection_uri", database_name="neondb", role_name="neondb_owner")
    client.call("PATCH", path, {"project": {"name": "still"}})
    client.call("POST", f"{path}/branches", {}, status=201)


@pytest.mark.parametrize("raised", [{"active_time_seconds": 5000}, {"active_time_seconds": 0}, {}])
def test_a_raised_or_lifted_quota_lets_computes_start_again(raised: dict[str, int]) -> None:
    client = Client()
    project_id, endpoint = _made(client, active_time_seconds=1000)
    client.simulator.consume(project_id, client.now, active_time_seconds=1000)
    client.wait()
    client.wait()
    start = f"/projects/{project_id}/endpoints/{endpoint}/start"
    assert _raise(client, project_id, active_time_seconds=999) != []
    client.call("POST", start, status=423)
    assert [each["action"] for each in _raise(client, project_id, **raised)] == ["apply_config"]
    client.call("POST", start)
    client.wait()
    assert _state(client, project_id) == "active"


def test_a_tiny_quota_is_a_switch() -> None:
    client = Client()
    project_id, _ = _made(client)
    assert [each["action"] for each in _raise(client, project_id, active_time_seconds=1)] == ["suspend_compute"]
    assert _state(client, project_id) == "idle"


def test_a_quota_takes_effect_by_time_alone_and_at_its_moment() -> None:
    client = Client(operation_seconds=(1.0, 1.0))
    project_id, _ = _made(client, active_time_seconds=50, written_data_bytes=1)
    client.simulator.advance(client.now)
    assert client.simulator.next_due() == pytest.approx(client.now + 47, abs=0.01)
    client.wait(48.5)
    assert _state(client, project_id) == "idle"
    suspended = client.call("GET", f"/projects/{project_id}/operations")["operations"][0]
    assert suspended["action"] == "suspend_compute"
    client.wait(5000)
    assert _project(client, project_id)["active_time_seconds"] == 51


def test_several_computes_share_a_quota() -> None:
    client = Client(operation_seconds=(1.0, 1.0))
    project_id, _ = _made(client, compute_time_seconds=100)
    client.call("POST", f"/projects/{project_id}/branches", {"endpoints": [{"type": "read_write"}]}, status=201)
    client.wait(2)
    client.simulator.advance(client.now)
    assert client.simulator.next_due() == pytest.approx(client.now + (100 - 3 - 2) / 2, abs=0.01)


def test_the_end_of_the_period_begins_anew() -> None:
    client = Client()
    project_id, endpoint = _made(client, active_time_seconds=1000)
    client.simulator.consume(project_id, client.now, active_time_seconds=1000, written_data_bytes=7, size_bytes=1024)
    client.wait()
    project = _project(client, project_id)
    assert project["consumption_period_start"] <= project["created_at"] < project["consumption_period_end"]
    assert (project["written_data_bytes"], project["synthetic_storage_size"]) == (7, 1024)
    client.wait(8 * 86400)
    client.call("POST", f"/projects/{project_id}/endpoints/{endpoint}/start", status=423)
    client.wait(3 * 86400)
    later = _project(client, project_id)
    assert later["consumption_period_start"] == project["consumption_period_end"]
    assert (later["written_data_bytes"], later["active_time_seconds"]) == (0, 0)
    assert later["data_storage_bytes_hour"] > 0
    client.wait()
    client.call("POST", f"/projects/{project_id}/endpoints/{endpoint}/start")


def test_the_size_of_a_branch_suspends_nothing() -> None:
    client = Client()
    project_id, endpoint = _made(client, logical_size_bytes=10)
    client.simulator.consume(project_id, client.now, size_bytes=1000)
    client.wait()
    assert _state(client, project_id) == "active"
    client.call("POST", f"/projects/{project_id}/endpoints/{endpoint}/start")


def test_a_suspended_project_is_closed_until_its_quota_is_raised() -> None:
    client = Client(physical=True)
    project_id = client.call(
        "POST", "/projects", {"project": {"settings": {"quota": {"written_data_bytes": 5}}}}, status=201
    )["project"]["id"]
    assert [each.open for each in _carried_out(client)] == [True]
    client.simulator.consume(project_id, client.now, written_data_bytes=5)
    assert [each.open for each in _carried_out(client)] == [False]
    body: Json = {"project": {"settings": {"quota": {"written_data_bytes": 0}}}}
    client.call("PATCH", f"/projects/{project_id}", body)
    assert [each.open for each in _carried_out(client)] == [True]


def test_a_suspended_project_is_recovered_suspended() -> None:
    client = Client()
    project_id, endpoint = _made(client, written_data_bytes=5)
    client.simulator.consume(project_id, client.now, written_data_bytes=5)
    client.wait()
    client.wait()
    client.call("DELETE", f"/projects/{project_id}")
    client.wait()
    client.call("POST", f"/projects/{project_id}/recover")
    client.wait()
    assert _state(client, project_id) == "idle"
    client.call("POST", f"/projects/{project_id}/endpoints/{endpoint}/start", status=423)


def _carried_out(client: Client) -> list[EnsureDatabases]:
    done: list[EnsureDatabases] = []
    for _ in range(6):
        for command in client.simulator.advance(client.now):
            client.simulator.complete(command.operation_id, client.now)
            assert isinstance(command, EnsureDatabases)
            done.append(command)
        client.wait(1)
    return done

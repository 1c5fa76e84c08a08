"""How local Neon's answers look where Neon's differ from its documents: hosts of cells, and undocumented fields."""

from __future__ import annotations

import re
from typing import Any

from reconciler.local.options import LocalNeonOptions
from reconciler.local.simulator import LocalNeon
from tests.unit.local_neon_client import Client, Json


def test_hosts_have_the_label_of_a_cell() -> None:
    client = Client(cell="c-4")
    made = client.create(region_id="aws-eu-central-1", branch={"role_name": "app 1", "database_name": "app"})
    (endpoint,) = made["endpoints"]
    host = f"{endpoint['id']}.c-4.eu-central-1.aws.neon.tech"
    pooled = f"{endpoint['id']}-pooler.c-4.eu-central-1.aws.neon.tech"
    assert re.fullmatch(r"ep-[a-z]+-[a-z]+-[a-z0-9]{8}", endpoint["id"])
    assert endpoint["host"] == host
    assert endpoint["hosts"] == {"read_write_host": host, "read_write_pooled_host": pooled}
    assert endpoint["proxy_host"] == made["project"]["proxy_host"] == "c-4.eu-central-1.aws.neon.tech"
    (details,) = made["connection_uris"]
    parameters = details["connection_parameters"]
    assert (parameters["host"], parameters["pooler_host"]) == (host, pooled)
    assert (parameters["role"], parameters["database"]) == ("app 1", "app")
    login, query = f"app%201:{parameters['password']}", "sslmode=require&channel_binding=require"
    assert details["connection_uri"] == f"postgresql://{login}@{host}/app?{query}"
    asked: Json = {"database_name": "app", "role_name": "app 1", "pooled": "true"}
    uri = client.call("GET", f"/projects/{made['project']['id']}/connection_uri", **asked)["uri"]
    assert uri == f"postgresql://{login}@{pooled}/app?{query}"


def test_every_compute_has_a_host_of_its_own_in_a_cell() -> None:
    client = Client(cell="c-2")
    path = f"/projects/{client.create()['project']['id']}"
    made = client.call("POST", f"{path}/branches", {"endpoints": [{"type": "read_write"}]}, status=201)
    hosts = {each["host"] for each in client.call("GET", f"{path}/endpoints")["endpoints"]}
    assert len(hosts) == 2
    assert made["connection_uris"][0]["connection_parameters"]["host"] in hosts


def test_without_a_cell_hosts_are_where_a_postgres_answers() -> None:
    made = Client(port=6543).create()
    assert made["project"]["proxy_host"] == "127.0.0.1"
    assert "@127.0.0.1:6543/" in made["connection_uris"][0]["connection_uri"]


def _objects(value: Any, name: str | None = None) -> list[tuple[str | None, dict[str, Any]]]:
    if isinstance(value, list):
        return [found for item in value for found in _objects(item)]
    if isinstance(value, dict):
        below = [found for key, item in value.items() if key != "of_tomorrow" for found in _objects(item, key)]
        return [(name, value), *below]
    return []


def test_undocumented_fields_add_unknown_fields_and_values() -> None:
    client = Client(undocumented_fields=True)
    made = client.create(settings={"quota": {"active_time_seconds": 9}}, branch={"annotations": {"a": "b"}})
    path = f"/projects/{made['project']['id']}"
    for _, found in _objects(made):
        assert "of_tomorrow" in found
    listed = client.call("GET", f"{path}/branches")
    maps = [found for name, found in _objects(listed) if name in {"annotations", "value"}]
    assert maps[1] == {"a": "b"}
    assert set(maps[0]) == {made["branch"]["id"]}
    seen = {client.call("GET", f"{path}/endpoints")["endpoints"][0]["current_state"] for _ in range(100)}
    assert seen == {"active", "hibernating"}
    operations = client.call("GET", f"{path}/operations")["operations"]
    assert {each["id"] for each in operations} == {each["id"] for each in made["operations"]}
    assert "of_tomorrow" not in client.call("GET", "/nothing", status=404)


def test_undocumented_fields_depend_on_the_seed_and_are_absent_by_default() -> None:
    def play(seed: int) -> list[object]:
        client = Client(LocalNeon(LocalNeonOptions(undocumented_fields=True), seed))
        client.create()
        return [client.call("GET", "/projects") for _ in range(20)]

    assert play(1) == play(1)
    assert "of_tomorrow" not in str(Client().create())

"""A project of local Neon with what its branches are asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.unit.local_neon_client import Client, Json


def at(moment: float) -> str:
    """Render a time as a request has it."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


class Project:
    """One project, its default branch, and calls that wait for their operations."""

    def __init__(self, **options: Any) -> None:
        self.client = Client(**options)
        made = self.client.create(branch={"annotations": {"mark": "ours"}})
        self.id: str = made["project"]["id"]
        self.path = f"/projects/{self.id}"
        self.main: str = made["branch"]["id"]
        self.endpoint: str = made["endpoints"][0]["id"]

    @property
    def now(self) -> float:
        """The client's clock."""
        return self.client.now

    def call(self, method: str, path: str, body: object = None, *, status: int = 200, **query: Any) -> Json:
        """Send a request below the project, and let its operations finish."""
        answer = self.client.call(method, self.path + path, body, status=status, **query)
        self.client.wait()
        return answer

    def refused(self, method: str, path: str, body: object = None, *, status: int = 422, **query: Any) -> str:
        """Send a request that is refused and changes nothing, and return the message."""
        self.client.simulator.advance(self.client.now)
        before = self._kept()
        answer = self.client.call(method, self.path + path, body, status=status, **query)
        assert self._kept() == before
        message: str = answer["message"]
        return message

    def _kept(self) -> Json:
        """All there is to know of the project, but for what its computes consume by time alone."""
        return {name: value for name, value in (self.client.simulator.dump(self.id) or {}).items() if name != "usage"}

    def branch(self, branch_id: str) -> Json:
        """Read a branch."""
        found: Json = self.client.call("GET", f"{self.path}/branches/{branch_id}")["branch"]
        return found

    def branches(self) -> dict[str, Json]:
        """All branches by name."""
        listed = self.client.call("GET", f"{self.path}/branches", limit="10000")["branches"]
        return {branch["name"]: branch for branch in listed}

    def make(self, name: str | None = None, *, endpoints: int = 0, **fields: Any) -> str:
        """Make a branch, and return its id."""
        named = {} if name is None else {"name": name}
        body = {"branch": {**named, **fields}, "endpoints": [{"type": "read_write"}] * endpoints}
        made: str = self.call("POST", "/branches", body, status=201)["branch"]["id"]
        return made

    def role(self, name: str, branch: str | None = None) -> None:
        """Make a role."""
        self.call("POST", f"/branches/{branch or self.main}/roles", {"role": {"name": name}}, status=201)

    def roles(self, branch: str) -> set[str]:
        """The names of a branch's roles."""
        return {each["name"] for each in self.client.call("GET", f"{self.path}/branches/{branch}/roles")["roles"]}

    def databases(self, branch: str) -> set[str]:
        """The names of a branch's databases."""
        listed = self.client.call("GET", f"{self.path}/branches/{branch}/databases")["databases"]
        return {each["name"] for each in listed}

    def password(self, branch: str, role: str = "neondb_owner") -> str:
        """Reveal a password."""
        path = f"{self.path}/branches/{branch}/roles/{role}/reveal_password"
        password: str = self.client.call("GET", path)["password"]
        return password

    def uri(self, branch: str | None = None, **more: Any) -> str:
        """The URI of a branch's own compute."""
        names = {"database_name": "neondb", "role_name": "neondb_owner", **more}
        query = names if branch is None else {**names, "branch_id": branch}
        uri: str = self.client.call("GET", f"{self.path}/connection_uri", **query)["uri"]
        return uri

    def compute(self, endpoint: str | None = None) -> Json:
        """Read a compute."""
        found: Json = self.client.call("GET", f"{self.path}/endpoints/{endpoint or self.endpoint}")["endpoint"]
        return found

"""Who calls, what they send, and what comes back."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any

from specs.names import app_id_from_bytes
from tests.integration.api_client import token

# The first app of most examples, alice's or bob's; number 0 is the daemon's.
SCOPE = app_id_from_bytes((1).to_bytes(15, "big"))


class Caller(StrEnum):
    """A token, or its absence."""

    ALICE = "alice"
    BOB = "bob"
    READER = "alice, read only"
    SCOPED = "alice, one app"
    POWERLESS = "alice, no permission"
    EXPIRED = "alice, expired"
    NOBODY = "no token"

    @property
    def owner(self) -> str:
        """Whose apps the caller means."""
        return "bob" if self is Caller.BOB else "alice"

    @property
    def may_write(self) -> bool:
        """Whether the token has ``write``."""
        return self in {Caller.ALICE, Caller.BOB, Caller.SCOPED}

    def reaches(self, app_id: str) -> bool:
        """Whether the token is for all apps, or for this one."""
        return self is not Caller.SCOPED or app_id == SCOPE


@cache
def bearer(caller: Caller) -> str | None:
    """The caller's token."""
    # Longer than any run.
    later = int(time.time()) + 30 * 86_400
    match caller:
        case Caller.NOBODY:
            return None
        case Caller.EXPIRED:
            return token("alice", exp=1)
        case Caller.POWERLESS:
            return token("alice", (), exp=later)
        case Caller.SCOPED:
            return token("alice", exp=later, app_id=SCOPE)
        case Caller.READER:
            return token("alice", ("read",), exp=later)
    return token(caller.value, exp=later)


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        body: what is sent as JSON; bytes are sent as they are.
        key: the ``Idempotency-Key``.
        request_id: the ``X-Request-ID``.
    """

    caller: Caller
    method: str
    path: str
    body: Any = None
    key: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None

    @property
    def content(self) -> bytes | None:
        """The body's bytes."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()

    @property
    def app_id(self) -> str:
        """The app that the path names."""
        return self.path.split("/")[3]

    def headers(self) -> dict[str, str]:
        """What goes along."""
        given = bearer(self.caller)
        headers = {} if given is None else {"Authorization": f"Bearer {given}"}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.key is not None:
            headers["Idempotency-Key"] = self.key
        if self.request_id is not None:
            headers["X-Request-ID"] = self.request_id
        return headers


@dataclass(frozen=True)
class Answer:
    """One answer, and when it came."""

    status: int
    headers: Mapping[str, str]
    text: str
    at: float

    @property
    def document(self) -> Any:
        """What it says."""
        return json.loads(self.text)

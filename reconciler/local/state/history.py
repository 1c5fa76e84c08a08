"""The history of a branch: its former roles and databases, and positions in its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from reconciler.local.errors import bad_request, unprocessable
from reconciler.local.state.models import (
    Branch,
    Database,
    HistoryEntry,
    Project,
    Role,
)

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_FIRST_LSN = 0x1A2B3C8
_LSN_A_SECOND = 8000


@dataclass(frozen=True)
class BranchState:
    """The state of a branch at one time.

    Attributes:
        moment: seconds since the epoch.
        roles: its roles, with their passwords at that time.
        databases: its databases.
    """

    moment: float
    roles: dict[str, Role]
    databases: dict[str, Database]


def record_history(project: Project, branch: Branch, now: float) -> None:
    """Record the roles and databases of a branch before a change, and drop entries older than the history window."""
    oldest = now - project.history_retention_seconds
    entries = [entry for entry in branch.history if entry.until >= oldest]
    branch.history = [*entries, HistoryEntry(until=now, roles=dict(branch.roles), databases=dict(branch.databases))]


def current_state(branch: Branch, now: float) -> BranchState:
    """Return the current state of a branch."""
    return _point(now, branch.roles, branch.databases)


def state_at(
    project: Project, branch: Branch, now: float, *, timestamp: str | None = None, lsn: str | None = None
) -> BranchState:
    """Return the state of a branch at a time or a position in its log; by default the current one.

    Raises:
        ApiError: 400 for both or a malformed value, 422 for one outside the branch's history.
    """
    if timestamp is not None and lsn is not None:
        raise bad_request("a timestamp and an LSN exclude each other")
    if timestamp is None and lsn is None:
        return current_state(branch, now)
    since = max(_history_start(branch), now - project.history_retention_seconds)
    if lsn is None:
        moment = parse_timestamp(timestamp or "", "timestamp")
        inside = since <= moment <= now
    else:
        position = _position(lsn)
        inside = _position_at(project, since) <= position <= _position_at(project, now)
        moment = min(max(_moment_at(project, position), since), now)
    if not inside:
        raise unprocessable(f"the point in time is outside of the history of branch {branch.id}")
    for entry in branch.history:
        if moment < entry.until:
            return _point(moment, entry.roles, entry.databases)
    return _point(moment, branch.roles, branch.databases)


def _point(moment: float, roles: dict[str, Role], databases: dict[str, Database]) -> BranchState:
    without_resets = {name: role.model_copy(update={"next_password": None}) for name, role in roles.items()}
    return BranchState(moment, without_resets, dict(databases))


def _history_start(branch: Branch) -> float:
    return branch.created_at if branch.history_since is None else branch.history_since


def lsn_at(project: Project, moment: float) -> str:
    """Return the log position of a project at a time; it depends on time only."""
    position = _position_at(project, moment)
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def _position_at(project: Project, moment: float) -> int:
    return _FIRST_LSN + int((moment - project.created_at) * _LSN_A_SECOND)


def _moment_at(project: Project, position: int) -> float:
    return project.created_at + (position - _FIRST_LSN) / _LSN_A_SECOND


def _position(text: str) -> int:
    match = _LSN.fullmatch(text)
    if match is None:
        raise bad_request("the LSN is not of the form 0/1A2B3C8")
    return (int(match[1], 16) << 32) + int(match[2], 16)


def parse_timestamp(text: str, field: str) -> float:
    """Parse a time of RFC 3339 into seconds since the epoch.

    Raises:
        ApiError: 400 for a malformed time, or one without a time zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(f"{field} is not a time") from None
    if moment.tzinfo is None or "T" not in text.upper():
        raise bad_request(f"{field} has no time zone")
    return moment.timestamp()

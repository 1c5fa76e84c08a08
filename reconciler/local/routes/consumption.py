"""Routes of consumption history. They start no compute (Neon OpenAPI document, Consumption)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

from reconciler.local.errors import ApiError, bad_request
from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext
from reconciler.local.routes.current_user import organization_of
from reconciler.local.schemas.responses import format_timestamp
from reconciler.local.state.models import Json, Project
from reconciler.local.state.usage import Amount
from reconciler.local.usage.metering import (
    DAY,
    HOUR,
    meter,
    period_end,
    period_start,
)

_BRANCH_METRICS = {
    "compute_unit_seconds",
    "root_branch_bytes_month",
    "child_branch_bytes_month",
    "instant_restore_bytes_month",
    "public_network_transfer_bytes",
    "private_network_transfer_bytes",
}
_PROJECT_METRICS = _BRANCH_METRICS | {"extra_branches_month", "snapshot_storage_bytes_month"}
_PLANS = {"launch", "scale", "agent", "business", "enterprise"}
_MAX_DAYS = {"hourly": 7, "daily": 60, "monthly": 366}
_EARLIEST = datetime(2024, 3, 1, tzinfo=UTC).timestamp()
_PERIODS = uuid.UUID("6f1c1c6e-52a0-4c0c-9a51-8f6a0a1f2f10")


class _ConsumptionQuery:
    """The query parameters that both routes have."""

    def __init__(self, context: RequestContext, known: set[str], plans: set[str]) -> None:
        self.context = context
        self.granularity = context.required("granularity")
        if self.granularity not in _MAX_DAYS:
            raise bad_request("granularity must be hourly, daily or monthly")
        self.org_id = organization_of(context, context.required("org_id"))
        self.metrics = context.required("metrics").split(",")
        if not set(self.metrics) <= known:
            raise bad_request(f"metrics must be of {', '.join(sorted(known))}")
        since, until = _moment(context, "from"), _moment(context, "to")
        self.plan = context.account.keys.organization(self.org_id).plan
        if self.plan not in plans:
            raise ApiError(403, "consumption history is not available on this plan")
        self.since, self.until = self._start(since), self._start(until)
        earliest = max(_EARLIEST, context.now - (_MAX_DAYS[self.granularity] + 1) * DAY)
        if not earliest <= self.since <= self.until or until > context.now + DAY:
            span = f"from {format_timestamp(since)} to {format_timestamp(until)}"
            raise ApiError(406, f"the range {span} is not valid for {self.granularity}")

    def periods(self, project: Project, branch_ids: Iterable[str]) -> list[Json]:
        """Render the total consumption of branches, by billing period and timeframe, oldest first."""
        meter(project, self.context.now)
        branches, frames_by_period = set(branch_ids), dict[float, list[Json]]()
        start = self.since
        while start < self.until:
            end = self._next(start)
            frame = {"timeframe_start": format_timestamp(start), "timeframe_end": format_timestamp(end)}
            amounts = self._amounts(project, start, end, branches)
            metrics = [
                {"metric_name": name, "value": self._value(project, name, amounts, start)} for name in self.metrics
            ]
            frames_by_period.setdefault(period_start(start), []).append(frame | {"metrics": metrics})
            start = end
        return [self._period(project, start, frames) for start, frames in frames_by_period.items()]

    def _period(self, project: Project, start: float, frames: list[Json]) -> Json:
        period_id = uuid.uuid5(_PERIODS, f"{project.org_id} {start}")
        period: Json = {"period_id": str(period_id), "period_plan": self.plan, "period_start": format_timestamp(start)}
        ended = {"period_end": format_timestamp(period_end(start))} if period_end(start) <= self.context.now else {}
        return period | ended | {"consumption": frames}

    def _amounts(self, project: Project, start: float, end: float, branches: set[str]) -> dict[str, Amount]:
        hourly = self.granularity == "hourly"
        buckets, length = (project.usage.hours, HOUR) if hourly else (project.usage.days, DAY)
        total: dict[str, Amount] = {}
        for number in range(int(start // length), int(end // length)):
            for branch_id, amount in buckets.get(number, {}).items():
                if branch_id in branches:
                    total.setdefault(branch_id, Amount()).add(amount)
        return total

    def _value(self, project: Project, name: str, amounts: dict[str, Amount], start: float) -> int:
        if name == "compute_unit_seconds":
            return round(sum(amount.compute_unit_seconds for amount in amounts.values()))
        if name == "public_network_transfer_bytes":
            return sum(amount.transfer_bytes for amount in amounts.values())
        if name in {"root_branch_bytes_month", "child_branch_bytes_month"}:
            roots = {branch.id for branch in project.branches.values() if branch.parent_id is None}
            wanted = [a for b, a in amounts.items() if (b in roots) == (name == "root_branch_bytes_month")]
            return round(sum(amount.byte_seconds for amount in wanted) / (period_end(start) - period_start(start)))
        return 0

    def _start(self, moment: float) -> float:
        if self.granularity == "monthly":
            return period_start(moment)
        length = HOUR if self.granularity == "hourly" else DAY
        return moment // length * length

    def _next(self, start: float) -> float:
        if self.granularity == "monthly":
            return period_end(start)
        return start + (HOUR if self.granularity == "hourly" else DAY)


def of_projects(context: RequestContext) -> Response:
    """Handle ``GET /consumption_history/v2/projects``, newest projects first."""
    query = _ConsumptionQuery(context, _PROJECT_METRICS, _PLANS)
    limit, wanted = context.number("limit", 10, 100), _ids(context, "project_ids")
    selected = [project for project in _projects(query) if not wanted or project.id in wanted]
    rows = sorted(
        ((f"{project.created_at:017.6f} {project.id}", project) for project in selected), reverse=True, key=_sort_key
    )
    cursor = context.request.query.get("cursor")
    page = [row for row in rows if cursor is None or row[0] < cursor][:limit]
    listed: list[Json] = [
        {"project_id": project.id, "periods": query.periods(project, _consumers(project))} for _, project in page
    ]
    return _page_response("projects", listed, page[-1][0] if page else cursor)


def of_branches(context: RequestContext) -> Response:
    """Handle ``GET /consumption_history/v2/branches``, by project and branch."""
    query = _ConsumptionQuery(context, _BRANCH_METRICS, _PLANS - {"business"})
    limit, projects, branches = (
        context.number("limit", 100, 1000),
        _ids(context, "project_ids"),
        _ids(context, "branch_ids"),
    )
    if not projects:
        raise bad_request("project_ids is required")
    selected = sorted(
        (project.id, branch_id)
        for project in _projects(query)
        if project.id in projects
        for branch_id in project.branches
        if not branches or branch_id in branches
    )
    cursor = context.request.query.get("cursor")
    page = [ids for ids in selected if cursor is None or " ".join(ids) > cursor][:limit]
    listed: list[Json] = [
        {
            "project_id": project_id,
            "branch_id": branch_id,
            "periods": query.periods(context.account.projects[project_id], [branch_id]),
        }
        for project_id, branch_id in page
    ]
    return _page_response("branches", listed, " ".join(page[-1]) if page else cursor)


def _projects(query: _ConsumptionQuery) -> list[Project]:
    projects = query.context.account.projects.values()
    return [project for project in projects if project.org_id == query.org_id and project.deleted_at is None]


def _consumers(project: Project) -> set[str]:
    """Return the ids of existing branches, and of deleted ones with recorded consumption."""
    return {branch_id for amounts in project.usage.days.values() for branch_id in amounts} | set(project.branches)


def _sort_key(row: tuple[str, Project]) -> str:
    return row[0]


def _page_response(name: str, listed: list[Json], cursor: str | None) -> Response:
    body: Json = {name: listed}
    return Response(200, body | ({"pagination": {"cursor": cursor}} if cursor else {}))


def _ids(context: RequestContext, name: str) -> set[str]:
    ids = {text for text in context.request.query.get(name, "").split(",") if text}
    if len(ids) > 100:
        raise bad_request(f"{name} must be at most 100")
    return ids


def _moment(context: RequestContext, name: str) -> float:
    try:
        moment = datetime.fromisoformat(context.required(name))
    except ValueError:
        raise bad_request(f"{name} is not a date-time") from None
    if moment.tzinfo is None:
        raise bad_request(f"{name} has no time zone")
    return moment.timestamp()

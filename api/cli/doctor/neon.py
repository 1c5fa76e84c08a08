"""Checks of the Neon key. They send only GET: the client's transport rejects every other method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from api.cli.doctor.catalog import check_clock_skew
from api.cli.doctor.result import CheckResult, CheckStatus, failed, ok, skipped, warning
from reconciler.catalog.inspect import Identity
from reconciler.core.host_allow_list import is_host_allowed
from reconciler.errors import NeonAPIError, NeonNotFound, NeonUnauthorized
from reconciler.neon.client import NeonClient
from reconciler.neon.read_only import ReadOnlyTransport, organizations_with_plans, project_hosts, regions
from reconciler.runtime.guards.organization import LOOPBACK_API
from specs.names import parse_project_name
from specs.settings import ControlPlaneSettings, ReconcilerSettings, is_loopback

# Neon docs, Plans, 2026-08: projects included. Agent plans have individual limits.
PROJECTS_BY_PLAN = {"free": 100, "launch": 100, "scale": 1000}
NEAR_LIMIT_RATIO = 0.9
MAX_PROJECTS_FOR_HOSTS = 400
_KINDS = {"api_key_org": "an organization's key", "api_key_user": "a personal key"}
_ONE_PROJECT = "create a key for the whole organization in Neon's console, and set NEON_API_KEY"
CHECKS = ("key", "organization", "binding", "projects", "regions", "database hosts", "Neon's clock")


class NeonChecks:
    """The checks of the key, in order.

    Args:
        loop: the reconciler's settings.
        control_plane: None if these settings are not valid.
        identity: the catalog's identity; None if it is not known.
        client: Neon.
        transport: the client's transport, which records Neon's clock.
    """

    def __init__(
        self,
        loop: ReconcilerSettings,
        control_plane: ControlPlaneSettings | None,
        identity: Identity | None,
        client: NeonClient,
        transport: ReadOnlyTransport,
    ) -> None:
        self._loop = loop
        self._control_plane = control_plane
        self._identity = identity
        self._client = client
        self._transport = transport
        self._org_id = ""
        self._plan = ""

    async def run(self) -> list[CheckResult]:
        """Run all checks. After a failed check of the key or the organization, the others are skipped."""
        checks = (self.key, self.organization, self.binding, self.projects, self.regions, self.hosts, self.clock)
        results: list[CheckResult] = []
        skip_reason = ""
        for name, check in zip(CHECKS, checks, strict=True):
            if skip_reason and name != "Neon's clock":
                results.append(skipped(name, skip_reason))
                continue
            results.append(await _guarded(name, check))
            if name in {"key", "organization"} and results[-1].status is CheckStatus.FAILED:
                skip_reason = f"the check of the {name} failed"
        return results

    async def key(self) -> CheckResult:
        """Report the kind of the key."""
        details = await self._client.get_auth()
        kind = _KINDS.get(details.auth_method, f"a credential of the kind {details.auth_method!r}")
        message = f"{kind}, account {details.account_id}"
        if details.auth_method == "api_key_org":
            return ok("key", message)
        return warning("key", message, "use a key of the organization: a personal key ends with its account")

    async def organization(self) -> CheckResult:
        """Check that the key and NEON_ORG_ID select one organization."""
        configured = self._loop.neon_org_id
        try:
            visible = {item.id: item.plan for item in await self._client.send(organizations_with_plans())}
        except NeonNotFound as error:
            if configured is None:
                return failed("organization", str(error), "set NEON_ORG_ID")
            self._org_id = configured
            message = f"Neon does not list the key's organizations; NEON_ORG_ID is {configured}"
            return warning("organization", message, "verify NEON_ORG_ID in Neon's console")
        if configured is not None and configured not in visible:
            message = f"the key does not see NEON_ORG_ID {configured}, but {', '.join(visible) or 'no organization'}"
            return failed("organization", message, "use a key of that organization, or correct NEON_ORG_ID")
        if configured is None and len(visible) != 1:
            return failed(
                "organization", f"the key sees {', '.join(visible) or 'none'}", "set NEON_ORG_ID to one of them"
            )
        self._org_id = configured or next(iter(visible))
        self._plan = visible[self._org_id]
        return ok("organization", f"{self._org_id}, plan {self._plan or 'unknown'}")

    async def binding(self) -> CheckResult:
        """Check that the settings match the binding that the catalog has recorded."""
        identity = self._identity
        if identity is None:
            return skipped("binding", "the catalog's identity is not known")
        if identity.org_id is None:
            return ok("binding", "the catalog is not bound to an organization yet; the first daemon binds it")
        url = LOOPBACK_API if is_loopback(self._loop.neon_api_url) else self._loop.neon_api_url
        control_plane_id = None if self._control_plane is None else self._control_plane.control_plane_id
        for name, configured, recorded in (
            ("NEON_ORG_ID", self._org_id, identity.org_id),
            ("NEON_API_URL", url, identity.neon_api_url),
            ("CONTROL_PLANE_ID", control_plane_id, identity.control_plane_id),
        ):
            if configured is not None and configured != recorded:
                if name == "CONTROL_PLANE_ID" and identity.unused and identity.quarantined:
                    message = f"the catalog has no projects and replaces {name} {recorded} by {configured}"
                    return warning("binding", message, "restart all daemons with this setting")
                message = f"the catalog is bound to {name} {recorded}, and the setting is {configured}"
                message = f"{message}; no mutations are sent"
                return failed("binding", message, "use the key and organization of the catalog")
        return ok("binding", "the settings match the organization, API and control plane of the catalog")

    async def projects(self) -> CheckResult:
        """Check that the key lists projects, and that the plan allows more."""
        listing = await self._client.list_all_projects(org_id=self._org_id)
        count = len(listing.projects) + len(listing.unavailable_project_ids) + len(listing.unreadable)
        owned = sum(parse_project_name(project.name) is not None for project in listing.projects)
        message = f"{count} in the organization, {owned} with a name of this product"
        if not listing.is_complete:
            return warning("projects", f"{message}; Neon's list is incomplete now", "run the check again later")
        if listing.unreadable:
            message = f"{message}; {len(listing.unreadable)} are unreadable"
            return warning("projects", message, "check these projects in Neon's console, or contact Neon's support")
        if self._identity is not None and self._identity.projects > owned:
            message = f"{message}; the catalog has recorded {self._identity.projects}"
            return warning("projects", message, "see README, Everything has stopped, if the difference persists")
        if self._identity is not None and self._identity.unused and owned:
            message = f"{message}; this catalog has created none"
            remedy = "verify that no other catalog uses this CONTROL_PLANE_ID; a daemon checks these projects first"
            return warning("projects", message, remedy)
        limit = next((maximum for plan, maximum in PROJECTS_BY_PLAN.items() if plan in self._plan.lower()), None)
        if limit is not None and count >= limit * NEAR_LIMIT_RATIO:
            message = f"{message}; the plan {self._plan} has {limit}"
            return warning("projects", message, "have Neon raise the limit before it rejects creates")
        return ok(
            "projects", f"{message}, {'no limit known' if limit is None else f'of {limit} in the plan {self._plan}'}"
        )

    async def regions(self) -> CheckResult:
        """Check that Neon has the regions of NEON_REGIONS."""
        if self._control_plane is None:
            return skipped("regions", "NEON_REGIONS is not valid")
        try:
            listed = await self._client.send(regions(self._org_id))
        except (NeonNotFound, NeonUnauthorized):
            return skipped("regions", "Neon does not list regions for this kind of key")
        unknown = [region for region in self._control_plane.neon_regions if region not in listed]
        if unknown:
            return failed("regions", f"Neon does not list {', '.join(unknown)}", "remove them from NEON_REGIONS")
        return ok("regions", f"Neon has all {len(self._control_plane.neon_regions)} of NEON_REGIONS")

    async def hosts(self) -> CheckResult:
        """Check that NEON_HOST_SUFFIXES allows the hosts of the organization's databases."""
        suffixes = self._loop.host_suffixes
        projects = await self._client.send(project_hosts(self._org_id, MAX_PROJECTS_FOR_HOSTS))
        hosts = {project.proxy_host for project in projects if project.proxy_host}
        if not hosts:
            return skipped("database hosts", "no project exists to read a host from")
        rejected = sorted(host for host in hosts if not is_host_allowed(host, suffixes))
        if rejected:
            message = f"{', '.join(rejected)}: not allowed by {', '.join(suffixes)}"
            return failed("database hosts", message, "if they belong to Neon, add their suffix to NEON_HOST_SUFFIXES")
        return ok("database hosts", f"{', '.join(sorted(hosts))}: allowed by {', '.join(suffixes)}")

    async def clock(self) -> CheckResult:
        """Check this machine's clock against Neon's."""
        if self._transport.ahead is None:
            return skipped("Neon's clock", "no response contained a time")
        return check_clock_skew("Neon's clock", self._transport.ahead, timedelta(seconds=1))


async def _guarded(name: str, check: Callable[[], Awaitable[CheckResult]]) -> CheckResult:
    try:
        return await check()
    except NeonUnauthorized as error:
        if "scoped to" in error.detail:
            return failed(name, f"the key is for one project only ({error})", _ONE_PROJECT)
        return failed(name, f"Neon rejects the key ({error})", "create a new one in Neon's console; set NEON_API_KEY")
    except NeonAPIError as error:
        return failed(name, str(error), "check that NEON_API_URL is correct and reachable")

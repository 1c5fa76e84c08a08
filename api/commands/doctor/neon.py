"""Checks of the Neon key. Only GETs are sent: the client's transport refuses everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from api.commands.doctor.catalog import check_clock_skew
from api.commands.doctor.line import Line, State, failed, ok, skipped, warning
from reconciler.catalog.inspect import Identity
from reconciler.core.host_allow_list import is_host_allowed
from reconciler.errors import NeonAPIError, NeonNotFound, NeonUnauthorized
from reconciler.neon.client import NeonClient
from reconciler.neon.read_only import ReadOnlyTransport, organizations_with_plans, project_hosts, regions
from reconciler.runtime.guards.organization import LOOPBACK_API
from specs.names import parse_project_name
from specs.settings import ControlPlaneSettings, ReconcilerSettings, is_loopback

# Neon docs, Plans, 2026-08: projects included. An agent plan has what was agreed.
PROJECTS_BY_PLAN = {"free": 100, "launch": 100, "scale": 1000}
NEAR_LIMIT_RATIO = 0.9
HOSTS_LOOKED_AT = 400
_KINDS = {"api_key_org": "an organization's key", "api_key_user": "a personal key"}
_ONE_PROJECT = "make a key for the whole organization in Neon's console, and set NEON_API_KEY"
CHECKS = ("key", "organization", "pins", "projects", "regions", "database hosts", "Neon's clock")


class NeonChecks:
    """The checks, in their order.

    Args:
        loop, plane: the settings; plane is None where it is wrong.
        identity: what the catalog says it works with; None where that is not known.
        client: sends.
        transport: the client's own, which knows Neon's clock.
    """

    def __init__(
        self,
        loop: ReconcilerSettings,
        plane: ControlPlaneSettings | None,
        identity: Identity | None,
        client: NeonClient,
        transport: ReadOnlyTransport,
    ) -> None:
        self._loop = loop
        self._plane = plane
        self._identity = identity
        self._client = client
        self._transport = transport
        self._org_id = ""
        self._plan = ""

    async def run(self) -> list[Line]:
        """All of them; what follows a key or an organization that is refused is skipped."""
        looks: dict[str, Callable[[], Awaitable[Line]]] = dict(
            zip(
                CHECKS,
                (self.key, self.organization, self.pins, self.projects, self.regions, self.hosts, self.clock),
                strict=True,
            )
        )
        lines: list[Line] = []
        refused = ""
        for check, look in looks.items():
            if refused and check != "Neon's clock":
                lines.append(skipped(check, refused))
                continue
            lines.append(await _guarded(check, look))
            if check in {"key", "organization"} and lines[-1].state is State.FAILED:
                refused = f"the {check} has to be put right first"
        return lines

    async def key(self) -> Line:
        """What kind of key is it?"""
        details = await self._client.get_auth()
        kind = _KINDS.get(details.auth_method, f"a credential of the kind {details.auth_method!r}")
        says = f"{kind}, account {details.account_id}"
        if details.auth_method == "api_key_org":
            return ok("key", says)
        return warning("key", says, "give the daemons a key of the organization: this one ends with its person")

    async def organization(self) -> Line:
        """Which organization may it work for?"""
        wanted = self._loop.neon_org_id
        try:
            visible = {each.id: each.plan for each in await self._client.send(organizations_with_plans())}
        except NeonNotFound as error:
            if wanted is None:
                return failed("organization", str(error), "set NEON_ORG_ID")
            self._org_id = wanted
            return warning(
                "organization", f"Neon does not tell this key; {wanted} is taken from NEON_ORG_ID", "be sure"
            )
        if wanted is not None and wanted not in visible:
            says = f"the key does not see NEON_ORG_ID {wanted}, but {', '.join(visible) or 'no organization'}"
            return failed("organization", says, "take a key of that organization, or set NEON_ORG_ID right")
        if wanted is None and len(visible) != 1:
            return failed(
                "organization", f"the key sees {', '.join(visible) or 'none'}", "set NEON_ORG_ID to one of them"
            )
        self._org_id = wanted or next(iter(visible))
        self._plan = visible[self._org_id]
        return ok("organization", f"{self._org_id}, plan {self._plan or 'not told'}")

    async def pins(self) -> Line:
        """Is it what this catalog has worked with?"""
        kept = self._identity
        if kept is None:
            return skipped("pins", "what the catalog works with is not known")
        if kept.org_id is None:
            return ok("pins", "the catalog has not worked with any organization yet; the first daemon pins it")
        url = LOOPBACK_API if is_loopback(self._loop.neon_api_url) else self._loop.neon_api_url
        plane = None if self._plane is None else self._plane.control_plane_id
        for name, here, there in (
            ("NEON_ORG_ID", self._org_id, kept.org_id),
            ("NEON_API_URL", url, kept.neon_api_url),
            ("CONTROL_PLANE_ID", plane, kept.control_plane_id),
        ):
            if here is not None and here != there:
                if name == "CONTROL_PLANE_ID" and kept.unused and kept.quarantined:
                    says = f"the catalog has no projects and takes {name} {here} in place of {there}"
                    return warning("pins", says, "restart the daemons, all with this setting")
                says = f"this catalog works with {name} {there}, and here it is {here}; nothing would be changed"
                return failed("pins", says, "take key, organization and catalog that belong together")
        return ok("pins", "the same organization, API and plane as ever")

    async def projects(self) -> Line:
        """May it list projects, and is there room for more?"""
        listing = await self._client.list_all_projects(org_id=self._org_id)
        count = len(listing.projects) + len(listing.unavailable_project_ids) + len(listing.unreadable)
        ours = sum(parse_project_name(project.name) is not None for project in listing.projects)
        says = f"{count} in the organization, {ours} with a name of ours"
        if not listing.is_complete:
            return warning("projects", f"{says}; Neon's list is not complete now", "look again later")
        if listing.unreadable:
            says = f"{says}; {len(listing.unreadable)} cannot be read"
            return warning("projects", says, "look at these projects in Neon's console, or ask Neon's support")
        if self._identity is not None and self._identity.projects > ours:
            says = f"{says}; the catalog has recorded {self._identity.projects}"
            return warning("projects", says, "see README, Everything has stopped, if the difference stays")
        if self._identity is not None and self._identity.unused and ours:
            says = f"{says}; this catalog has made none"
            do = "make sure that no other catalog works with this CONTROL_PLANE_ID; a daemon examines them first"
            return warning("projects", says, do)
        limit = next((most for plan, most in PROJECTS_BY_PLAN.items() if plan in self._plan.lower()), None)
        if limit is not None and count >= limit * NEAR_LIMIT_RATIO:
            says = f"{says}; the plan {self._plan} has {limit}"
            return warning("projects", says, "have Neon raise the limit before creates are refused")
        return ok(
            "projects", f"{says}, {'no limit known' if limit is None else f'of {limit} in the plan {self._plan}'}"
        )

    async def regions(self) -> Line:
        """Are the regions that a POST may name Neon's?"""
        if self._plane is None:
            return skipped("regions", "NEON_REGIONS cannot be read")
        try:
            listed = await self._client.send(regions(self._org_id))
        except (NeonNotFound, NeonUnauthorized):
            return skipped("regions", "Neon does not tell this kind of key its regions")
        unknown = [region for region in self._plane.neon_regions if region not in listed]
        if unknown:
            return failed("regions", f"Neon does not list {', '.join(unknown)}", "take them out of NEON_REGIONS")
        return ok("regions", f"all {len(self._plane.neon_regions)} of NEON_REGIONS are Neon's")

    async def hosts(self) -> Line:
        """Would the hosts of the organization's databases be believed?"""
        suffixes = self._loop.host_suffixes
        found = await self._client.send(project_hosts(self._org_id, HOSTS_LOOKED_AT))
        hosts = {project.proxy_host for project in found if project.proxy_host}
        if not hosts:
            return skipped("database hosts", "no project to tell them by")
        strange = sorted(host for host in hosts if not is_host_allowed(host, suffixes))
        if strange:
            says = f"{', '.join(strange)}: not of {', '.join(suffixes)}"
            return failed("database hosts", says, "if they are Neon's, add their ending to NEON_HOST_SUFFIXES")
        return ok("database hosts", f"{', '.join(sorted(hosts))}: of {', '.join(suffixes)}")

    async def clock(self) -> Line:
        """Do this machine's clock and Neon's agree?"""
        if self._transport.ahead is None:
            return skipped("Neon's clock", "no answer said a time")
        return check_clock_skew("Neon's clock", self._transport.ahead, timedelta(seconds=1))


async def _guarded(check: str, look: Callable[[], Awaitable[Line]]) -> Line:
    try:
        return await look()
    except NeonUnauthorized as error:
        if "scoped to" in error.detail:
            return failed(check, f"the key is for one project only ({error})", _ONE_PROJECT)
        return failed(check, f"the key is refused ({error})", "make a new one in Neon's console; set NEON_API_KEY")
    except NeonAPIError as error:
        return failed(check, str(error), "see that NEON_API_URL is right and can be reached, and look again")

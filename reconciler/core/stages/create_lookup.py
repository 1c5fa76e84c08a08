"""The lookup of a project that a create of unknown outcome may have made.

Neon has no idempotency key and names are not unique, so the search matches a part of the name, and every candidate is
verified by name *and* nonce. One request makes one project: if two have the same nonce, one is a copy, and nothing
shows which. An incomplete list proves neither a single match nor absence. Absence needs two complete lists after the
settle time, from a verified key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import requeue_with_backoff
from reconciler.core.context import ConditionUpdate, CreateIntent, ReconcileContext, Result
from reconciler.core.effects import EffectGenerator, ListBranches, ListProjects, RecordAbsence, VerifyAccess, perform
from reconciler.core.ownership import has_app_name, is_in_organization, matching_intent
from reconciler.errors import NeonNotFound
from specs.neon import Project
from specs.status import Reason

# The minimum interval between the two lists, as a fraction of the settle time.
RECHECK_FRACTION = 0.25


@dataclass(frozen=True, slots=True)
class Match:
    """The project that an intent created."""

    project: Project
    intent: CreateIntent


@dataclass(frozen=True, slots=True)
class AmbiguousMatch:
    """Several projects have the name and the nonce of one create: an operator must identify the app's."""

    project_ids: tuple[str, ...]

    @property
    def condition(self) -> ConditionUpdate:
        """Return the condition with the operator's action."""
        text = "Several projects match this app. No project was adopted or deleted. Operator action required."
        detail = (
            f"The projects {', '.join(self.project_ids)} all have this app's name and the nonce of one create, which "
            "made at most one of them. Identify the app's project, and rename or delete the others."
        )
        return ConditionUpdate("False", Reason.OWNERSHIP_UNVERIFIED, text, detail)

    @property
    def requeue(self) -> Result:
        """Return a slow requeue, as an operator may act at any time."""
        return Result(CAP_SECONDS, backoff=True)


@dataclass(frozen=True, slots=True)
class ForeignOrganizationMatch:
    """The project that an intent created is in another organization: it is not adopted, and no create is sent."""

    project_id: str

    @property
    def condition(self) -> ConditionUpdate:
        """Return the condition with the operator's action."""
        text = "The app's project is not in the control plane's organization. Operator action required."
        detail = (
            f"Project {self.project_id} has this app's name and the nonce of its create, and Neon does not list it in "
            "the organization of the API key. Move it back into the organization, or delete it."
        )
        return ConditionUpdate("False", Reason.OWNERSHIP_UNVERIFIED, text, detail)

    @property
    def requeue(self) -> Result:
        """Return a slow requeue, as an operator may act at any time."""
        return Result(CAP_SECONDS, backoff=True)


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """The project may still appear; ``requeue`` is the next lookup."""

    requeue: Result


@dataclass(frozen=True, slots=True)
class ConfirmedAbsent:
    """No request of this intent took effect, and none will."""


LookupResult: TypeAlias = Match | AmbiguousMatch | ForeignOrganizationMatch | Inconclusive | ConfirmedAbsent


def find_created_project(ctx: ReconcileContext, org_id: str, intent: CreateIntent) -> EffectGenerator[LookupResult]:
    """Find the project of an open intent; if several intents made one each, the oldest project matches."""
    listing = yield from perform(ListProjects(ctx.app.app_id))
    matches: list[Match] = []
    foreign: ForeignOrganizationMatch | None = None
    for project in sorted(listing.projects, key=lambda p: (p.created_at, p.id)):
        if not has_app_name(project, ctx.app):
            continue
        try:
            branches = yield from perform(ListBranches(project.id))
        except NeonNotFound:
            return Inconclusive(Result(1.0, backoff=True))
        made = matching_intent(branches, ctx.app, ctx.control_plane, ctx.current_intents)
        if made is None and branches.unreadable:
            return Inconclusive(requeue_with_backoff(ctx, 1.0))
        if made is None:
            continue
        if is_in_organization(project, org_id):
            matches.append(Match(project, made))
        else:
            foreign = foreign or ForeignOrganizationMatch(project.id)
    ambiguous = _ambiguous(matches)
    if ambiguous is not None:
        return ambiguous
    window_over = ctx.now >= intent.sent_at + ctx.settle_window
    if listing.may_lack_name(ctx.app.app_id) and (matches or window_over):
        return Inconclusive(requeue_with_backoff(ctx, 1.0))
    if matches:
        return matches[0]
    if foreign is not None and window_over:
        return foreign
    return (yield from _confirm_absence(ctx, intent))


def _ambiguous(matches: Iterable[Match]) -> AmbiguousMatch | None:
    """Return the projects that share the nonce of one create, or None."""
    made = [(match.intent.create_seq, match.project.id) for match in matches]
    times = Counter(create_seq for create_seq, _ in made)
    several = sorted(project_id for create_seq, project_id in made if times[create_seq] > 1)
    return AmbiguousMatch(tuple(several)) if several else None


def _confirm_absence(ctx: ReconcileContext, intent: CreateIntent) -> EffectGenerator[LookupResult]:
    window_end = intent.sent_at + ctx.settle_window
    if ctx.now < window_end:
        # An early match is conclusive; early absence is not.
        wait = min((window_end - ctx.now).total_seconds(), max(1.0, (ctx.now - intent.sent_at).total_seconds()))
        return Inconclusive(Result(wait))
    recheck_after = RECHECK_FRACTION * ctx.settle_window
    if intent.first_absent_at is not None and ctx.now < intent.first_absent_at + recheck_after:
        return Inconclusive(Result((intent.first_absent_at + recheck_after - ctx.now).total_seconds()))
    # A key without permission also gets an empty list.
    yield from perform(VerifyAccess(fresh=True))
    if intent.first_absent_at is None:
        yield from perform(RecordAbsence(intent.create_seq, confirmed=False))
        return Inconclusive(Result(recheck_after.total_seconds()))
    yield from perform(RecordAbsence(intent.create_seq, confirmed=True))
    return ConfirmedAbsent()

"""Finding a project that an unknown outcome may have left behind.

Neon has no idempotency key and names are not unique, so the search matches a part of the name and every candidate is
proven by name *and* nonce. One request makes one project: where two carry the same nonce, one is a copy, and nothing
here can tell which. Neither one nor none may be concluded from a partial list, and none only from a key that is proven
good, after the settle time, twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import ConditionUpdate, requeue_with_backoff
from reconciler.core.context import CreateIntent, ReconcileContext, Result
from reconciler.core.effects import EffectGenerator, ListBranches, ListProjects, RecordAbsence, VerifyAccess, perform
from reconciler.core.ownership import has_app_name, is_in_organization, matching_intent
from reconciler.errors import NeonNotFound
from specs.neon import Project
from specs.status import Reason

# How much later the second of two lists must be, in parts of the settle time.
RECHECK_FRACTION = 0.25


@dataclass(frozen=True, slots=True)
class Match:
    """The project that an intent made."""

    project: Project
    intent: CreateIntent


@dataclass(frozen=True, slots=True)
class AmbiguousMatch:
    """Several projects carry the name and the nonce of one create: a person must say which is the app's."""

    project_ids: tuple[str, ...]

    @property
    def condition(self) -> ConditionUpdate:
        """What a person can do about it."""
        text = "Several projects carry this app's mark. No project was adopted or deleted. Operator action required."
        detail = (
            f"The projects {', '.join(self.project_ids)} all carry this app's name and the nonce of one create, which "
            "made at most one of them. Find out which one is the app's, and rename or delete the others."
        )
        return ConditionUpdate("False", Reason.OWNERSHIP_UNVERIFIED, text, detail)

    @property
    def requeue(self) -> Result:
        """A person may act at any time."""
        return Result(CAP_SECONDS, backoff=True)


@dataclass(frozen=True, slots=True)
class ForeignOrganizationMatch:
    """The project that an intent made is not our organization's: nothing is taken, and nothing sent again."""

    project_id: str

    @property
    def condition(self) -> ConditionUpdate:
        """What a person can do about it."""
        text = "The project with this app's mark is not in the control plane's organization. Operator action required."
        detail = (
            f"Project {self.project_id} carries this app's name and the nonce of its create, and Neon does not list it "
            "in the organization of the API key. Move it back into the organization, or delete it."
        )
        return ConditionUpdate("False", Reason.OWNERSHIP_UNVERIFIED, text, detail)

    @property
    def requeue(self) -> Result:
        """A person may act at any time."""
        return Result(CAP_SECONDS, backoff=True)


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """It may still appear: look again then."""

    requeue: Result


@dataclass(frozen=True, slots=True)
class ConfirmedAbsent:
    """No request of this intent took effect or will."""


LookupResult: TypeAlias = Match | AmbiguousMatch | ForeignOrganizationMatch | Inconclusive | ConfirmedAbsent


def find_created_project(ctx: ReconcileContext, org_id: str, intent: CreateIntent) -> EffectGenerator[LookupResult]:
    """Look for the project of an open intent; the oldest wins where several intents made one each."""
    listing = yield from perform(ListProjects(ctx.app.app_id))
    found: list[Match] = []
    elsewhere: ForeignOrganizationMatch | None = None
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
            found.append(Match(project, made))
        else:
            elsewhere = elsewhere or ForeignOrganizationMatch(project.id)
    copied = _ambiguous(found)
    if copied is not None:
        return copied
    settled = ctx.now >= intent.sent_at + ctx.settle_window
    if listing.may_lack_name(ctx.app.app_id) and (found or settled):
        return Inconclusive(requeue_with_backoff(ctx, 1.0))
    if found:
        return found[0]
    if elsewhere is not None and settled:
        return elsewhere
    return (yield from _confirm_absence(ctx, intent))


def _ambiguous(found: Iterable[Match]) -> AmbiguousMatch | None:
    """Projects of which at most one is ours."""
    made = [(each.intent.create_seq, each.project.id) for each in found]
    times = Counter(create_seq for create_seq, _ in made)
    several = sorted(project_id for create_seq, project_id in made if times[create_seq] > 1)
    return AmbiguousMatch(tuple(several)) if several else None


def _confirm_absence(ctx: ReconcileContext, intent: CreateIntent) -> EffectGenerator[LookupResult]:
    settled_at = intent.sent_at + ctx.settle_window
    if ctx.now < settled_at:
        # Found early is found; not found early says nothing.
        wait = min((settled_at - ctx.now).total_seconds(), max(1.0, (ctx.now - intent.sent_at).total_seconds()))
        return Inconclusive(Result(wait))
    second_look = RECHECK_FRACTION * ctx.settle_window
    if intent.first_absent_at is not None and ctx.now < intent.first_absent_at + second_look:
        return Inconclusive(Result((intent.first_absent_at + second_look - ctx.now).total_seconds()))
    # An empty list is also what a key sees that may not look.
    yield from perform(VerifyAccess(fresh=True))
    if intent.first_absent_at is None:
        yield from perform(RecordAbsence(intent.create_seq, confirmed=False))
        return Inconclusive(Result(second_look.total_seconds()))
    yield from perform(RecordAbsence(intent.create_seq, confirmed=True))
    return ConfirmedAbsent()

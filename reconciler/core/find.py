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
from reconciler.core.effects import ConfirmAccess, ListBranches, ListProjects, NoteAbsence, Steps, perform
from reconciler.core.mark import belongs_to, carries_name, made_by
from reconciler.core.report import Said, again_soon
from reconciler.core.snapshot import CreateIntent, Next, Snapshot
from reconciler.errors import NeonNotFound
from specs.neon import Project
from specs.status import Reason

# How much later the second of two lists must be, in parts of the settle time.
SECOND_LOOK = 0.25


@dataclass(frozen=True, slots=True)
class Found:
    """The project that an intent made."""

    project: Project
    intent: CreateIntent


@dataclass(frozen=True, slots=True)
class Copied:
    """Several projects carry the name and the nonce of one create: a person must say which is the app's."""

    project_ids: tuple[str, ...]

    @property
    def said(self) -> Said:
        """What a person can do about it."""
        text = "Several projects carry this app's mark. No project was adopted or deleted. Operator action required."
        detail = (
            f"The projects {', '.join(self.project_ids)} all carry this app's name and the nonce of one create, which "
            "made at most one of them. Find out which one is the app's, and rename or delete the others."
        )
        return Said("False", Reason.NOT_PROVEN_OURS, text, detail)

    @property
    def again(self) -> Next:
        """A person may act at any time."""
        return Next(CAP_SECONDS, failed=True)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The project that an intent made is not our organization's: nothing is taken, and nothing sent again."""

    project_id: str

    @property
    def said(self) -> Said:
        """What a person can do about it."""
        text = "The project with this app's mark is not in the control plane's organization. Operator action required."
        detail = (
            f"Project {self.project_id} carries this app's name and the nonce of its create, and Neon does not list it "
            "in the organization of the API key. Move it back into the organization, or delete it."
        )
        return Said("False", Reason.NOT_PROVEN_OURS, text, detail)

    @property
    def again(self) -> Next:
        """A person may act at any time."""
        return Next(CAP_SECONDS, failed=True)


@dataclass(frozen=True, slots=True)
class NotYetKnown:
    """It may still appear: look again then."""

    again: Next


@dataclass(frozen=True, slots=True)
class ProvenAbsent:
    """No request of this intent took effect or will."""


Search: TypeAlias = Found | Copied | Elsewhere | NotYetKnown | ProvenAbsent


def find_created(s: Snapshot, org_id: str, intent: CreateIntent) -> Steps[Search]:
    """Look for the project of an open intent; the oldest wins where several intents made one each."""
    listing = yield from perform(ListProjects(s.app.app_id))
    found: list[Found] = []
    elsewhere: Elsewhere | None = None
    for project in sorted(listing.projects, key=lambda p: (p.created_at, p.id)):
        if not carries_name(project, s.app):
            continue
        try:
            branches = yield from perform(ListBranches(project.id))
        except NeonNotFound:
            return NotYetKnown(Next(1.0, failed=True))
        made = made_by(branches, s.app, s.plane, s.current_intents)
        if made is None and branches.unreadable:
            return NotYetKnown(again_soon(s, 1.0))
        if made is None:
            continue
        if belongs_to(project, org_id):
            found.append(Found(project, made))
        else:
            elsewhere = elsewhere or Elsewhere(project.id)
    copied = _copied(found)
    if copied is not None:
        return copied
    settled = s.now >= intent.sent_at + s.settle
    if listing.may_lack_name(s.app.app_id) and (found or settled):
        return NotYetKnown(again_soon(s, 1.0))
    if found:
        return found[0]
    if elsewhere is not None and settled:
        return elsewhere
    return (yield from _absent(s, intent))


def _copied(found: Iterable[Found]) -> Copied | None:
    """Projects of which at most one is ours."""
    made = [(each.intent.create_seq, each.project.id) for each in found]
    times = Counter(create_seq for create_seq, _ in made)
    several = sorted(project_id for create_seq, project_id in made if times[create_seq] > 1)
    return Copied(tuple(several)) if several else None


def _absent(s: Snapshot, intent: CreateIntent) -> Steps[Search]:
    settled_at = intent.sent_at + s.settle
    if s.now < settled_at:
        # Found early is found; not found early says nothing.
        wait = min((settled_at - s.now).total_seconds(), max(1.0, (s.now - intent.sent_at).total_seconds()))
        return NotYetKnown(Next(wait))
    second_look = SECOND_LOOK * s.settle
    if intent.first_absent_at is not None and s.now < intent.first_absent_at + second_look:
        return NotYetKnown(Next((intent.first_absent_at + second_look - s.now).total_seconds()))
    # An empty list is also what a key sees that may not look.
    yield from perform(ConfirmAccess(fresh=True))
    if intent.first_absent_at is None:
        yield from perform(NoteAbsence(intent.create_seq, proven=False))
        return NotYetKnown(Next(second_look.total_seconds()))
    yield from perform(NoteAbsence(intent.create_seq, proven=True))
    return ProvenAbsent()

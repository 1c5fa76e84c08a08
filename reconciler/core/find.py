"""Finding a project that an unknown outcome may have left behind.

Neon has no idempotency key and names are not unique, so the search matches a part of the name and every candidate is
proven by name *and* nonce. Absence needs a complete list, after the settle time, twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from reconciler.core.effects import ListBranches, ListProjects, NoteAbsence, Steps, perform
from reconciler.core.mark import belongs_to, carries_name, made_by
from reconciler.core.snapshot import CreateIntent, Next, Snapshot
from reconciler.errors import NeonNotFound
from specs.neon import Project

# How much later the second of two lists must be, in parts of the settle time.
SECOND_LOOK = 0.25


@dataclass(frozen=True, slots=True)
class Found:
    """The project that an intent made."""

    project: Project
    intent: CreateIntent


@dataclass(frozen=True, slots=True)
class NotYetKnown:
    """It may still appear: look again then."""

    again: Next


@dataclass(frozen=True, slots=True)
class ProvenAbsent:
    """No request of this intent took effect or will."""


Search: TypeAlias = Found | NotYetKnown | ProvenAbsent


def find_created(s: Snapshot, org_id: str, intent: CreateIntent) -> Steps[Search]:
    """Look for the project of an open intent; the oldest wins where there are several."""
    listing = yield from perform(ListProjects(s.app.app_id))
    for project in sorted(listing.projects, key=lambda p: (p.created_at, p.id)):
        if not carries_name(project, s.app) or not belongs_to(project, org_id):
            continue
        try:
            branches = yield from perform(ListBranches(project.id))
        except NeonNotFound:
            return NotYetKnown(Next(1.0, failed=True))
        made = made_by(branches, s.app, s.plane, s.intents)
        if made is not None:
            return Found(project, made)
    return (yield from _absent(s, intent, complete=listing.complete))


def _absent(s: Snapshot, intent: CreateIntent, *, complete: bool) -> Steps[Search]:
    settled_at = intent.sent_at + s.settle
    if s.now < settled_at:
        # Found early is found; not found early says nothing.
        wait = min((settled_at - s.now).total_seconds(), max(1.0, (s.now - intent.sent_at).total_seconds()))
        return NotYetKnown(Next(wait))
    if not complete:
        return NotYetKnown(Next(1.0, failed=True))
    second_look = SECOND_LOOK * s.settle
    if intent.first_absent_at is None:
        yield from perform(NoteAbsence(intent.create_seq, proven=False))
        return NotYetKnown(Next(second_look.total_seconds()))
    if s.now < intent.first_absent_at + second_look:
        return NotYetKnown(Next((intent.first_absent_at + second_look - s.now).total_seconds()))
    yield from perform(NoteAbsence(intent.create_seq, proven=True))
    return ProvenAbsent()

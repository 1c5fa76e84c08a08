"""A state of the small world: one app, two daemons, the catalog, Neon, and what is on its way between them.

Every part is a tuple, so a state is a value and a key. Times are ages: what matters is whether a settle time, a second
look or a lease is over, never how many seconds it took.
"""

from __future__ import annotations

from typing import NamedTuple

# The two passes that two daemons can have under way: the one with the newest fencing token, and one that was overtaken.
NEWEST, OVERTAKEN = 0, 1
NAMES = ("the pass", "the overtaken pass")

# Who holds the lease: nobody, the newest pass, or one that died.
FREE, HELD, DEAD = "free", "held", "dead"
# No project, no intent, no sender.
NONE = -1

# What became of an intent; the words of the catalog.
OPEN, REFUSED, RECORDED, ABSENT = "open", "rejected", "recorded", "absent"
# A list did not show the project of an open intent: never, lately, or a second look ago.
NOT_SEEN, SEEN_ABSENT, SECOND_DUE = 0, 1, 2
# Since when the recorded project is missing.
PRESENT, MISSING, SETTLED, TWICE_SETTLED = 0, 1, 2, 3
# What a project is.
ALIVE, DELETED, GONE = "alive", "deleted", "gone"
# What lists know of a project: all, not yet that it was made, not yet that it was deleted or brought back.
KNOWN, NEW, TURNED = 0, 1, 2
# The permission to send a change: none was asked for, it is good, or it is too old.
UNASKED, GOOD, STALE = 0, 1, 2


class Row(NamedTuple):
    """The app's row.

    Attributes:
        project: the recorded project.
        asked: its owner asked for the deletion.
        sealed: the row holds a URI.
        missing: the age of ``missing_since``.
        said: number of what the row says: status, conditions, observed generation.
    """

    project: int
    asked: bool
    deleted: bool
    connected: bool
    sealed: bool
    missing: int
    said: int


class Work(NamedTuple):
    """The app's row of work.

    Attributes:
        lapsed: the lease ran out while its holder stood still.
        due: it may be claimed at some time without anything else happening.
        woken: a wake-up was counted since the claim.
        confirmed: a sweep confirmed that the project is missing.
        surplus: projects that a sweep took for a surplus.
    """

    holder: str
    lapsed: bool
    due: bool
    woken: bool
    confirmed: bool
    surplus: tuple[int, ...]


class Intent(NamedTuple):
    """The intent to create; its number in the tuple is its nonce.

    Attributes:
        settled: the settle time since its sending is over.
        absent: what lists said.
    """

    state: str
    settled: bool
    absent: int


class Project(NamedTuple):
    """A project at Neon.

    Attributes:
        nonce: the intent that its annotations name.
        named: it bears the app's name.
        life: alive, deleted and recoverable, or gone.
        lagging: what lists may not know yet.
        foreign: a person made it.
        excused: made by a request that came beyond the settle time, or by the second delivery of one.
        brought: a person brought it back.
        reported: the catalog lists it among those that are left alone.
    """

    nonce: int
    named: bool
    life: str
    lagging: int
    foreign: bool
    excused: bool
    brought: bool
    reported: bool


class Seen(NamedTuple):
    """What Neon shows of a project.

    Attributes:
        early: it says that it is older than all others, as a copy may.
    """

    number: int
    named: bool
    young: bool
    deleted: bool
    early: bool


class Request(NamedTuple):
    """A change on its way to Neon.

    Attributes:
        target: a nonce for a create, else a project.
        sender: the pass that waits for the answer, or ``NONE``.
        excused: it is delivered a second time, or beyond the settle time.
    """

    verb: str
    target: int
    sender: int
    excused: bool


class Pass(NamedTuple):
    """A pass under way.

    Attributes:
        node: where it is in the program of passes.
        permit: the permission to send.
        paused: it stands still, and nobody renews its lease.
        blind: its key sees nothing.
        waiting: it waits for the answer to a change.
    """

    node: int
    permit: int
    paused: bool
    blind: bool
    waiting: bool


class State(NamedTuple):
    """Everything at one moment."""

    row: Row
    work: Work
    intents: tuple[Intent, ...]
    projects: tuple[Project, ...]
    requests: tuple[Request, ...]
    passes: tuple[Pass | None, Pass | None]


def replaced(items: tuple[object, ...], index: int, item: object) -> tuple[object, ...]:
    """The tuple with another item in one place."""
    return (*items[:index], item, *items[index + 1 :])

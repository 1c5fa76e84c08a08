"""What happens when, all from one seed: the lives of apps, and the acts against everything they depend on. Pure."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from enum import StrEnum

DAEMONS = ("daemon-1", "daemon-2", "daemon-3")
SERVERS = ("api-1", "api-2")
OWNERS = 5
LEASE_SECONDS = 6.0
SETTLE_SECONDS = 4.0
TIMEOUT_SECONDS = 2.0
SHORT_SECONDS = 120.0
# A pause past the lease begins this often, and is over before the next.
_LONG_PAUSE_EVERY = 13.0


class What(StrEnum):
    """A kind of act; what people do at Neon is of these too."""

    KILL = "kill"
    STOP = "stop"
    TERM = "term"
    CATALOG_FAST = "catalog-fast"
    CATALOG_IMMEDIATE = "catalog-immediate"
    CATALOG_KILL = "catalog-kill"
    OUTAGE = "outage"
    CUT = "cut"
    PARTIAL = "partial-lists"
    RENAME = "rename"
    REMOVE = "remove"
    BRING_BACK = "bring-back"
    TAMPER = "tamper"


_MEDDLING = (What.RENAME, What.REMOVE, What.BRING_BACK, What.TAMPER)
"""What people do at Neon; so rarely that the loop does not take the removals for a catastrophe."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act.

    Attributes:
        at: seconds after the beginning.
        what: its kind.
        target: the process that it is done to; empty where it is none.
        seconds: how long it lasts.
        ambush: whether it waits a moment for its target to be in the middle of something.
    """

    at: float
    what: What
    target: str = ""
    seconds: float = 0.0
    ambush: bool = False


class Story(StrEnum):
    """What a client does with an app after the POST."""

    KEEP = "keep"
    LOOK_AWAY = "look-away"
    DELETE = "delete"
    DELETE_EARLY = "delete-early"
    DELETE_AND_ASK_AGAIN = "delete-and-ask-again"


_STORIES = {
    Story.KEEP: 9,
    Story.LOOK_AWAY: 2,
    Story.DELETE: 3,
    Story.DELETE_EARLY: 4,
    Story.DELETE_AND_ASK_AGAIN: 2,
}


@dataclass(frozen=True, slots=True)
class Life:
    """One client's doings with one app.

    Attributes:
        at: seconds after the beginning at which it asks.
        owner: whose app it is.
        name: the app's.
        story: what follows.
        pause: seconds before the story's turn.
    """

    at: float
    owner: int
    name: str
    story: Story
    pause: float


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything there is.

    Attributes:
        seconds: how long things go wrong.
        kills, stops, apps: the least of each.
        resync: the period of the sweep.
    """

    seconds: float
    kills: int
    stops: int
    apps: int
    resync: float

    @classmethod
    def of(cls, seconds: float) -> Size:
        """What fits into so many seconds on two cores; 330 kills, 220 pauses and 325 apps into 500.

        In a short one there is more of everything, and sweeps come sooner.
        """
        short = seconds < SHORT_SECONDS
        dense = seconds * (1.4 if short else 1.0)
        return cls(
            seconds=seconds,
            kills=math.ceil(dense * 0.66),
            stops=math.ceil(dense * 0.44),
            apps=math.ceil(dense * 0.65),
            resync=2.0 if short else 5.0,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that is planned, in order of time."""

    acts: tuple[Act, ...]
    lives: tuple[Life, ...]


def schedule(seed: int, size: Size) -> Schedule:
    """The same seed and size, the same schedule."""
    chance = random.Random(f"soak {seed} acts")
    pauses = _long_pauses(chance, size)
    acts = [
        *pauses,
        *_short_pauses(chance, size, pauses),
        *_kills(chance, size, pauses),
        *(Act(at, What.TERM, chance.choice((*DAEMONS, *SERVERS))) for at in _times(chance, size, 16)),
        *_catalog(chance, size),
        *(Act(at, What.OUTAGE, seconds=_outage(chance, size)) for at in _times(chance, size, 110)),
        *(Act(at, What.CUT, chance.choice(DAEMONS), chance.uniform(0.5, 5.0)) for at in _times(chance, size, 25)),
        *(Act(at, What.PARTIAL, seconds=chance.uniform(1.0, 5.0)) for at in _times(chance, size, 30)),
        *(Act(at, what) for what in _MEDDLING for at in _times(chance, size, 40)),
    ]
    return Schedule(tuple(sorted(acts, key=lambda act: act.at)), _lives(seed, size))


def _times(chance: random.Random, size: Size, every: float) -> list[float]:
    """A moment in each of so many equal parts of the whole, each about so many seconds long."""
    number = max(1, round(size.seconds / every))
    return [size.seconds * (part + chance.random()) / number for part in range(number)]


def _outage(chance: random.Random, size: Size) -> float:
    return chance.uniform(5.0, min(20.0, 5.0 + size.seconds / 20))


def _long_pauses(chance: random.Random, size: Size) -> list[Act]:
    """Pauses past the lease, of one daemon at a time: it wakes up as a zombie."""
    number = max(1, int(size.seconds / _LONG_PAUSE_EVERY))
    return [
        Act(
            each * _LONG_PAUSE_EVERY + chance.uniform(1.0, 3.0),
            What.STOP,
            chance.choice(DAEMONS),
            LEASE_SECONDS + chance.uniform(0.7, 3.0),
            ambush=True,
        )
        for each in range(number)
    ]


def _short_pauses(chance: random.Random, size: Size, pauses: list[Act]) -> list[Act]:
    acts = []
    for _ in range(size.stops - len(pauses)):
        at = chance.uniform(0.0, size.seconds)
        awake = _awake(at, pauses)
        seconds = chance.choice((chance.uniform(0.02, 0.3), chance.uniform(0.3, 2.5)))
        acts.append(Act(at, What.STOP, chance.choice((*awake, *awake, *SERVERS)), seconds))
    return acts


def _kills(chance: random.Random, size: Size, pauses: list[Act]) -> list[Act]:
    acts = []
    # Some meet who is just ending.
    for _ in range(size.kills + size.kills // 20 + 1):
        at = chance.uniform(0.0, size.seconds)
        awake = _awake(at, pauses)
        target = chance.choice((*awake, *awake, *SERVERS))
        acts.append(Act(at, What.KILL, target, ambush=target in DAEMONS and chance.random() < 0.5))
    return acts


def _awake(at: float, pauses: list[Act]) -> list[str]:
    """Who is in no long pause: who is killed or woken in one does not wake up as a zombie."""
    asleep = {pause.target for pause in pauses if pause.at - 3.0 <= at <= pause.at + pause.seconds + 1.0}
    return [daemon for daemon in DAEMONS if daemon not in asleep]


def _catalog(chance: random.Random, size: Size) -> list[Act]:
    kinds = (What.CATALOG_KILL, What.CATALOG_FAST, What.CATALOG_IMMEDIATE)
    number = max(1, round(size.seconds / 50))
    each = size.seconds / number
    return [
        Act(each * (part + chance.uniform(0.3, 0.7)), kinds[part % len(kinds)], seconds=chance.uniform(0.0, 3.0))
        for part in range(number)
    ]


def _lives(seed: int, size: Size) -> tuple[Life, ...]:
    """So many that the apps suffice, also where a few never come to be; they begin until the very end."""
    chance = random.Random(f"soak {seed} lives")
    stories, weights = list(_STORIES), list(_STORIES.values())
    return tuple(
        Life(
            at=0.98 * size.seconds * number / size.apps,
            owner=chance.randrange(OWNERS),
            name=f"app {number}",
            story=chance.choices(stories, weights)[0],
            pause=chance.choice((chance.uniform(0.0, 1.0), chance.uniform(0.0, 10.0))),
        )
        for number in range(size.apps)
    )

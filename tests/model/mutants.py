"""The product with one safeguard removed: of the core by a patch, of the world around it by a switch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import reconciler.core.reconcile as passes_of_core
from reconciler.core import effects as e
from reconciler.core.context import ControlPlane, CreateIntent, ReconcileContext, Result
from reconciler.core.diff import project_to_create
from reconciler.core.effects import EffectGenerator
from reconciler.core.ownership import matching_intent
from reconciler.core.reconcile import Stage
from reconciler.core.stages import connection, create, create_lookup, delete, duplicates, missing
from reconciler.errors import NeonAPIError
from specs.metadata import AppMetadata
from specs.neon import BranchList, ProjectListing
from tests.model.actions import Faults
from tests.model.explore import TRAP, Explored, explore
from tests.model.safeguards import ALL, Safeguards

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    """One safeguard less.

    Attributes:
        wrong: what breaks then: words of a rule, or ``TRAP``.
        patches: objects, their attributes, and what stands there instead.
        faults: with how many faults it is found.
        kinds: of which kinds.
    """

    name: str
    wrong: str
    safe: Safeguards = ALL
    patches: tuple[Patch, ...] = ()
    faults: int = 1
    kinds: Faults = Faults.ALL

    def explore(self) -> Explored:
        """What the model finds with it."""
        with self.applied():
            return explore(self.faults, self.kinds, self.safe)

    def is_found(self, found: Explored) -> bool:
        """Whether what was found is what the safeguard is there for."""
        return re.search(self.wrong, found.failure) is not None

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The safeguard is off in here."""
        with ExitStack() as stack:
            for target, name, instead in self.patches:
                stack.enter_context(patch.object(target, name, instead))
            yield


_STOPS = Faults.PAUSES | Faults.CHANGES
_LIES = Faults.CHANGES | Faults.READS
_PEOPLE = Faults.CHANGES | Faults.PEOPLE
TWO = "two projects of the app are alive"


def _yes(*_: object) -> EffectGenerator[bool]:
    yield from ()
    return True


def _no(*_: object) -> EffectGenerator[bool]:
    yield from ()
    return False


def _named(_b: BranchList, _a: AppMetadata, _p: ControlPlane, intents: Iterable[CreateIntent]) -> CreateIntent | None:
    return next((replace(intent, state="absent") for intent in intents), None)


def _unrecorded(b: BranchList, a: AppMetadata, p: ControlPlane, intents: Iterable[CreateIntent]) -> CreateIntent | None:
    made = matching_intent(b, a, p, intents)
    return None if made is None else replace(made, state="absent")


def _send_first(s: ReconcileContext, org_id: str) -> EffectGenerator[Result]:
    yield e.AuthorizeMutation()
    intent = CreateIntent(len(s.intents) + 1, 1, f"nonce-{len(s.intents)}", "open", s.now)
    made = yield e.CreateProject(project_to_create(s.app, s.control_plane, intent, org_id))
    opened = yield e.OpenIntent(s.nonce, None)
    yield create._record_created(s, org_id, opened, made)
    return Result(1.0)


def _never_look(s: ReconcileContext) -> EffectGenerator[Result | None]:
    return Result(None) if s.open_intent is not None else (yield from create.create(s))


def _without_lookup() -> tuple[Stage, ...]:
    return tuple(_never_look if stage is create.create else stage for stage in passes_of_core.STAGES)


def _any_key(*, fresh: bool = False) -> e.VerifyAccess:
    return e.VerifyAccess(fresh=fresh and False)


def _nothing(*_: object) -> None:
    return None


def _alive_or_not(_project_id: str, _deleted: ProjectListing) -> EffectGenerator[bool]:
    yield from ()
    return True


_ALWAYS: Callable[[Any], bool] = lambda _: True  # noqa: E731 - a property's getter

MUTANTS: tuple[Mutant, ...] = (
    Mutant("no fence", TWO, ALL._replace(fenced=False)),
    Mutant("no compare-and-set", "replaced", ALL._replace(compared=False), faults=2, kinds=_STOPS),
    Mutant("wake-ups during a lease are ignored", TRAP, ALL._replace(counted=False)),
    Mutant("a delete does not stop a create", "acknowledged before", ALL._replace(refused=False)),
    Mutant("a held-up create is sent", "too long after", ALL._replace(dated=False)),
    Mutant("a lease never expires", TRAP, ALL._replace(expiring=False)),
    Mutant("the tombstone is ignored", TRAP, ALL._replace(buried=False), faults=2, kinds=Faults.CHANGES),
    Mutant("a deleted app keeps its credentials", "keeps its credentials", ALL._replace(dropped=False)),
    Mutant("a sweep confirms nothing", TRAP, ALL._replace(confirming=False)),
    Mutant("no settle wait", TWO, patches=((ReconcileContext, "settle_window", property(lambda _: timedelta(0))),)),
    Mutant(
        "the nonce is not checked",
        "person made",
        patches=((create_lookup, "matching_intent", _named), (create_lookup, "_ambiguous", _nothing)),
        faults=2,
        kinds=_PEOPLE,
    ),
    Mutant(
        "the intent is written after the create",
        "without a committed intent",
        patches=((create, "_send", _send_first),),
    ),
    Mutant("what is recorded is deleted unproven", "not proven ours", patches=((delete, "_is_owned", _yes),), faults=2),
    Mutant(
        "a surplus is deleted unproven", "unproven surplus", patches=((duplicates, "_is_deletable_duplicate", _yes),)
    ),
    Mutant(
        "partial lists are believed",
        TWO,
        patches=((ProjectListing, "is_complete", property(_ALWAYS)),),
        faults=3,
        kinds=_LIES,
    ),
    Mutant("a create is sent again after a lost answer", TWO, patches=((create, "NeonRetryable", NeonAPIError),)),
    Mutant("no second look", TWO, patches=((create_lookup, "RECHECK_FRACTION", 0.0),), faults=3, kinds=_LIES),
    Mutant(
        "an empty list of a bad key is believed",
        TWO,
        patches=((create_lookup, "VerifyAccess", _any_key),),
        faults=3,
        kinds=_LIES,
    ),
    Mutant(
        "a copy is taken", "person made", patches=((create_lookup, "_ambiguous", _nothing),), faults=2, kinds=_PEOPLE
    ),
    Mutant(
        "a copy is a surplus",
        "unproven surplus|may be a copy",
        patches=((duplicates, "_has_clone", _no), (duplicates, "matching_intent", _unrecorded)),
    ),
    Mutant(
        "a late recover is forgotten",
        TRAP,
        patches=((delete, "recovery_in_flight_since", _nothing), (connection, "recovery_in_flight_since", _nothing)),
        faults=2,
        kinds=_PEOPLE,
    ),
    Mutant(
        "a lone 404 is believed",
        TRAP,
        patches=((missing, "confirm_absent", _alive_or_not), (delete, "confirm_absent", _alive_or_not)),
        faults=2,
        kinds=_LIES,
    ),
    Mutant("an unknown create is never looked at", TRAP, patches=((passes_of_core, "STAGES", _without_lookup()),)),
)

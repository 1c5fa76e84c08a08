"""The twin of ``reconciler.runtime.guards.organization`` in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable

from reconciler.errors import MutationsSuspended, NeonAPIError, ReconcileError
from reconciler.runtime.guards.circuit_breaker import CircuitBreaker
from specs.neon import Organization
from tests.simulation.neon import Answered


class Access:
    """What one process knows of its key; ``pin`` keeps an organization in the catalog and says which one is kept."""

    def __init__(self, now: Callable[[], float], pin: Callable[[str], str], chance: random.Random) -> None:
        self._door = CircuitBreaker(now, chance.random)
        self._pin = pin

    def known(self, *, fresh: bool) -> Answered | None:
        """The answer without a request, or None where one is due."""
        try:
            org_id = self._door.check(fresh=fresh)
        except ReconcileError as error:
            return Answered(error=error)
        return None if org_id is None else Answered(org_id)

    def learn(self, answered: Answered) -> Answered:
        """Take in the answer to ``GET /users/me/organizations``."""
        try:
            if answered.error is not None:
                raise answered.error
            org_id = self._single(answered.value)
        except ReconcileError as error:
            self._door.trip(error)
            return Answered(error=error)
        self._door.record_success(org_id)
        return Answered(org_id)

    def heard(self, error: ReconcileError | None) -> None:
        """Take in what another request met."""
        if isinstance(error, NeonAPIError):
            self._door.record_failure(error)

    def _single(self, visible: tuple[Organization, ...]) -> str:
        if len(visible) != 1:
            raise MutationsSuspended(f"the key sees {len(visible)} organizations")
        if self._pin(visible[0].id) != visible[0].id:
            raise MutationsSuspended("this catalog works with another organization")
        return visible[0].id

"""The twin of ``reconciler.shell.access`` in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable

from reconciler.core.backoff import delay
from reconciler.errors import MutationStopped, NeonAPIError, ReconcileError
from specs.neon import Organization
from tests.simulation.neon import Answered


class Access:
    """What one process knows of its key; ``pin`` keeps an organization in the catalog and says which one is kept."""

    def __init__(self, now: Callable[[], float], pin: Callable[[str], str], chance: random.Random) -> None:
        self._now = now
        self._pin = pin
        self._chance = chance
        self.org_id: str | None = None
        self._refusal: tuple[ReconcileError, float, int] | None = None

    def known(self, *, fresh: bool) -> Answered | None:
        """The answer without a request, or None where one is due."""
        if self.org_id is not None and not fresh:
            return Answered(self.org_id)
        if self._refusal is not None and self._now() < self._refusal[1]:
            return Answered(error=self._refusal[0])
        return None

    def learn(self, answered: Answered) -> Answered:
        """Take in the answer to ``GET /users/me/organizations``."""
        try:
            if answered.error is not None:
                raise answered.error
            self.org_id = self._single(answered.value)
        except ReconcileError as error:
            attempts = self._refusal[2] + 1 if self._refusal else 0
            asked = error.retry_after if isinstance(error, NeonAPIError) else None
            pause = delay(attempts, self._chance.random(), asked or 1.0)
            self.org_id, self._refusal = None, (error, self._now() + pause, attempts)
            return Answered(error=error)
        self._refusal = None
        return Answered(self.org_id)

    def _single(self, visible: tuple[Organization, ...]) -> str:
        if len(visible) != 1:
            raise MutationStopped(f"the key sees {len(visible)} organizations")
        if self._pin(visible[0].id) != visible[0].id:
            raise MutationStopped("this catalog works with another organization")
        return visible[0].id

"""Fields and enum values that Neon sends and no document names."""

from __future__ import annotations

import random

_NEW_VALUES = {
    "action": "reticulate_splines",
    "auth_method": "api_key_of_tomorrow",
    "authentication_method": "of_tomorrow",
    "creation_source": "of_tomorrow",
    "current_state": "hibernating",
    "init_source": "of_tomorrow",
    "pending_state": "hibernating",
    "plan": "of_tomorrow",
    "provisioner": "k8s-of-tomorrow",
    "status": "rescheduling",
}
# Maps whose keys are data.
_MAPS = {"annotations", "applications", "integrations", "pg_settings", "pgbouncer_settings", "value"}
_ONE_OF = 8


class UndocumentedFields:
    """Adds an unknown field to every object of a response, and sometimes replaces a value by one that no enum has.

    A new value is in one response only: the next response may have the old one, as during a deployment at Neon.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed + 2)  # noqa: S311 - no secret

    def apply(self, body: object) -> object:
        """Return the body of a response with undocumented fields and values."""
        return self._apply(body, None)

    def _apply(self, value: object, name: str | None) -> object:
        if isinstance(value, list):
            return [self._apply(item, None) for item in value]
        if isinstance(value, dict):
            inner = {key: self._apply(item, key) for key, item in value.items()}
            return inner if name in _MAPS else inner | {"of_tomorrow": {"since": "2026-01-01"}}
        if name in _NEW_VALUES and isinstance(value, str) and self._random.randrange(_ONE_OF) == 0:
            return _NEW_VALUES[name]
        return value

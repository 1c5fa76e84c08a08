"""What log records carry beside their text, and how often a trouble that lasts is said.

``api.commands.logs`` writes the records; here is what everybody uses who makes one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

FIRST_PAUSE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 3600.0

_bound: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default=MappingProxyType({}))


class bound:  # noqa: N801 - it is used as a function is, and made a class for speed: every request passes it
    """Put these fields on every record that is made inside the block, by this task and those that it starts."""

    __slots__ = ("_named", "_token")

    def __init__(self, **named: object) -> None:
        self._named = named

    def __enter__(self) -> None:
        self._token = _bound.set({**_bound.get(), **self._named})

    def __exit__(self, *_error: object) -> None:
        _bound.reset(self._token)


def fields(**named: object) -> dict[str, Any]:
    """The ``extra`` of a log call that gives its record these fields; a None is left out. Never a credential."""
    return {"fields": {name: value for name, value in named.items() if value is not None}}


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """All fields of a record: those of the task that makes it, and its own."""
    own: Mapping[str, object] = getattr(record, "fields", {})
    return {**_bound.get(), **own}


@dataclass(slots=True)
class _Trouble:
    said_at: float
    met_at: float
    pause: float = FIRST_PAUSE_SECONDS
    unsaid: int = 0
    is_open: bool = True


class Troubles:
    """Says a trouble when it begins, then at growing intervals with how often it was met meanwhile, and its end once.

    A trouble that comes and goes is said no more often than one that stays; after a pause without it, it is news again.

    Args:
        log: where it is said.
        clock: monotonic seconds.
    """

    def __init__(self, log: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._known: dict[str, _Trouble] = {}

    def met(
        self, trouble: str, level: int, message: str, *, error: BaseException | None = None, **named: object
    ) -> None:
        """A trouble is there, now.

        Args:
            trouble: names it; the same name is the same trouble, whatever its message is this time.
            level: of the record.
            message: what an operator reads.
            error: whose traceback goes along.
            named: fields of the record.
        """
        now, known = self._clock(), self._known.get(trouble)
        if known is None or now - known.met_at > known.pause:
            self._known[trouble] = known = _Trouble(now, now)
        elif now - known.said_at < known.pause:
            known.unsaid += 1
            known.met_at = now
            return
        else:
            known.pause = min(2 * known.pause, LONGEST_PAUSE_SECONDS)
        repeated = known.unsaid or None
        known.said_at, known.met_at, known.unsaid, known.is_open = now, now, 0, True
        self._log.log(level, message, exc_info=error, extra=fields(**named, repeated=repeated))

    def over(self, trouble: str, message: str) -> None:
        """A trouble is not there; said once, and only if the trouble was."""
        known = self._known.get(trouble)
        if known is not None and known.is_open:
            known.is_open = False
            self._log.info(message)

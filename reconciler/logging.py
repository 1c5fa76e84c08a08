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
MAX_PAUSE_SECONDS = 3600.0

_bound: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default=MappingProxyType({}))


class log_context:  # noqa: N801 - it is used as a function is, and made a class for speed: every request passes it
    """Put these fields on every record that is made inside the block, by this task and those that it starts."""

    __slots__ = ("_named", "_token")

    def __init__(self, **named: object) -> None:
        self._named = named

    def __enter__(self) -> None:
        self._token = _bound.set({**_bound.get(), **self._named})

    def __exit__(self, *_error: object) -> None:
        _bound.reset(self._token)


def log_extra(**named: object) -> dict[str, Any]:
    """The ``extra`` of a log call that gives its record these fields; a None is left out. Never a credential."""
    return {"fields": {name: value for name, value in named.items() if value is not None}}


def record_fields(record: logging.LogRecord) -> dict[str, object]:
    """All fields of a record: those of the task that makes it, and its own."""
    own: Mapping[str, object] = getattr(record, "fields", {})
    return {**_bound.get(), **own}


@dataclass(slots=True)
class _Issue:
    reported_at: float
    seen_at: float
    pause: float = FIRST_PAUSE_SECONDS
    suppressed: int = 0
    is_open: bool = True


class RepeatSuppressor:
    """Says a trouble when it begins, then at growing intervals with how often it was met meanwhile, and its end once.

    A trouble that comes and goes is said no more often than one that stays; after a pause without it, it is news again.

    Args:
        log: where it is said.
        clock: monotonic seconds.
    """

    def __init__(self, log: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._known: dict[str, _Issue] = {}

    def report(
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
        if known is None or now - known.seen_at > known.pause:
            self._known[trouble] = known = _Issue(now, now)
        elif now - known.reported_at < known.pause:
            known.suppressed += 1
            known.seen_at = now
            return
        else:
            known.pause = min(2 * known.pause, MAX_PAUSE_SECONDS)
        repeated = known.suppressed or None
        known.reported_at, known.seen_at, known.suppressed, known.is_open = now, now, 0, True
        self._log.log(level, message, exc_info=error, extra=log_extra(**named, repeated=repeated))

    def resolve(self, trouble: str, message: str) -> None:
        """A trouble is not there; said once, and only if the trouble was."""
        known = self._known.get(trouble)
        if known is not None and known.is_open:
            known.is_open = False
            self._log.info(message)

"""Structured log records: a stable event key, fields, and suppression of repeats.

``api.cli.logs`` formats the records.
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

_context: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default=MappingProxyType({}))


class log_context:  # noqa: N801 - used like a function; a class costs less, and every request enters one
    """Add fields to every record that this task, and every task that it starts, makes inside the block."""

    __slots__ = ("_fields", "_token")

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _context.set({**_context.get(), **self._fields})

    def __exit__(self, *_error: object) -> None:
        _context.reset(self._token)


def log_extra(event: str, **fields: object) -> dict[str, Any]:
    """Build the ``extra`` of a log call. A field that is None is left out; no field may hold a credential.

    Args:
        event: the stable key of the record, ``subject.verb`` in snake case. Messages may change, keys do not.
        fields: values that machines read.
    """
    return {"event": event, "fields": {name: value for name, value in fields.items() if value is not None}}


def record_fields(record: logging.LogRecord) -> dict[str, object]:
    """Return all fields of a record: its event key, the fields of its task, and its own."""
    event: str | None = getattr(record, "event", None)
    own: Mapping[str, object] = getattr(record, "fields", {})
    return {**({} if event is None else {"event": event}), **_context.get(), **own}


@dataclass(slots=True)
class _Issue:
    reported_at: float
    seen_at: float
    pause: float = FIRST_PAUSE_SECONDS
    suppressed: int = 0
    is_open: bool = True


class RepeatSuppressor:
    """Logs an issue when it begins, then at growing intervals with a count of repeats, and its end once.

    An intermittent issue is logged no more often than a lasting one. After a pause without it, it counts as new.

    Args:
        log: the logger.
        clock: monotonic seconds.
    """

    def __init__(self, log: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._issues: dict[str, _Issue] = {}

    def report(
        self,
        event: str,
        level: int,
        message: str,
        *,
        key: str | None = None,
        error: BaseException | None = None,
        **fields: object,
    ) -> None:
        """Log that an issue exists now, unless it was logged a short time ago.

        Args:
            event: the event key of the record.
            level: the record's level.
            message: what an operator reads.
            key: distinguishes issues of one event; None uses the event.
            error: its traceback is logged.
            fields: fields of the record.
        """
        key = event if key is None else key
        now, known = self._clock(), self._issues.get(key)
        if known is None or now - known.seen_at > known.pause:
            self._issues[key] = known = _Issue(now, now)
        elif now - known.reported_at < known.pause:
            known.suppressed += 1
            known.seen_at = now
            return
        else:
            known.pause = min(2 * known.pause, MAX_PAUSE_SECONDS)
        repeated = known.suppressed or None
        known.reported_at, known.seen_at, known.suppressed, known.is_open = now, now, 0, True
        self._log.log(level, message, exc_info=error, extra=log_extra(event, **fields, repeated=repeated))

    def resolve(self, event: str, message: str, *, key: str | None = None) -> None:
        """Log once that an issue is over, as ``<event>.resolved``; nothing where there was none."""
        known = self._issues.get(event if key is None else key)
        if known is not None and known.is_open:
            known.is_open = False
            self._log.info(message, extra=log_extra(f"{event}.resolved"))

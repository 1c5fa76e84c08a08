"""What a check says: one line, and for what fails what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Line:
    """The outcome of one check. Nothing in it is a secret.

    Attributes:
        check: its name.
        state: how it ended.
        says: what was seen.
        do: what to do about it; empty where nothing is to be done.
    """

    check: str
    state: State
    says: str
    do: str = ""


def ok(check: str, says: str) -> Line:
    """All is well."""
    return Line(check, State.OK, says)


def warning(check: str, says: str, do: str) -> Line:
    """It works, and may not for long."""
    return Line(check, State.WARNING, says, do)


def failed(check: str, says: str, do: str) -> Line:
    """It does not work."""
    return Line(check, State.FAILED, says, do)


def skipped(check: str, why: str) -> Line:
    """It was not looked at."""
    return Line(check, State.SKIPPED, why)


def as_text(lines: Sequence[Line]) -> str:
    """A line each, in order."""
    return "".join(f"{line.state:<8} {line.check}: {'; '.join(filter(None, (line.says, line.do)))}\n" for line in lines)


def as_json(lines: Sequence[Line]) -> str:
    """``{"ok": bool, "checks": [{"check", "state", "says", "do"}, …]}``."""
    document = {"ok": not any_failed(lines), "checks": [asdict(line) for line in lines]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def any_failed(lines: Sequence[Line]) -> bool:
    """Whether any check failed."""
    return any(line.state is State.FAILED for line in lines)

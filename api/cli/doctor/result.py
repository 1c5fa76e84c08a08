"""The result of one check, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class CheckStatus(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check. It contains no secret.

    Attributes:
        check: the name of the check.
        status: the outcome.
        message: the state that the check found.
        remedy: the action to take; empty if none is required.
    """

    check: str
    status: CheckStatus
    message: str
    remedy: str = ""


def ok(check: str, message: str) -> CheckResult:
    """Return the result of a check that passed."""
    return CheckResult(check, CheckStatus.OK, message)


def warning(check: str, message: str, remedy: str) -> CheckResult:
    """Return the result of a check that found a risk."""
    return CheckResult(check, CheckStatus.WARNING, message, remedy)


def failed(check: str, message: str, remedy: str) -> CheckResult:
    """Return the result of a check that failed."""
    return CheckResult(check, CheckStatus.FAILED, message, remedy)


def skipped(check: str, reason: str) -> CheckResult:
    """Return the result of a check that did not run."""
    return CheckResult(check, CheckStatus.SKIPPED, reason)


def as_text(results: Sequence[CheckResult]) -> str:
    """Return one line per result, in order."""
    return "".join(f"{r.status:<8} {r.check}: {'; '.join(filter(None, (r.message, r.remedy)))}\n" for r in results)


def as_json(results: Sequence[CheckResult]) -> str:
    """Return ``{"ok": bool, "checks": [{"check", "status", "message", "remedy"}, …]}``."""
    document = {"ok": not any_failed(results), "checks": [asdict(result) for result in results]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def any_failed(results: Sequence[CheckResult]) -> bool:
    """Whether any check failed."""
    return any(result.status is CheckStatus.FAILED for result in results)

"""What the walk found, as a table for people and as JSON for machines. It holds no secret."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from reconciler.local.behaviors import behaviors
from tests.live.life import LIFE
from tests.live.registry import Finding, Verdict, entries
from tests.live.untried import UNTRIED

_WIDTH = 110


@dataclass
class Report:
    """The outcome of one walk.

    Attributes:
        api: the API's address.
        findings: by row, in the order in which they were made.
        broken: steps of the project's life that failed, with what is known of why.
        done: the calls that succeeded.
        left_behind: what the suite could not delete, in words for the operator; empty when nothing.
    """

    api: str
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    findings: dict[str, Finding] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    done: set[tuple[str, str]] = field(default_factory=set)
    left_behind: str = ""

    @property
    def missing(self) -> list[str]:
        """The calls of a whole life of which none succeeded."""
        return [f"{method} {route}" for method, route in LIFE if (method, route) not in self.done]

    def verdicts(self) -> list[tuple[str, Finding]]:
        """Every assumed row with its finding: observed ones in their order, then those that could not be tried."""
        untold = Finding(Verdict.UNTOLD, "the walk did not come to it")
        observed = [entry.name for entry in entries() if entry.observe is not None]
        assumed = [row.id for row in behaviors() if row.assumed and row.id not in observed]
        tried = [(row, self.findings.get(row, untold)) for row in observed]
        return tried + [(row, Finding(Verdict.UNTOLD, UNTRIED.get(row, "nobody asked"))) for row in assumed]

    def mismatches(self) -> list[str]:
        """The rows that do not hold, with what was seen."""
        return [f"{row}: {found.seen}" for row, found in self.verdicts() if found.verdict is Verdict.DIFFERS]

    def render(self) -> str:
        """The table."""
        lines = [f"What the table of behaviors assumes, asked of {self.api}:", ""]
        for row, found in self.verdicts():
            lines.append(f"{found.verdict.value:<18} {row}")
            lines += textwrap.wrap(found.seen, _WIDTH, initial_indent=" " * 19, subsequent_indent=" " * 19)
        counts = {verdict: sum(found.verdict is verdict for _, found in self.verdicts()) for verdict in Verdict}
        lines += ["", ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())]
        lines += [f"BROKEN: {step}" for step in self.broken]
        lines += [f"NEVER SUCCEEDED: {call}" for call in self.missing]
        if self.left_behind:
            lines.append(f"LEFT BEHIND: {self.left_behind}")
        return "\n".join(lines)

    def write(self, file: Path) -> None:
        """Keep it as JSON."""
        document = {
            "api": self.api,
            "began_at": self.began_at.isoformat(timespec="seconds"),
            "behaviors": [
                {"id": row, "verdict": found.verdict.value, "seen": found.seen} for row, found in self.verdicts()
            ],
            "broken": self.broken,
            "never_succeeded": self.missing,
            "left_behind": self.left_behind,
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

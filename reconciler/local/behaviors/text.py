"""The table of behaviors as plain text and as Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from reconciler.local.behaviors import Behavior

_WIDTH = 100
_INDENT = "    "
HEADING = "## Behaviors\n\n"
_MARKS = {"documented": " ", "assumed": "?", "local": "*"}


def render(topics: Mapping[str, tuple[Behavior, ...]]) -> str:
    """Return the whole table, a block for each row; assumed rows are marked with ``?``, local ones with ``*``."""
    rows = [row for topic in topics.values() for row in topic]
    assumed = sum(row.assumed for row in rows)
    local = sum(row.basis == "local" for row in rows)
    known = f"{len(rows)} behaviors: {len(rows) - assumed - local} documented by Neon"
    lines = [f"{known}, {assumed} assumed (marked with ?), {local} different from Neon (marked with *)"]
    for topic, listed in topics.items():
        lines += ["", topic.upper()]
        for row in listed:
            lines += _block(row)
    return "\n".join(lines) + "\n"


def render_markdown(topics: Mapping[str, tuple[Behavior, ...]]) -> str:
    """Return the whole table as Markdown, one table for each topic."""
    lines = []
    for topic, rows in topics.items():
        lines += [f"### {topic.capitalize()}", "", "| Behavior | Call | Basis | Source |", "|---|---|---|---|"]
        lines += [f"| {row.statement} | `{row.call}` | {row.basis} | {row.source} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def _block(row: Behavior) -> Iterator[str]:
    yield ""
    yield f"{_MARKS[row.basis]} {row.id}  [{row.call}]"
    yield from _wrapped(row.statement)
    yield from _wrapped(f"{'silent' if row.assumed else 'source'}: {row.source}")
    if row.risk_if_wrong:
        yield from _wrapped(f"harmless: {row.risk_if_wrong}")
    yield f"{_INDENT}test: {row.test}"


def _wrapped(text: str) -> list[str]:
    folded = " ".join(text.split())
    return textwrap.wrap(folded, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)

"""The table of behaviours as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping

from reconciler.local.neon.behaviours import Behaviour

_WIDTH = 100
_INDENT = "    "


def render(topics: Mapping[str, tuple[Behaviour, ...]]) -> str:
    """The whole table, a block for each row; what is assumed is marked with ``?``."""
    rows = [row for topic in topics.values() for row in topic]
    assumed = sum(row.assumed for row in rows)
    lines = [f"{len(rows)} behaviours: {len(rows) - assumed} documented by Neon, {assumed} assumed (marked with ?)"]
    for topic, listed in topics.items():
        lines += ["", topic.upper()]
        for row in listed:
            lines += _block(row)
    return "\n".join(lines) + "\n"


def _block(row: Behaviour) -> Iterator[str]:
    yield ""
    yield f"{'?' if row.assumed else ' '} {row.id}  [{row.call}]"
    yield from _wrapped(row.says)
    yield from _wrapped(f"{'silent' if row.assumed else 'source'}: {row.source}")
    if row.why:
        yield from _wrapped(f"harmless: {row.why}")
    yield f"{_INDENT}test: {row.test}"


def _wrapped(text: str) -> list[str]:
    folded = " ".join(text.split())
    return textwrap.wrap(folded, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)

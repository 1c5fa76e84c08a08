"""Check names and prose against the tables of docs/contributing/vocabulary.md.

``python -m tests.vocabulary [--root DIR] [--kind KIND,...] [--summary] [PATH...]`` prints one line per finding,
``path:line: kind: text -> term``, then the numbers per folder and kind. The exit status is 1 when there is a finding.
Kinds: ``file``, ``name``, ``literal`` (a name in a string or in a code reference), ``sql``, ``prose``, ``clause`` (a
sentence that starts with a relative clause) and ``test-name``, which only ``--kind`` selects.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.vocabulary.page import Vocabulary
from tests.vocabulary.texts import TEST_NAME, Finding
from tests.vocabulary.tree import VOCABULARY, check

KINDS = ("file", "name", "literal", "sql", "prose", "clause")


def main(arguments: list[str] | None = None) -> int:
    """Print the findings; 1 when there are any."""
    parser = argparse.ArgumentParser(description="Check names and prose against docs/contributing/vocabulary.md.")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--kind", default=",".join(KINDS), help=f"comma-separated; {TEST_NAME} is left out by default")
    parser.add_argument("--summary", action="store_true", help="only the numbers")
    parser.add_argument("paths", nargs="*", help="files and folders, relative to the root")
    options = parser.parse_args(arguments)
    root = options.root.resolve()
    vocabulary = Vocabulary((root / VOCABULARY).read_text(encoding="utf-8"))
    kinds = options.kind.split(",")
    findings = [finding for finding in check(root, vocabulary, options.paths) if finding.kind in kinds]
    if not options.summary:
        print(*findings, sep="\n")  # noqa: T201 - the output of a command
    _print_summary(findings)
    return 1 if findings else 0


def _print_summary(findings: list[Finding]) -> None:
    by_folder = Counter(
        "/".join(Path(finding.path).parts[:2][: len(Path(finding.path).parts) - 1]) for finding in findings
    )
    by_kind = Counter(finding.kind for finding in findings)
    lines = [f"{number:6} {folder or '.'}" for folder, number in sorted(by_folder.items())]
    lines.append(
        f"{len(findings):6} in all: " + ", ".join(f"{kind} {number}" for kind, number in by_kind.most_common())
    )
    print(*lines, sep="\n", file=sys.stderr)  # noqa: T201 - the output of a command


if __name__ == "__main__":
    sys.exit(main())

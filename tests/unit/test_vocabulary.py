"""The vocabulary check: which names and phrases it reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vocabulary.page import Vocabulary
from tests.vocabulary.texts import FileCheck
from tests.vocabulary.tree import VOCABULARY

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    """The page of the repository."""
    return Vocabulary((ROOT / VOCABULARY).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("api/door.py", "", [(1, "file", "door")]),
        ("api/a.py", "class UserDoor: ...\n", [(1, "name", "UserDoor (door)")]),
        ("api/a.py", "def f(held_for: int) -> None: ...\n", [(1, "name", "held_for")]),
        ("api/a.py", "self.give_back_jobs = 1\n", [(1, "name", "give_back_jobs (give_back)")]),
        ("api/a.py", "for each in rows: ...\n", [(1, "name", "each")]),
        ("api/a.py", "create_each = 1\n", []),
        ("api/a.py", "control_planes = indoor = 1\n", []),
        ("api/a.py", "plane = 1\n", [(1, "name", "plane")]),
        ("api/a.py", "log.info('a.b', extra=fields(urgency=1))\n", [(1, "name", "urgency")]),
        ("api/a.py", "sql['give_back']\n", [(1, "literal", "give_back")]),
        ("api/a.py", '"""Runs `Mark` and\n``tell()``."""\n', [(1, "literal", "Mark"), (2, "literal", "tell")]),
        ("api/a.py", "# It runs at\n# once.\n", [(1, "prose", "at once")]),
        ("api/a.py", "x = (\n    'the first by '\n    f'itself {y}')\n", [(2, "prose", "by itself")]),
        ("api/a.py", '"""What it does."""\n', [(1, "clause", "What it does.")]),
        ("api/a.py", '"""What does it do?"""\n', []),
        ("api/a.py", "execute('SELECT doubted_at FROM a')\n", [(1, "sql", "doubted_at (doubted)")]),
        ("api/a.sql", "-- name: bury\n-- Nobody waits.\n", [(1, "sql", "bury"), (2, "prose", "Nobody")]),
        ("docs/a.md", "The connection refused it.\nIts colour.\n", [(2, "prose", "colour")]),
        ("docs/a.md", "```\nby itself held_for\n```\n", [(2, "literal", "held_for")]),
        ("pyproject.toml", "# behaviour\nheld_for = 1\n", [(1, "prose", "behaviour"), (2, "literal", "held_for")]),
        ("tests/vocabulary/a.py", "word = 1\n", []),
        ("tests/unit/test_a.py", "def test_the_wait(): ...\n", [(1, "test-name", "test_the_wait")]),
    ],
)
def test_file_check_text_reports_banned_words(
    vocabulary: Vocabulary, path: str, text: str, expected: list[tuple[int, str, str]]
) -> None:
    """Each kind of name and prose, what shields a word, and what is no name."""
    findings = FileCheck(vocabulary, path).run(text)
    assert [(finding.line, finding.kind, finding.text) for finding in findings] == expected


def test_vocabulary_page_preferred_terms_are_allowed(vocabulary: Vocabulary) -> None:
    """No row bans the term of another row."""
    banned = [
        term for term in vocabulary.terms if vocabulary.in_name(term.replace(" ", "_")) or vocabulary.in_prose(term)
    ]
    assert banned == []


def test_vocabulary_check_own_files_have_no_findings(vocabulary: Vocabulary) -> None:
    """The check follows its own rules."""
    for file in sorted((ROOT / "tests" / "vocabulary").glob("*.py")):
        assert FileCheck(vocabulary, file.relative_to(ROOT).as_posix()).run(file.read_text(encoding="utf-8")) == []

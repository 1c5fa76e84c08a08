"""All files of the repository, checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.vocabulary.page import Vocabulary
from tests.vocabulary.texts import FileCheck, Finding

VOCABULARY = Path("docs/contributing/vocabulary.md")
_UNCHECKED = {str(VOCABULARY), "tests/unit/test_vocabulary.py", "LICENSE"}
_SKIPPED_FOLDERS = {"build", "dist", "node_modules", "__pycache__"}
_TEXT_FILES = {".toml", ".yaml", ".yml", ".cfg", ".ini"}
_TEXT_NAMES = {"Makefile", "Dockerfile"}


def source_files(root: Path, paths: Iterable[str] = ()) -> Iterator[Path]:
    """The checked files below the root, or below the given paths; folders with a leading dot are left out."""
    for start in [root / path for path in paths] or [root]:
        if start.is_file():
            yield start
            continue
        for folder, folders, files in os.walk(start):
            folders[:] = sorted(
                f
                for f in folders
                if not f.startswith(".") and f not in _SKIPPED_FOLDERS and not f.endswith(".egg-info")
            )
            for name in sorted(files):
                file = Path(folder, name)
                checked = file.suffix in {".py", ".sql", ".md", *_TEXT_FILES} or name in _TEXT_NAMES
                if checked and str(file.relative_to(root)) not in _UNCHECKED:
                    yield file


def check(root: Path, vocabulary: Vocabulary, paths: Iterable[str] = ()) -> list[Finding]:
    """All findings of all kinds.

    Raises:
        SyntaxError: a file is no valid Python.
    """
    findings = []
    for file in source_files(root, paths):
        findings += FileCheck(vocabulary, file.relative_to(root).as_posix()).run(file.read_text(encoding="utf-8"))
    return findings

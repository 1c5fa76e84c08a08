"""Judges the traffic of the whole session, and says at its end what was checked.

What is wrong fails any session. That something was not checked fails one that ran all tests.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests import npm
from tests.conformance.calls import can_be_sent
from tests.conformance.document import Document
from tests.conformance.hooks import overheard
from tests.conformance.processes import DOCUMENT, FOLDER
from tests.conformance.recording import Recording
from tests.conformance.where import document_path

_NEED_IT: Final = ("tests/conformance/", "tests/foreign/")


class Session:
    """One run of pytest: the document, where there is one, and what was judged by it.

    Args:
        build: the folder for what is made.
    """

    def __init__(self, build: Path) -> None:
        self.document: Document | None = None
        self.why_not = ""
        self.recording = Recording()
        self.lacking: list[str] = []
        self.deselected = False
        self._open = ExitStack()
        # Of this session alone: two may run at once.
        self._folder = build / "conformance" / str(os.getpid())
        self._figures = build / "conformance.json"

    def start(self, *, install: bool) -> None:
        """Begin to judge, where the document can be had."""
        if self.document is not None:
            return
        try:
            path = document_path(install=install)
        except npm.NotThere as reason:
            self.why_not = str(reason)
            return
        self.document = Document.load(path)
        os.environ |= {DOCUMENT: str(path), FOLDER: str(self._folder)}
        self._open.enter_context(overheard(self.document, self.recording.add))

    def finish(self, *, whole: bool) -> bool:
        """Add what other processes wrote down; whether all is well."""
        self._open.close()
        if self.document is None:
            return not (whole and os.environ.get(npm.REQUIRED))
        self.recording.read(self._folder)
        shutil.rmtree(self._folder, ignore_errors=True)
        if whole:
            self.lacking = self.recording.lacks(can_be_sent(self.document))
            self._figures.parent.mkdir(exist_ok=True)
            self._figures.write_text(json.dumps(self.recording.figures(), indent=2) + "\n")
        return not self.recording.problems and not self.lacking


_SESSION: Final = pytest.StashKey[Session]()


def pytest_configure(config: pytest.Config) -> None:
    """Listen from the start, unless the document would have to be installed first."""
    session = config.stash[_SESSION] = Session(config.rootpath / "build")
    session.start(install=False)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Note that this is not the whole suite, of which tests of the real Neon are no part."""
    for item in items:
        if item.get_closest_marker("live") is None:
            item.config.stash[_SESSION].deselected = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install the document where a test that cannot do without it will run."""
    if any(item.nodeid.startswith(_NEED_IT) for item in session.items) and not session.config.option.collectonly:
        session.config.stash[_SESSION].start(install=True)


@pytest.fixture(scope="session")
def document(pytestconfig: pytest.Config) -> Document:
    """Neon's OpenAPI document; without it a test is skipped, or fails where it must not be."""
    session = pytestconfig.stash[_SESSION]
    return session.document or npm.give_up(session.why_not)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session in which something was wrong."""
    kept = session.config.stash[_SESSION]
    ran_all = session.config.args_source is pytest.Config.ArgsSource.TESTPATHS and not kept.deselected
    stopped = session.shouldstop or session.shouldfail or session.config.option.collectonly
    if not kept.finish(whole=ran_all and not stopped) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was checked, or why nothing was."""
    kept = config.stash[_SESSION]
    terminalreporter.section("conformance to Neon's OpenAPI document")
    if kept.document is None:
        terminalreporter.line(f"nothing was checked: {kept.why_not}")
        return
    for line in [*kept.recording.summary(), *kept.lacking]:
        terminalreporter.line(line)

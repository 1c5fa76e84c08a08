"""Prints the table at the end of a run against the real Neon."""

from __future__ import annotations

import pytest

from tests.live.report import Report

REPORT = pytest.StashKey[Report]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show what was found, if anything was asked."""
    report = config.stash.get(REPORT, None)
    if report is not None:
        terminalreporter.section("real Neon")
        terminalreporter.write_line(report.render())

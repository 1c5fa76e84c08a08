"""A short soak: half a minute in which processes are killed and paused, and everything else fails too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.soak.__main__ import main

SEED, SECONDS = 1, 26


def test_half_a_minute_of_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is leaked, doubled or lost, nothing wrong is deleted, and then all is quiet."""
    file = tmp_path / "soak.json"
    status = main(["--seed", str(SEED), "--seconds", str(SECONDS), "--out", str(file)])
    assert status == 0, capsys.readouterr().out
    figures = json.loads(file.read_text())
    assert figures["converged"]
    assert figures["kills"] >= 24

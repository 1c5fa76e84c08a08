"""What the plugin makes of a session: each test here runs pytest on a suite of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import npm
from tests.conformance.processes import FOLDER
from tests.conformance.recording import Recording, Sighting, Writing
from tests.conformance.schemas import Json
from tests.conformance.small import DOCUMENT

ASKS = """
from reconciler.local.simulator import LocalNeon
from reconciler.local.options import LocalNeonOptions
from reconciler.local.protocol import Request

def test_it() -> None:
    assert LocalNeon(LocalNeonOptions(), seed=1).handle(Request("GET", "/auth"), 0.0).status == 200
"""
ASKS_IN_ANOTHER_PROCESS = """
import json, os, subprocess, sys
from tests.conformance import processes

PROGRAM = '''
import os
from pathlib import Path
from tests.conformance import processes
from tests.conformance.recording import Sighting, Writing
tell = Writing(Path(os.environ[processes.FOLDER])).add
tell(Sighting("answer", "GET", "/auth", 418, ("a teapot",), os.environ["PYTEST_CURRENT_TEST"]))
os.kill(os.getpid(), 9)
'''

def test_it() -> None:
    assert processes.command() == "tests.conformance.entry"
    environment = {**processes.environment(), "PYTHONPATH": os.environ["PYTHONPATH"]}
    assert subprocess.run([sys.executable, "-c", PROGRAM], env=environment).returncode == -9
"""


def _pytest(folder: Path, suite: str, document: Json | None, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of a suite of one file, judged by a document."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_one.py").write_text(suite)
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\n")
    file = folder / "document.json"
    if document is not None:
        file.write_text(json.dumps(document))
    ours = {name: value for name, value in os.environ.items() if name not in {npm.REQUIRED, FOLDER}}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conformance.plugin", *arguments],
        cwd=folder,
        env={**ours, "PYTHONPATH": str(npm.ROOT), "NEON_OPENAPI": str(file), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


def _wanting(field: str) -> Json:
    """The small document, in which an answer to ``GET /auth`` must have one field more."""
    document: Json = json.loads(json.dumps(DOCUMENT))
    document["components"]["schemas"]["Auth"]["required"].append(field)
    return document


def test_a_valid_session_that_is_not_the_whole_suite_passes_and_says_what_it_saw(tmp_path: Path) -> None:
    code, output = _pytest(tmp_path, ASKS, DOCUMENT, "tests/test_one.py")
    assert code == 0, output
    assert "1 answers on 1, 1 distinct statuses (200); 0 things were wrong" in output


def test_an_invalid_answer_fails_the_session(tmp_path: Path) -> None:
    code, output = _pytest(tmp_path, ASKS, _wanting("never"), "tests/test_one.py")
    assert code == 1, output
    assert '"never" is a required property (tests/test_one.py::test_it (call))' in output


def test_what_another_process_wrote_down_counts_even_when_it_was_killed(tmp_path: Path) -> None:
    code, output = _pytest(tmp_path, ASKS_IN_ANOTHER_PROCESS, DOCUMENT, "tests/test_one.py")
    assert code == 1, output
    assert "answer GET /auth 418: a teapot (tests/test_one.py::test_it (call))" in output


def test_the_whole_suite_must_have_seen_every_call_and_ten_statuses(tmp_path: Path) -> None:
    code, output = _pytest(tmp_path, ASKS, DOCUMENT)
    assert code == 1, output
    assert "no request was checked" in output
    assert "POST /projects was never sent" in output
    assert "1 distinct statuses were seen, and not 10" in output
    assert json.loads((tmp_path / "build" / "conformance.json").read_text())["answers"] == 1


@pytest.mark.parametrize(("marker", "whole"), [("live", True), ("slow", False)])
def test_what_was_deselected_is_part_of_the_suite_unless_it_is_about_the_real_neon(
    tmp_path: Path, marker: str, whole: bool
) -> None:
    left_out = f"import pytest\n{ASKS}\n@pytest.mark.{marker}\ndef test_left_out() -> None: ...\n"
    code, output = _pytest(tmp_path, left_out, DOCUMENT, "-m", f"not {marker}")
    assert "1 passed, 1 deselected" in output
    assert ("no request was checked" in output) == whole
    assert code == int(whole), output


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
def test_without_a_document_it_says_why_and_fails_where_it_is_required(
    tmp_path: Path, required: str, code: int
) -> None:
    found, output = _pytest(tmp_path, "def test_it() -> None: ...", None, **{npm.REQUIRED: required})
    assert found == code, output
    assert "nothing was checked: NEON_OPENAPI names no file" in output


def test_half_a_line_is_not_counted(tmp_path: Path) -> None:
    seen = Sighting("answer", "GET", "/auth", 200, ("wrong",), "here")
    Writing(tmp_path).add(seen)
    (tmp_path / "killed.jsonl").write_text('{"side": "ans')
    recording = Recording()
    recording.read(tmp_path)
    assert recording.answers.total() == 1
    assert recording.problems == ["answer GET /auth 200: wrong (here)"]

"""The API as strangers' requests find it: generated from its own description, valid and not, and checked against it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.processes.clients import api_of
from tests.processes.running import Stage, url_of

CASES = 2_000
LIMITS = {"MAX_APPS_PER_OWNER": "1000000", "REQUESTS_PER_MINUTE": "10000000"}
# All other checks are on. A deleted app can still be read, as `deleted`: that is promised, and no use after free.
CONFIGURATION = "[checks.use_after_free]\nenabled = false\n"


def test_nothing_that_can_be_asked_is_answered_otherwise_than_described(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """All phases of schemathesis: examples, coverage, fuzzing, and sequences of calls."""
    serving = stage.serve(**LIMITS)
    configuration = stage.folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION)
    ran = stage.start_program(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={configuration}",
            "run",
            f"{url_of(serving)}/openapi.json",
            "--header",
            f"Authorization: {api_of(stage, serving).http.headers['authorization']}",
            "--max-examples=250",
            "--seed=20261124",
            "--no-color",
        ],
        "schemathesis",
    )
    code = ran.code(seconds=300)
    summary = ran.out[ran.out.rfind("SUMMARY") :]
    generated = re.search(r"(\d+) generated", summary)
    with capsys.disabled():
        print(f"\nschemathesis: {generated[0] if generated else 'no cases'}")  # noqa: T201
    assert code == 0, ran.out[-8000:] + ran.err[-2000:]
    assert generated is not None
    assert int(generated[1]) >= CASES, summary

"""The API under requests generated from its own description, valid and not, with every answer checked against it."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.processes.clients import token_for
from tests.processes.running import Stage, url_of

# `make fuzz` asks for more. One example is one generated request; nine operations and the sequences multiply them.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "250"))
CASES = 8 * EXAMPLES
LIMITS = {
    "MAX_APPS_PER_OWNER": "1000000",
    "REQUESTS_PER_MINUTE": "10000000",
    "FAILED_TOKENS_PER_MINUTE": "10000000",
}
# Two owners whose apps must stay private to each other: the check for object-level authorization needs both.
PEERS = ("alice", "bob")
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
# All other checks are on. A deleted app can still be read, as `deleted`: the contract says so, it is no use after free.
CONFIGURATION = """
hooks = {hooks}

[auth.wfc]
path = "owners.json"
peers = {peers}

[checks.use_after_free]
enabled = false

[checks.object_level_authorization]
enabled = true
"""


def test_api_generated_requests_match_the_description(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """All phases of schemathesis: examples, coverage, fuzzing, and sequences of calls, by two owners."""
    serving = stage.serve(**LIMITS)
    owners = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token_for(stage, name)}"}]}
        for name in PEERS
    ]
    (stage.folder / "owners.json").write_text(json.dumps({"auth": owners}))
    configuration = stage.folder / "schemathesis.toml"
    configuration.write_text(CONFIGURATION.format(peers=json.dumps(PEERS), hooks=json.dumps(str(HOOKS))))
    ran = stage.start_program(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={configuration}",
            "run",
            f"{url_of(serving)}/openapi.json",
            f"--max-examples={EXAMPLES}",
            "--seed=20261124",
            "--no-color",
        ],
        "schemathesis",
    )
    code = ran.code(seconds=3600)
    summary = ran.out[ran.out.rfind("SUMMARY") :]
    generated = re.search(r"(\d+) generated", summary)
    with capsys.disabled():
        print(f"\nschemathesis: {generated[0] if generated else 'no cases'}")  # noqa: T201
    assert code == 0, ran.out[-8000:] + ran.err[-2000:]
    assert generated is not None
    assert int(generated[1]) >= CASES, summary

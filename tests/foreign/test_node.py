"""Neon's packages for Node, unmodified: ``@neon/sdk`` and ``@neondatabase/api-client``."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from threading import Timer

import pytest

from tests import npm
from tests.foreign.lives import KEY, Served, connect, plain_environment

PATIENCE_SECONDS = 120


@pytest.mark.parametrize(
    ("script", "package"), [("sdk.mjs", "@neon/sdk"), ("api_client.mjs", "@neondatabase/api-client")]
)
def test_the_whole_life_of_a_project(
    script: str, package: str, node_modules: Path, local_neon: Served, tmp_path: Path
) -> None:
    # Node looks for packages from where a script lies.
    program = Path(shutil.copy(Path(__file__).with_name(script), node_modules.parent))
    with local_neon.lives(f"{package} {npm.PACKAGES[package]}"):
        given = plain_environment(tmp_path) | {"NEON_API_KEY": KEY, "NEON_API_HOST": local_neon.url}
        connected = _lived(program, given, tmp_path)
    own, below, *more = connected
    assert own != below
    assert len(more) == 2
    assert len(set(more)) == 1
    assert not set(more[0]) & {*own, *below}


def _lived(program: Path, environment: dict[str, str], folder: Path) -> list[tuple[str, str]]:
    """Users and databases of the connections that the script asked for, when it has come to its end."""
    connected = []
    said: dict[str, str] = {}
    with (
        (folder / "errors").open("w+") as errors,
        subprocess.Popen(
            ["node", str(program)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as node,
    ):
        patience = Timer(PATIENCE_SECONDS, node.kill)
        patience.start()
        try:
            assert node.stdin is not None
            assert node.stdout is not None
            for line in node.stdout:
                said = json.loads(line)
                if "connect" in said:
                    connected.append(connect(said["connect"]))
                    node.stdin.write(json.dumps(connected[-1]) + "\n")
                    node.stdin.flush()
            code = node.wait()
        finally:
            patience.cancel()
            node.kill()
        errors.seek(0)
        assert code == 0, errors.read()[-4000:]
    assert "lived" in said
    return connected

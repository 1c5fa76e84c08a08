"""Version N beside this one: its code from the history, started as processes of its own."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final, Literal, Never

import pytest

from tests.processes.running import ROOT, Running, Stage

Version = Literal["old", "new"]
PREVIOUS: Final = "694aadd24b20e5057107bef54f4ebf44f86de0a0"
"""The baseline: the first schema that later versions upgrade from. The newest release tag replaces it."""

REQUIRED: Final = "REQUIRE_HISTORY"
_PARTS = ("api", "reconciler", "specs", "migrations")
_COMMAND = "api.commands.cli"


class NotThere(Exception):
    """The history does not hold version N here; the message says why."""


def unpack(folder: Path) -> Path:
    """Put version N into a folder.

    Raises:
        NotThere: this is no clone, or one without that commit.
    """
    command = ["git", "-C", str(ROOT), "archive", PREVIOUS, *_PARTS]
    try:
        archive = subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise NotThere("there is no git on this machine") from None
    except subprocess.CalledProcessError as error:
        raise NotThere(f"git has no {PREVIOUS} here: {error.stderr.decode().strip()}") from None
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def give_up(reason: str) -> Never:
    """Skip a test and say why; with ``REQUIRE_HISTORY`` fail it."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, and {REQUIRED} is set")
    pytest.skip(reason)


class Versions:
    """Both versions' commands on one stage.

    Args:
        stage: where they run.
        old: the folder with version N.
    """

    def __init__(self, stage: Stage, old: Path) -> None:
        self._stage = stage
        self._old = old

    def start(self, version: Version, *arguments: str, **changes: str) -> Running:
        """Start a command of one version."""
        if version == "new":
            return self._stage.start(*arguments, **changes)
        return self._stage.start_module(_COMMAND, *arguments, PYTHONPATH=str(self._old), **changes)

    def roll_back(self, first: str) -> Running:
        """Start the README's command: yoyo takes back a migration and all that came after it."""
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        [script] = re.findall(r"^```sh\n(FIRST=.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        script = re.sub(r"^FIRST=\S+$", f"FIRST={first}", script, flags=re.MULTILINE)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return self._stage.start_program(["bash", "-euc", script], "rollback", PATH=path)

    def carried(self) -> tuple[str, ...]:
        """The migrations of version N."""
        found = (self._old / "migrations" / "catalog").glob("*.sql")
        return tuple(sorted(file.stem for file in found if not file.stem.endswith(".rollback")))

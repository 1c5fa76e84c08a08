"""Neon's command line, ``neon`` of npm, unmodified."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests import npm
from tests.foreign.lives import KEY, Served, connect, plain_environment

PATIENCE_SECONDS = 60


class Cli:
    """Runs the command.

    Args:
        program: the command's file.
        url: which API it is for.
        home: where it keeps what it remembers.
    """

    def __init__(self, program: Path, url: str, home: Path) -> None:
        self._program = program
        self._environment = plain_environment(home) | {"NEON_API_KEY": KEY, "NEON_API_HOST": url}
        self._global = ["--no-analytics", "--config-dir", str(home / "config")]
        self._home = home

    def text(self, *arguments: str) -> str:
        """What a command printed."""
        ran = subprocess.run(
            [str(self._program), *arguments, *self._global],
            cwd=self._home,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, (arguments, ran.stdout, ran.stderr)
        return ran.stdout

    def __call__(self, *arguments: str) -> Any:
        """What a command printed as JSON."""
        return json.loads(self.text(*arguments, "--output", "json"))

    def settled(self, project_id: str) -> int:
        """Wait until no operation runs; how many there were."""
        for _ in range(60):
            operations = self("operations", "list", "--project-id", project_id)
            if all(each["status"] == "finished" for each in operations):
                return len(operations)
            time.sleep(0.1)
        pytest.fail("operations did not finish")


@pytest.fixture
def cli(node_modules: Path, local_neon: Served, tmp_path: Path) -> Cli:
    return Cli(node_modules / ".bin" / "neon", local_neon.url, tmp_path)


def test_the_whole_life_of_a_project(cli: Cli, local_neon: Served) -> None:
    with local_neon.lives(f"neon {npm.PACKAGES['neon']}"):
        _life(cli)


def _life(cli: Cli) -> None:
    org = cli("orgs", "list")[0]["id"]
    named = ["--name", "by-the-cli", "--org-id", org, "--region-id", "aws-us-east-2", "--pg-version", "17"]
    made = cli("projects", "create", *named, "--database", "app", "--role", "app")
    project = made["project"]["id"]
    inside = ["--project-id", project]
    cli.settled(project)
    connect(made["connection_uris"][0]["connection_uri"])
    assert project in [each["id"] for each in cli("projects", "list", "--org-id", org)]
    assert cli("projects", "get", project)["name"] == "by-the-cli"
    assert cli("projects", "update", project, "--name", "renamed")["name"] == "renamed"

    below = cli("branches", "create", "--name", "below", *inside)
    cli.settled(project)
    connect(below["connection_uris"][0]["connection_uri"])
    assert {each["name"] for each in cli("branches", "list", *inside)} == {"main", "below"}
    cli("roles", "create", "--name", "second", "--branch", "main", *inside)
    cli.settled(project)
    cli("databases", "create", "--name", "more", "--owner-name", "second", "--branch", "main", *inside)
    cli.settled(project)
    assert {each["name"] for each in cli("roles", "list", "--branch", "main", *inside)} == {"app", "second"}
    assert {each["name"] for each in cli("databases", "list", "--branch", "main", *inside)} == {"app", "more"}
    _connection_string(cli, project)

    assert cli.settled(project) > 3
    cli("branches", "delete", "below", *inside)
    cli.settled(project)
    assert cli("projects", "delete", project)["id"] == project
    assert project not in [each["id"] for each in cli("projects", "list", "--org-id", org)]
    assert project in [each["id"] for each in cli("projects", "list", "--org-id", org, "--recoverable-only")]


def _connection_string(cli: Cli, project: str) -> None:
    """The command composes the string itself, of names that local Neon's one cluster does not have.

    So its parts are compared, and the URI that local Neon gives to the same command line is connected to.
    """
    chosen = ["--role-name", "second", "--database-name", "more", "--project-id", project]
    composed = urlsplit(cli.text("connection-string", "main", *chosen).strip())
    assert (composed.username, composed.path) == ("second", "/more")
    asked = ["-Q", "role_name=second", "-Q", "database_name=more"]
    uri = cli("api", f"/projects/{project}/connection_uri", *asked)["uri"]
    assert composed.hostname == urlsplit(uri).hostname
    assert unquote(composed.password or "") == unquote(urlsplit(uri).password or "")
    connect(uri)

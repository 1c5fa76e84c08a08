"""The product's commands as processes of their own: started, looked at, and ended whatever happens."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.conformance import processes as conformance
from tests.environment import POOLER, of_product, of_tests

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 90.0
STOP_SECONDS = 20.0
# Short, so that a lost lease or a lost answer costs a test seconds and not minutes.
FIGURES = {"NEON_TIMEOUT_SECONDS": "2", "LEASE_SECONDS": "5", "SETTLE_SECONDS": "3", "RESYNC_SECONDS": "2"}
SECRETS = {"JWT_SECRET_KEY": "jk" * 21, "ENCRYPTION_KEYS": "dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHR0dHQ"}
Seen = TypeVar("Seen")


def until(look: Callable[[], Seen], what: str, seconds: float = PATIENCE_SECONDS) -> Seen:
    """The first true thing that ``look`` returns; ``what`` says what was waited for in vain."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def children_of(pid: int) -> set[int]:
    """The processes below a process, at any depth."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, new = set[int](), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new} - found
        found |= new
    return found


def is_alive(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Running:
    """A process in a group of its own, whose output goes to files."""

    def __init__(self, arguments: list[str], environment: dict[str, str], folder: Path, name: str) -> None:
        self.name = name
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                arguments,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process's id, which is its group's too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def out(self) -> str:
        """What it printed."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it logged."""
        return self._err.read_text()

    def said(self, pattern: str) -> re.Match[str]:
        """Wait for a text on either output."""

        def look() -> re.Match[str] | None:
            alive = self.alive
            found = re.search(pattern, self.out + self.err)
            assert found or alive, f"{self.name} ended with {self._process.returncode}: {self.err[-2000:]}"
            return found

        found = until(look, f"{self.name} says {pattern!r}")
        assert found is not None
        return found

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, as a terminal would."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def code(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {seconds:g} s: {self.err[-2000:]}") from None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        self.send(number)
        return self.code()

    def kill(self) -> None:
        """kill -9, and wait until it and what was below it are gone."""
        below = children_of(self.pid)
        self.send(signal.SIGKILL)
        self.code()
        until(lambda: not any(is_alive(pid) for pid in below), f"nothing is left of {self.name}")


@dataclass
class Stage:
    """A folder, an environment, and the processes that run in them.

    Attributes:
        folder: where they run; an unprivileged user may walk through it, so that Postgres can run below it.
        environment: the whole environment of every process.
        closing: what else ends with the stage, such as clients.
    """

    folder: Path
    environment: dict[str, str]
    running: list[Running] = field(default_factory=list)
    closing: ExitStack = field(default_factory=ExitStack)

    @property
    def catalog_url(self) -> str:
        """The catalog's address for a test's own statements: direct, with the usual settings."""
        return of_tests(self.environment.get("DATABASE_DIRECT_URL", self.environment["DATABASE_URL"]))

    def start(self, *arguments: str, **changes: str | None) -> Running:
        """Start a command; ``changes`` to the environment are for it alone, None takes a variable away."""
        return self.start_module(conformance.command(), *arguments, **changes)

    def start_module(self, module: str, *arguments: str, **changes: str | None) -> Running:
        """Start a module of ours as a program."""
        return self.start_program([sys.executable, "-m", module, *arguments], arguments[0], **changes)

    def start_program(self, command: list[str], name: str, **changes: str | None) -> Running:
        """Start any program; ``name`` is for its files and for messages."""
        started = Running(command, self._environment(changes), self.folder, f"{len(self.running)}-{name}")
        self.running.append(started)
        return started

    def run(self, *arguments: str, **changes: str | None) -> Running:
        """Run a command to its end."""
        ran = self.start(*arguments, **changes)
        ran.code()
        return ran

    def serve(self, **changes: str | None) -> Running:
        """Start the API on a free port; ``url_of`` tells its address."""
        return self.start("serve", "--port", "0", **changes)

    def reconcile(self, **changes: str | None) -> Running:
        """Start a reconciler."""
        return self.start("reconcile", **changes)

    def local_neon(self, **changes: str | None) -> Running:
        """Start local Neon where ``NEON_API_URL`` says, for the stage's key."""
        port = self.environment["NEON_API_URL"].split(":")[2].split("/")[0]
        return self.start("local-neon", "--port", port, "--data", "local-neon", **{"NEON_ORG_ID": None, **changes})

    def close(self) -> None:
        """End everything: in good order, but for local Neon, whose data goes with it."""
        self.closing.close()
        alive = [one for one in self.running if one.alive]
        below = {pid for one in alive for pid in children_of(one.pid)}
        for one in alive:
            one.send(signal.SIGKILL if "-local-neon" in one.name else signal.SIGTERM)
        for one in alive:
            try:
                one.code()
            except AssertionError:
                one.kill()
        # Postgres below a killed parent shuts down by itself, with a checkpoint; this is without, and leaves nothing.
        for number in (signal.SIGQUIT, signal.SIGKILL):
            for pid in below:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            with suppress(AssertionError):
                until(lambda: not any(is_alive(pid) for pid in below), "Postgres ends", STOP_SECONDS)
                return

    def check(self) -> None:
        """No process met what it did not expect, and none told a credential."""
        for one in self.running:
            assert "Traceback" not in one.err, f"{one.name}: {one.err[-4000:]}"
            assert not re.search(r"(morphik|postgresql)://app", one.err), f"{one.name} logged a URI"

    def _environment(self, changes: dict[str, str | None]) -> dict[str, str]:
        merged: dict[str, str | None] = {**self.environment, **changes}
        return {name: value for name, value in merged.items() if value is not None}


def url_of(serving: Running) -> str:
    """The address that an API listens on."""
    return serving.said(r"serving (http://[^\s\"]+)")[1]


def plain_environment() -> dict[str, str]:
    """What every process needs, and not one setting."""
    plain = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    return {**plain, **conformance.environment()}


def settings(catalog_url: str, neon_url: str | None = None) -> dict[str, str]:
    """An environment for all processes over one catalog, with a port for local Neon where none is named."""
    return {
        **plain_environment(),
        **FIGURES,
        **SECRETS,
        **addresses(catalog_url),
        "NEON_API_KEY": "key-" + secrets.token_hex(8),
        "NEON_API_URL": neon_url or f"http://127.0.0.1:{free_port()}/api/v2",
    }


def addresses(catalog_url: str) -> dict[str, str]:
    pooled, direct = of_product(catalog_url, *POOLER), of_product(catalog_url)
    return {"DATABASE_URL": pooled} | ({} if pooled == direct else {"DATABASE_DIRECT_URL": direct})


@contextmanager
def staged(environment: dict[str, str]) -> Iterator[Stage]:
    """A stage whose processes all end with the block, and are looked over when it ended well."""
    folder = Path(tempfile.mkdtemp(prefix="morphik-stage-"))
    folder.chmod(0o711)
    stage = Stage(folder, environment)
    try:
        try:
            yield stage
        finally:
            stage.close()
        stage.check()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""The process and the port of the embedded Postgres."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from reconciler.local.postgres.installation import PostgresInstallation

LOOPBACK = "127.0.0.1"
_PR_SET_PDEATHSIG = 1
_HAS_PROC = Path("/proc/self/cmdline").exists()
# Signals and seconds: Postgres' fast shutdown, its immediate one, which needs crash recovery, then a kill.
_ESCALATION = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0))


async def spawn(
    placement: PostgresInstallation, command: Sequence[str], *, stdout: int | IO[bytes], stderr: int | IO[bytes]
) -> asyncio.subprocess.Process:
    """Run a Postgres program as the user of the installation."""
    user = placement.user
    return await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        # A session of its own, so that Ctrl-C in a terminal reaches this process and not the server.
        start_new_session=True,
        preexec_fn=_end_with_parent(),
        user=None if user is None else user.uid,
        group=None if user is None else user.gid,
        extra_groups=None if user is None else [],
    )


def _end_with_parent() -> Callable[[], None] | None:
    """Make the kernel stop the server when this process is killed; on other systems the next start stops it."""
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return in_child


async def terminate(process: asyncio.subprocess.Process) -> None:
    """Stop a server, with stronger signals until it ends."""
    for number, timeout in _ESCALATION:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), timeout)
        if process.returncode is not None:
            return


async def terminate_stale(cluster: Path) -> None:
    """Stop a server that outlived its killed parent, and remove its pid file."""
    pid = await asyncio.to_thread(_recorded_pid, cluster)
    if pid is None:
        return
    for number, timeout in _ESCALATION:
        if not await _serves(pid, cluster):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        for _ in range(int(timeout / 0.05)):
            if not await _serves(pid, cluster):
                break
            await asyncio.sleep(0.05)
    await asyncio.to_thread((cluster / "postmaster.pid").unlink, missing_ok=True)


def _recorded_pid(cluster: Path) -> int | None:
    try:
        first = (cluster / "postmaster.pid").read_text().split("\n", 1)[0]
    except FileNotFoundError:
        return None
    return int(first) if first.isdecimal() else 0


async def _serves(pid: int, cluster: Path) -> bool:
    """Return whether a process is the server of a cluster; the pid may belong to another process by now."""
    if pid <= 0:
        return False
    if _HAS_PROC:
        return str(cluster) in _arguments(pid)
    process = await asyncio.create_subprocess_exec(
        "ps", "-ww", "-o", "stat=,args=", "-p", str(pid), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace").strip()
    return not text.startswith("Z") and str(cluster) in text


def _arguments(pid: int) -> str:
    """Return the command line of a process on Linux; empty for an absent process or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Return whether a loopback port is free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True

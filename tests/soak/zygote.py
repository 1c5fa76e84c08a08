"""A warmed process that forks the product's commands: each is a process of its own, without the second of importing.

Run as ``python -m tests.soak.zygote``. Each line on stdin is a JSON object with ``name``, ``arguments``,
``environment`` and ``log``; each line on stdout says that a process began or ended. The end of stdin ends them all.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from api.cli.main import main
from tests.conformance.processes import DOCUMENT, FOLDER

Command = Callable[[list[str]], int]


def _command() -> Command:
    """``morphik-apps``, overheard where traffic is judged."""
    if FOLDER not in os.environ:
        return main
    from tests.conformance.document import Document  # noqa: PLC0415 - only where it is needed: it takes a second
    from tests.conformance.hooks import overheard  # noqa: PLC0415
    from tests.conformance.recording import Writing  # noqa: PLC0415

    document = Document.load(Path(os.environ[DOCUMENT]))

    def heard(arguments: list[str]) -> int:
        with overheard(document, Writing(Path(os.environ[FOLDER])).add):
            return main(arguments)

    return heard


def _say(**told: object) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _begin(command: Command, order: dict[str, Any]) -> int:
    """Fork one process; its id."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for old, new in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        os.environ.clear()
        os.environ.update(order["environment"])
        status = command(order["arguments"])
    except BaseException:  # noqa: BLE001 - nothing of the parent may go on in the child
        traceback.print_exc()
    finally:
        with suppress(Exception):
            logging.shutdown()
            sys.stderr.flush()
        os._exit(status)


def _bury(running: set[int]) -> None:
    """Tell of everyone who has ended."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        running.discard(pid)
        _say(ended=pid, code=os.waitstatus_to_exitcode(status))


def serve() -> None:
    """Take orders until stdin ends; then nothing is left running."""
    command, running = _command(), set[int]()
    gc.collect()
    gc.freeze()
    inner, outer = os.pipe()
    os.set_blocking(outer, False)
    signal.set_wakeup_fd(outer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _say(warm=os.getpid())
    pending = b""
    while True:
        ready, _, _ = select.select([0, inner], [], [])
        if inner in ready:
            os.read(inner, 4096)
            _bury(running)
        if 0 not in ready:
            continue
        read = os.read(0, 65536)
        if not read:
            break
        *orders, pending = (pending + read).split(b"\n")
        for line in orders:
            order = json.loads(line)
            pid = _begin(command, order)
            running.add(pid)
            _say(began=pid, name=order["name"])
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()

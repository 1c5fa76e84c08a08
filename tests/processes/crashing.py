"""Real daemons for the crash tests, one catalog each: ``die`` kills each at its own effect, ``finish`` works on.

Run as ``python -m tests.processes.crashing die|finish <file>``; the file holds a JSON list of plans.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any, TypedDict

from api.cli.process import run_until_signal
from reconciler.core.context import Result
from reconciler.core.effects import Effect
from reconciler.runtime import reconciler
from reconciler.runtime.daemon import Daemon
from reconciler.runtime.reconciler import Reconciler
from specs.settings import CatalogSettings, ControlPlaneSettings, EncryptionSettings, ReconcilerSettings


class Plan(TypedDict):
    """One daemon.

    Attributes:
        url: its catalog.
        plane: its control plane, so that daemons in one organization leave each other's projects alone.
        number: the effect to be killed at, counted from 1.
        after: whether the effect is carried out first.
        mark: the file that tells the effect's name when it has come to it.
        kind: the effects that are counted; empty for all.
    """

    url: str
    plane: str
    number: int
    after: bool
    mark: str
    kind: str


def _daemon(plan: Plan) -> Daemon:
    os.environ.update({"DATABASE_URL": plan["url"], "CONTROL_PLANE_ID": plan["plane"]})
    return Daemon(
        CatalogSettings.load(), EncryptionSettings.load(), ControlPlaneSettings.load(), ReconcilerSettings.load()
    )


def _arm(plan: Plan) -> None:
    """Have this process kill itself at the effect, or end in good order when its app is settled before."""
    perform, run = reconciler.perform, Reconciler.run
    performed = 0

    async def counted(handlers: Any, session: Any, effect: Effect[Any]) -> Any:
        nonlocal performed
        performed += plan["kind"] in ("", type(effect).__name__)
        here = performed == plan["number"] and plan["kind"] in ("", type(effect).__name__)
        if here and not plan["after"]:
            _die(plan, effect)
        answer = await perform(handlers, session, effect)
        if here:
            _die(plan, effect)
        return answer

    async def watched(self: Reconciler, claimed: Any) -> Result:
        outcome = await run(self, claimed)
        if outcome.requeue_after is None:
            os.kill(os.getpid(), signal.SIGTERM)
        return outcome

    setattr(reconciler, "perform", counted)  # noqa: B010 - mypy knows the function as constant
    setattr(Reconciler, "run", watched)  # noqa: B010


def _die(plan: Plan, effect: Effect[Any]) -> None:
    Path(plan["mark"]).write_text(type(effect).__name__)
    os.kill(os.getpid(), signal.SIGKILL)


def _die_all(plans: list[Plan]) -> None:
    """A process for each plan, until all have ended."""
    below = []
    for plan in plans:
        pid = os.fork()
        if pid == 0:
            _arm(plan)
            run_until_signal(_daemon(plan).run)
            os._exit(0)
        below.append(pid)
    for pid in below:
        os.waitpid(pid, 0)


def _finish_all(plans: list[Plan]) -> None:
    """One process in which every catalog has its daemon, until it is told to stop."""
    daemons = [_daemon(plan) for plan in plans]

    async def work() -> None:
        await asyncio.gather(*(daemon.run() for daemon in daemons))

    run_until_signal(work)


def main() -> None:
    """Do what the command line says."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    plans: list[Plan] = json.loads(Path(sys.argv[2]).read_text())
    {"die": _die_all, "finish": _finish_all}[sys.argv[1]](plans)


if __name__ == "__main__":
    main()

"""Whether a mutant is noticed: found out in a child process that runs nothing else."""

from __future__ import annotations

import os
import resource
import select
import signal
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from tests.mutation.graft import graft
from tests.mutation.killers import Killer
from tests.mutation.mutants import Mutant

ENDLESS_SECONDS = 5.0
"""Processor time that a killer may take beyond ten times its own: then something does not end, which is noticed."""
_MEMORY_BYTES = 6 << 30


@dataclass(frozen=True)
class Verdict:
    """A mutant, and who noticed it; nobody when it is empty."""

    mutant: Mutant
    killer: str


def judge_all(mutants: Iterable[Mutant], killers: Sequence[Killer], processes: int) -> Iterator[Verdict]:
    """Judge mutants in so many processes at once, in the order in which they are done."""
    running: dict[int, tuple[int, Mutant]] = {}
    for mutant in mutants:
        if len(running) == processes:
            yield _next(running)
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the child uses no thread of ours
            child = os.fork()
        if child == 0:
            os.close(reading)
            _judge(mutant, killers, writing)
        os.close(writing)
        running[reading] = (child, mutant)
    while running:
        yield _next(running)


def _next(running: dict[int, tuple[int, Mutant]]) -> Verdict:
    """Wait for one of them to end."""
    reading = select.select(list(running), [], [])[0][0]
    child, mutant = running.pop(reading)
    with os.fdopen(reading) as told:
        said = told.read()
    _, status = os.waitpid(child, 0)
    return Verdict(mutant, said if status == 0 else said or f"the process ended with {status}")


def _judge(mutant: Mutant, killers: Sequence[Killer], writing: int) -> NoReturn:
    """Say who notices, and end; no handler or hook of the parent's runs."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    at = "importing"

    def end(killer: str) -> NoReturn:
        os.write(writing, killer.encode())
        os._exit(0)

    def endless(_: int, __: FrameType | None) -> None:
        end(f"{at} (does not end)")

    signal.signal(signal.SIGPROF, endless)
    try:
        signal.setitimer(signal.ITIMER_PROF, ENDLESS_SECONDS)
        graft(mutant)
        for killer in killers:
            if not killer.may_notice(mutant):
                continue
            at = killer.name
            signal.setitimer(signal.ITIMER_PROF, ENDLESS_SECONDS + 10 * killer.seconds)
            if killer.fails():
                end(at)
    except BaseException as error:  # noqa: BLE001 - a mutant that breaks its judge is noticed
        end(f"{at} ({type(error).__name__})")
    os._exit(os.write(writing, b""))

"""Work in processes that are thrown away: what it leaves in memory is never looked for, which takes longer than it."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")
_LOADED_ONCE = ["tests.driven.tier", "tests.simulation.tally"]


def apart(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Call a function of a module with each part, in a new process each time and on all cores; results in order."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED_ONCE)
    with context.Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        yield from pool.imap(partial(_untidied, function), parts)


def _untidied(function: Callable[[Part], Result], part: Part) -> Result:
    gc.disable()
    return function(part)

"""An event loop in virtual time: one seed, one run, no I/O and no threads.

Time stands still while anything is ready, and then jumps to the next timer. Of several ready handles chance picks the
next. Every task belongs to a *host*, as a process belongs to a machine; so do all that it starts and all its timers. A
host can be killed, which is silence: nothing of it runs again, no ``finally`` either. It can be paused, and goes on
later as if nothing had been.

    loop = VirtualLoop(seed)
    with ambient(loop):                      # ``tests.virtual.ambient``: clocks and chance of the product's modules
        loop.spawn("daemon-1", worker.run())
        loop.after(3.0, lambda: loop.kill("daemon-1"))
        loop.run(story())                    # a coroutine of no host; raises what ``fail`` was told
    loop.abandon()                           # what is left is dropped; nothing of it does anything any more

An adapter of a fake world in which its host has just died waits for ever: ``await loop.never()``.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

HOST: ContextVar[str] = ContextVar("host", default="")
"""Whose code runs; nobody's is the test's own, which is never killed and never paused."""
MOST_STEPS_AT_ONE_MOMENT = 200_000
_MOST_CLOSES = 20


class Planned:
    """A callback to come: what asyncio calls a handle, without what is for finding faults."""

    __slots__ = ("_when", "args", "callback", "context", "dropped")

    def __init__(self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context) -> None:
        self._when = when
        self.callback = callback
        self.args = args
        self.context = context
        self.dropped = False

    def cancel(self) -> None:
        """It is passed over when its time comes."""
        self.dropped = True
        self.args = ()

    def cancelled(self) -> bool:
        """Whether it was."""
        return self.dropped

    def when(self) -> float:
        """The moment of its time."""
        return self._when


class Stuck(Exception):
    """Nothing is left to do and the run has not ended, or it goes on for ever without time passing."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop of several hosts.

    Args:
        seed: of all chance of the run.
        start: ``time()`` at the beginning.
        shuffled: of what is ready chance takes the next; else the first come is the first served, as in asyncio.

    Attributes:
        steps: handles that were run.
        skew: by how many seconds the wall clock of a host is wrong.
        chance: what the product's own chance is drawn from.
        complaints: what the loop was told by tasks that nobody asked for their exceptions.
        nobody: the context of no host.
    """

    def __init__(self, seed: int | str, *, start: float = 1_000.0, shuffled: bool = True) -> None:
        super().__init__()
        self._now = start
        self._order = random.Random(f"{seed}/order")
        self._shuffled = shuffled
        self.chance = random.Random(f"{seed}/ambient")
        self.steps = 0
        self.skew: dict[str, float] = {}
        self.complaints: list[dict[str, Any]] = []
        self._waiting: list[Planned] = []
        self._timers: list[tuple[float, int, Planned]] = []
        self._timer_number = 0
        self._still = 0
        self._dead: set[str] = set()
        self._parked: dict[str, list[Planned]] = {}
        self._strikes: dict[str, tuple[int, Callable[[], None]]] = {}
        self._buried: list[Planned] = []
        self._tasks: list[tuple[asyncio.Task[Any], Context]] = []
        self._sweep_tasks_at = 256
        self._failure: BaseException | None = None
        self._abandoned = False
        self.nobody = _of("")
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    # Hosts

    def spawn(self, host: str, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task of a host, which may have been killed before: it is a new process there."""
        self._dead.discard(host)
        return self.create_task(coroutine, context=_of(host))

    def kill(self, host: str) -> None:
        """Nothing of the host's tasks runs again. A later ``spawn`` must use another name, or the old ones wake up."""
        self._dead.add(host)
        self._buried += self._parked.pop(host, [])
        self._strikes.pop(host, None)

    def pause(self, host: str, seconds: float) -> None:
        """The host stands still for so long, and its timers with it."""
        if host in self._dead or host in self._parked:
            return
        self._parked[host] = []
        self.after(seconds, lambda: self._resume(host))

    def _resume(self, host: str) -> None:
        self._waiting += self._parked.pop(host, [])

    def lives(self, host: str) -> bool:
        """Whether it was not killed; it may be paused."""
        return host not in self._dead

    def is_paused(self, host: str) -> bool:
        """Whether it stands still."""
        return host in self._parked

    def at_step(self, host: str, steps: int, act: Callable[[], None]) -> None:
        """Act before the host's so-many-th step from now; one at a time for each host."""
        self._strikes[host] = (steps, act)

    def after(self, seconds: float, act: Callable[[], object]) -> Planned:
        """Act later, on behalf of no host."""
        return self.call_at(self._now + seconds, act, context=self.nobody)

    def never(self) -> asyncio.Future[Any]:
        """What a task awaits whose host is dead."""
        return self.create_future()

    # Runs

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        """Run until the story ends.

        Raises:
            Stuck: it never would.
        """
        task = self.spawn("", story)
        task.add_done_callback(lambda _: self.stop())
        self.run_forever()
        if self._failure is not None:
            raise self._failure
        return task.result()

    def fail(self, error: BaseException) -> None:
        """End the run with an error, whoever would swallow it."""
        self._failure = self._failure or error
        self.stop()

    def abandon(self) -> None:
        """Drop all that is left; what is closed on the way can start nothing."""
        self._abandoned = True
        # What a ``finally`` starts must not land in a loop of asyncio's own, which would keep this whole run alive.
        asyncio.set_event_loop(self)
        for task, context in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                context.run(_close, task.get_coro())
        for left in (self._tasks, self._waiting, self._timers, self._buried, self._parked):
            left.clear()
        self.close()
        asyncio.set_event_loop(None)

    # What asyncio asks of a loop

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Planned:
        """Have a callback run at this moment."""
        planned = Planned(self._now, callback, args, copy_context() if context is None else context)
        if not self._abandoned:
            self._waiting.append(planned)
        return planned

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Planned:
        """Have a callback run later."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Planned:
        """Have a callback run at a moment."""
        planned = Planned(when, callback, args, copy_context() if context is None else context)
        if not self._abandoned:
            self._timer_number += 1
            heapq.heappush(self._timers, (when, self._timer_number, planned))
        return planned

    def create_task(  # type: ignore[override]
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """A task, kept until it is done: what is dropped while it waits would run its ``finally``."""
        context = copy_context() if context is None else context
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        if self._abandoned:
            _close(coro)
            return task
        self._tasks.append((task, context))
        if len(self._tasks) > self._sweep_tasks_at:
            self._tasks = [each for each in self._tasks if not each[0].done()]
            self._sweep_tasks_at = 2 * len(self._tasks) + 256
        return task

    def run_in_executor(  # type: ignore[override]
        self, _executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """At once, in place of a thread."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            future.set_exception(error)
        return future

    def _run_once(self) -> None:
        while not self._stopping:  # type: ignore[attr-defined]
            waiting = self._waiting
            if not waiting:
                self._jump()
                continue
            planned = waiting.pop() if len(waiting) == 1 else self._next(waiting)
            if planned.dropped or ((self._dead or self._parked or self._strikes) and not self._may_run(planned)):
                continue
            self.steps += 1
            self._still += 1
            if self._still > MOST_STEPS_AT_ONE_MOMENT:
                raise Stuck(f"{self._still} steps without time passing; the next would be {planned.callback!r}")
            try:
                planned.context.run(planned.callback, *planned.args)
            except Exception as error:  # noqa: BLE001 - as a loop does
                self.call_exception_handler({"message": f"in {planned.callback!r}", "exception": error})

    def _next(self, waiting: list[Planned]) -> Planned:
        if not self._shuffled:
            return waiting.pop(0)
        at = int(self._order.random() * len(waiting))
        waiting[at], waiting[-1] = waiting[-1], waiting[at]
        return waiting.pop()

    def _may_run(self, planned: Planned) -> bool:
        host = planned.context.get(HOST, "")
        if host in self._dead:
            self._buried.append(planned)
            return False
        parked = self._parked.get(host)
        if parked is not None:
            parked.append(planned)
            return False
        strike = self._strikes.get(host)
        if strike is None:
            return True
        left, act = strike
        if left > 0:
            self._strikes[host] = (left - 1, act)
            return True
        del self._strikes[host]
        self._waiting.append(planned)
        act()
        return False

    def _jump(self) -> None:
        """To the next moment at which there is something to do."""
        timers = self._timers
        while timers and timers[0][2].dropped:
            heapq.heappop(timers)
        if not timers:
            raise Stuck("nothing is left to do")
        self._now = max(self._now, timers[0][0])
        self._still = 0
        while timers and timers[0][0] <= self._now:
            self._waiting.append(heapq.heappop(timers)[2])


def _of(host: str) -> Context:
    context = copy_context()
    context.run(HOST.set, host)
    return context


def _close(coroutine: Any) -> None:
    """End a coroutine that is not to run, the innermost that it waits for first, so that none is left to be collected.

    One that waits again in its ``finally`` is closed again.
    """
    chain = [coroutine]
    while hasattr(inner := getattr(chain[-1], "cr_await", None), "close"):
        chain.append(inner)
    for each in reversed(chain):
        for _ in range(_MOST_CLOSES):
            with suppress(BaseException):
                each.close()
                break

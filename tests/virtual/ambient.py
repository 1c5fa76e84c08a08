"""The clocks and the chance that the product finds in the standard library, as those of a virtual loop.

``with ambient(loop):`` gives every loaded module of ``reconciler`` (and of other packages that are named) stand-ins for
``time``, ``random``, ``secrets``, ``uuid`` and ``datetime.now``, and puts them into defaults of functions too.
Monotonic clocks agree on all hosts; wall clocks are as wrong as ``loop.skew`` says.
"""

from __future__ import annotations

import random
import secrets
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, cast

from tests.virtual.loop import HOST, VirtualLoop

WALL_START = 1_800_000_000.0
"""The wall clock at the beginning of a run, where it is right."""


class Ambient:
    """Stand-ins that follow one loop at a time; put in place once, and turned to one loop after the other.

    Attributes:
        loop: whose time and chance it is now.
    """

    def __init__(self, packages: tuple[str, ...] = ("reconciler",)) -> None:
        self.loop: VirtualLoop | None = None
        self._began = 0.0
        self._put: list[tuple[dict[str, Any], str, Any]] = []
        self._packages = packages

    def follow(self, loop: VirtualLoop) -> None:
        """Go by this loop from now on."""
        self.loop, self._began = loop, loop.time()

    def put(self) -> None:
        """Put the stand-ins in place of the originals."""
        names = self._stand_ins()
        for name, module in list(sys.modules.items()):
            if name.split(".", 1)[0] in self._packages:
                self._put_into(module, names)

    def take_away(self) -> None:
        """Bring the originals back."""
        for place, name, original in reversed(self._put):
            place[name] = original
        self._put.clear()

    def wall(self) -> float:
        """What the clock on the wall of the present host shows."""
        loop = self._follows()
        return WALL_START + loop.time() - self._began + loop.skew.get(HOST.get(), 0.0)

    def monotonic(self) -> float:
        """The loop's time."""
        return self._follows().time()

    def _follows(self) -> VirtualLoop:
        if self.loop is None:
            raise RuntimeError("no virtual loop is followed")
        return self.loop

    def _stand_ins(self) -> dict[int, Any]:
        """By the identity of what each stands in for."""

        def chance() -> random.Random:
            return self._follows().chance

        class Now(datetime):
            """``datetime`` with another ``now``; no instance is ever made of it."""

            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=outer.wall())
                return moment.astimezone(tz) if tz is not None else moment.replace(tzinfo=None)

        outer = self
        times = SimpleNamespace(
            **{**vars(time), "monotonic": self.monotonic, "perf_counter": self.monotonic, "time": self.wall}
        )
        tokens = {
            "token_bytes": lambda number=32: chance().randbytes(number),
            "token_hex": lambda number=32: chance().randbytes(number).hex(),
            "randbelow": lambda below: chance().randrange(below),
        }
        ids = {**vars(uuid), "uuid4": lambda: uuid.UUID(int=chance().getrandbits(128), version=4)}
        draws = {**vars(random), "random": lambda: chance().random(), "uniform": lambda a, b: chance().uniform(a, b)}
        return {
            id(time): times,
            id(time.monotonic): self.monotonic,
            id(random): SimpleNamespace(**draws),
            id(secrets): SimpleNamespace(**{**vars(secrets), **tokens}),
            id(uuid): SimpleNamespace(**ids),
            id(datetime): Now,
        }

    def _put_into(self, module: ModuleType, names: dict[int, Any]) -> None:
        for name, value in list(vars(module).items()):
            if id(value) in names and (value is not datetime or _asks_for_now(module)):
                self._replace(vars(module), name, names[id(value)])
            elif getattr(value, "__module__", None) == module.__name__:
                functions = vars(value).values() if isinstance(value, type) else (value,)
                for function in functions:
                    defaults = getattr(function, "__kwdefaults__", None) if isinstance(function, FunctionType) else None
                    for argument, default in list((defaults or {}).items()):
                        if id(default) in names:
                            self._replace(cast("dict[str, Any]", defaults), argument, names[id(default)])

    def _replace(self, place: dict[str, Any], name: str, value: Any) -> None:
        self._put.append((place, name, place[name]))
        place[name] = value


def _asks_for_now(module: ModuleType) -> bool:
    """``datetime`` is a type for most; only where its clock is read does it get a stand-in."""
    return module.__name__ in {"reconciler.runtime.daemon", "reconciler.neon.transport", "reconciler.neon.read_only"}


@contextmanager
def ambient(loop: VirtualLoop, packages: tuple[str, ...] = ("reconciler",)) -> Iterator[Ambient]:
    """The clocks and chance of one loop, for one run; for many runs keep one ``Ambient`` in place."""
    placed = Ambient(packages)
    placed.put()
    placed.follow(loop)
    try:
        yield placed
    finally:
        placed.take_away()

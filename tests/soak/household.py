"""The product's processes: each is started again as soon as it has ended, however it ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# As long as a supervisor waits after SIGTERM, and a little for a machine that is busy.
TERM_SECONDS = 12.0
# Who is told to stop before it listens to signals just dies.
_YOUNG_SECONDS = 4.0


@dataclass
class Slot:
    """A place in the household, and who is in it.

    Attributes:
        name: of the process, for logs.
        arguments: what it is started with.
        environment: all of its environment.
        pid: who is there now; None for a moment between two.
        began: when, in monotonic seconds.
        told: the signals that it was sent and that end a process.
        asleep: whether it is paused.
    """

    name: str
    arguments: list[str]
    environment: dict[str, str]
    pid: int | None = None
    began: float = 0.0
    told: set[signal.Signals] = field(default_factory=set)
    asleep: bool = False
    up: asyncio.Event = field(default_factory=asyncio.Event)


class Household:
    """All processes, forked from one zygote.

    Args:
        folder: where their logs are.

    Attributes:
        slots: by name.
        counts: what was done to them.
        wrong: what none of them should have done.
    """

    def __init__(self, folder: Path) -> None:
        self.slots: dict[str, Slot] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._folder = folder
        self._zygote: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._warm = asyncio.Event()
        self._closing = False

    async def open(self, environment: dict[str, str]) -> None:
        """Warm the zygote up."""
        self._zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.soak.zygote",
            cwd=self._folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._listening = asyncio.create_task(self._listen(self._zygote))
        await asyncio.wait_for(self._warm.wait(), 60)

    def start(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        """Have a process run from now on."""
        self.slots[name] = Slot(name, arguments, environment)
        self._begin(self.slots[name])

    async def kill(self, name: str) -> None:
        """kill -9."""
        slot = await self._there(name)
        self._send(slot, signal.SIGKILL)

    async def stop(self, name: str, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while if it is still the same."""
        slot = await self._there(name)
        pid = slot.pid
        self._send(slot, signal.SIGSTOP)
        slot.asleep = True
        self.counts["stops"] += 1
        await asyncio.sleep(seconds)
        if slot.pid == pid:
            slot.asleep = False
            self._send(slot, signal.SIGCONT)

    async def term(self, name: str) -> None:
        """SIGTERM; whoever does not end in time is killed, and that is wrong."""
        while not await _tick(self.slots[name]):
            pass
        slot = await self._there(name)
        pid = slot.pid
        self._send(slot, signal.SIGTERM)
        self.counts["sigterms"] += 1
        awake = 0.0
        while slot.pid == pid and awake < TERM_SECONDS:
            awake += await _tick(slot)
        if slot.pid == pid:
            self.wrong.append(f"{name} did not end within {TERM_SECONDS:g} s of SIGTERM")
            self._send(slot, signal.SIGKILL)

    def wake_all(self) -> None:
        """Nobody is paused any more."""
        for slot in self.slots.values():
            slot.asleep = False
            self._send(slot, signal.SIGCONT)

    async def close(self) -> None:
        """End them all at once."""
        self._closing = True
        zygote, listening = self._zygote, self._listening
        if zygote is None or listening is None:
            return
        self.wake_all()
        if zygote.stdin is not None:
            zygote.stdin.close()
        await zygote.wait()
        await listening

    def _begin(self, slot: Slot) -> None:
        order = {
            "name": slot.name,
            "arguments": slot.arguments,
            "environment": slot.environment,
            "log": str(self.log_of(slot.name)),
        }
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(order).encode() + b"\n")

    def log_of(self, name: str) -> Path:
        """Where a process and all its successors log."""
        return self._folder / f"{name}.log"

    async def _there(self, name: str) -> Slot:
        """A process that is there, and not as good as dead."""
        slot = self.slots[name]
        await slot.up.wait()
        while signal.SIGKILL in slot.told and not self._closing:
            await asyncio.sleep(0.02)
            await slot.up.wait()
        return slot

    def _send(self, slot: Slot, number: signal.Signals) -> None:
        if slot.pid is None:
            return
        if number in (signal.SIGKILL, signal.SIGTERM):
            slot.told.add(number)
        with suppress(ProcessLookupError):
            os.kill(slot.pid, number)

    async def _listen(self, zygote: asyncio.subprocess.Process) -> None:
        assert zygote.stdout is not None
        async for line in zygote.stdout:
            said: dict[str, Any] = json.loads(line)
            if "warm" in said:
                self._warm.set()
            elif "began" in said:
                slot = self.slots[said["name"]]
                slot.pid, slot.began, slot.asleep = said["began"], time.monotonic(), False
                slot.told.clear()
                slot.up.set()
                self.counts["starts"] += 1
            else:
                self._ended(said["ended"], said["code"])
        if not self._closing:
            self.wrong.append("the zygote ended, and all processes with it")
            for slot in self.slots.values():
                slot.told.clear()
                slot.up.set()

    def _ended(self, pid: int, code: int) -> None:
        slot = next(slot for slot in self.slots.values() if slot.pid == pid)
        slot.pid = None
        slot.up.clear()
        if self._closing:
            return
        if not _is_right(slot, code):
            self.wrong.append(f"{slot.name} ended with {code} after {sorted(slot.told)}; see its log")
        self.counts["kills"] += code == -signal.SIGKILL
        self.counts["broken_off"] += code == 1
        self._begin(slot)


async def _tick(slot: Slot) -> float:
    """Wait a moment; how much of it a process had that may be paused."""
    await asyncio.sleep(0.1)
    return 0.0 if slot.asleep else 0.1


def _is_right(slot: Slot, code: int) -> bool:
    """Whether an end is what it was told: 1 is that of who was told to stop while the catalog hung."""
    if signal.SIGKILL in slot.told and code == -signal.SIGKILL:
        return True
    young = time.monotonic() - slot.began < _YOUNG_SECONDS
    return signal.SIGTERM in slot.told and (code in (0, 1) or (young and code == -signal.SIGTERM))

"""What becomes of requests on their way to Neon, and of its answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Container
from typing import Protocol

import httpx

from reconciler.local.protocol import Request

USUAL_SECONDS = (0.04, 0.12)
CONNECT_SECONDS = 10.0
TURN_SECONDS = 20 * 60.0


class Weather(Protocol):
    """Meets every request."""

    async def meet(self, request: Request, now: float, chance: random.Random) -> httpx.Response | None:
        """Let it through (None), answer in Neon's place, or raise a transport's error."""


class Fair:
    """Every request arrives, and is answered after a moment.

    Args:
        times: how many times slower than usual Neon is.
    """

    def __init__(self, times: float = 1.0) -> None:
        self._times = times

    async def meet(self, _request: Request, _now: float, chance: random.Random) -> httpx.Response | None:
        """Take some time."""
        await asyncio.sleep(self._times * chance.uniform(*USUAL_SECONDS))
        return None


class Down:
    """Nothing gets through: connections refused, none made, no answer, 503, each for a time, by turns.

    Args:
        turn_seconds: how long each of these lasts.
    """

    def __init__(self, turn_seconds: float = TURN_SECONDS) -> None:
        self._turn_seconds = turn_seconds

    async def meet(self, request: Request, now: float, _chance: random.Random) -> httpx.Response | None:
        """Fail as it is the turn."""
        match int(now // self._turn_seconds) % 4:
            case 0:
                await asyncio.sleep(0.002)
                raise httpx.ConnectError("refused")
            case 1:
                await asyncio.sleep(CONNECT_SECONDS)
                raise httpx.ConnectTimeout("no connection")
            case 2:
                await asyncio.sleep(3600.0)  # the client gives up long before
                raise httpx.ReadTimeout("no answer")
            case _:
                await asyncio.sleep(0.05)
                return httpx.Response(503, text=f"<html>no upstream for {request.path}</html>")


class Refusing:
    """A share of all answers is 429, and nothing was done.

    Args:
        share: of the requests.
        retry_after: seconds that the refusals name, or None.
    """

    def __init__(self, share: float, retry_after: int | None) -> None:
        self._share = share
        self._headers = {} if retry_after is None else {"Retry-After": str(retry_after)}

    async def meet(self, _request: Request, _now: float, chance: random.Random) -> httpx.Response | None:
        """Refuse by chance."""
        await asyncio.sleep(chance.uniform(*USUAL_SECONDS))
        if chance.random() < self._share:
            return httpx.Response(429, json={"code": "", "message": "too many requests"}, headers=self._headers)
        return None


class Poisoned:
    """Neon does not accept the creates of some apps, whatever happens.

    Args:
        names: the names of their projects.

    Attributes:
        refused: how many creates so far.
    """

    def __init__(self, names: Container[str]) -> None:
        self._names = names
        self.refused = 0

    async def meet(self, request: Request, _now: float, chance: random.Random) -> httpx.Response | None:
        """Refuse what is poisoned."""
        await asyncio.sleep(chance.uniform(*USUAL_SECONDS))
        if request.method == "POST" and project_name(request) in self._names:
            self.refused += 1
            return httpx.Response(422, json={"code": "", "message": "the settings are not accepted"})
        return None


def project_name(request: Request) -> str:
    """The name of the project that a request is to make; empty for others."""
    body = request.body if isinstance(request.body, dict) else {}
    described = body.get("project") if request.path == "/projects" else None
    return str(described.get("name", "")) if isinstance(described, dict) else ""

"""Every fault does what its name says, at Neon and at who asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.soak.faults import STATUSES, Cast, Dice, Fault
from tests.soak.ports import quiet_ports
from tests.soak.proxy import Proxy
from tests.soak.traffic import Traffic

_BODY = b'{"projects": [], "more": "' + b"x" * 200 + b'"}'
_NEVER = {Fault.RESET, Fault.SILENCE, Fault.ERROR, Fault.GATEWAY, Fault.UNAVAILABLE, Fault.LOCKED, Fault.RATE_LIMITED}


class _Loaded(Dice):
    """Dice that always fall the same way."""

    def __init__(self, fault: Fault | None) -> None:
        super().__init__(1, "test")
        self._fault = fault

    def cast(self, method: str, path: str) -> Cast:  # noqa: ARG002 - the same for all
        return Cast(self._fault, 0.05)


@asynccontextmanager
async def _proxied(fault: Fault | None) -> AsyncIterator[tuple[Proxy, Traffic, httpx.AsyncClient]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: close" in head
        writer.write(b"HTTP/1.1 201 Created\r\nconnection: close\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY)
        await writer.drain()
        writer.close()

    port, neon_port = quiet_ports(2)
    traffic = Traffic()
    proxy = Proxy("daemon-1", port, neon_port, _Loaded(fault), traffic)
    proxy.faulty = True
    neon = await asyncio.start_server(answer, "127.0.0.1", neon_port)
    async with neon, httpx.AsyncClient(trust_env=False, timeout=0.5, base_url=proxy.url) as client:
        await proxy.open()
        try:
            yield proxy, traffic, client
        finally:
            proxy.close()
            await asyncio.sleep(0)


async def _ask(fault: Fault | None) -> tuple[int | str, int]:
    """The status, or how it failed, and how often the request reached Neon."""
    async with _proxied(fault) as (proxy, traffic, client):
        try:
            answer = await client.post("/projects/p/recover", json={"a": 1})
        except httpx.HTTPError as error:
            seen: int | str = type(error).__name__
        else:
            seen = answer.status_code
            assert answer.status_code != 201 or answer.content == _BODY
        await proxy.settle()
        assert traffic.faults.total() == (fault is not None)
        assert traffic.total == traffic.answers == 1
        return seen, len(traffic.changes)


@pytest.mark.parametrize("fault", [None, *Fault])
def test_a_fault_is_what_its_name_says(fault: Fault | None) -> None:
    """Whether the request takes effect, and what is to be seen of it."""
    seen, arrived = asyncio.run(_ask(fault))
    assert arrived == (0 if fault in _NEVER else 2 if fault is Fault.TWICE else 1)
    match fault:
        case None | Fault.SLOW | Fault.TWICE:
            assert seen == 201
        case Fault.GARBAGE:
            assert seen == 200
        case Fault.RESET | Fault.RESET_AFTER | Fault.LATE:
            assert seen == "ReadError"
        case Fault.SILENCE | Fault.SILENCE_AFTER | Fault.TRICKLE | Fault.TRUNCATED:
            assert seen in {"ReadTimeout", "ReadError", "RemoteProtocolError"}
        case _:
            assert seen == STATUSES[fault]


def test_a_cut_refuses_and_breaks_off_until_it_is_over() -> None:
    """Nobody gets in meanwhile; afterwards the same address serves."""

    async def run() -> None:
        async with _proxied(None) as (proxy, _, client):
            assert (await client.get("/projects")).status_code == 201
            cutting = asyncio.create_task(proxy.cut(0.3))
            await asyncio.sleep(0.1)
            with pytest.raises(httpx.ConnectError):
                await client.get("/projects")
            await cutting
            assert (await client.get("/projects")).status_code == 201

    asyncio.run(run())


def test_who_lies_in_wait_acts_before_the_request_is_passed_on() -> None:
    """Reads go by when a change is waited for."""

    async def run() -> None:
        async with _proxied(None) as (proxy, traffic, client):
            heard = asyncio.create_task(proxy.hears(change=True, within=30))
            await asyncio.sleep(0)
            await client.get("/projects")
            assert not heard.done()
            await client.post("/projects", json={})
            await heard
            assert [each.method for each in traffic.changes] == ["POST"]

    asyncio.run(run())

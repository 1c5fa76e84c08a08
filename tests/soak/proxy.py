"""A proxy before local Neon, one for each daemon: faults at the transport, and a memory of what reached Neon."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass

from tests.soak.faults import STATUSES, Cast, Dice, Fault
from tests.soak.traffic import Arrival, Request, Traffic

_HOLD_SECONDS = 8.0
_DRIP_SECONDS = 0.2
_PREFIX = "/api/v2"
_ABRUPTLY = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class _Ambush:
    """Somebody waits for a request to come by, perhaps for one that changes something."""

    change: bool
    sprung: asyncio.Event


class Proxy:
    """One daemon's way to Neon.

    Args:
        who: the daemon.
        port: where it listens.
        neon_port: where local Neon listens.
        dice: what becomes of requests while ``faulty``.
        traffic: where what happens is kept.
    """

    def __init__(self, who: str, port: int, neon_port: int, dice: Dice, traffic: Traffic) -> None:
        self.url = f"http://127.0.0.1:{port}{_PREFIX}"
        self.faulty = False
        self._who = who
        self._port = port
        self._neon_port = neon_port
        self._dice = dice
        self._traffic = traffic
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._late: set[asyncio.Task[bytes]] = set()
        self._ambushes: list[_Ambush] = []
        self._cuts = 0

    async def open(self) -> None:
        """Listen."""
        if self._server is None:
            self._server = await asyncio.start_server(self._begin, "127.0.0.1", self._port)

    async def cut(self, seconds: float) -> None:
        """Refuse connections and break off those that there are, for a while; what is at Neon by then takes effect."""
        self._cuts += 1
        self.close()
        await asyncio.sleep(seconds)
        self._cuts -= 1
        if not self._cuts:
            await self.open()

    def close(self) -> None:
        """Listen no more, and break off every connection."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for writer in list(self._writers):
            _reset(writer)

    async def hears(self, *, change: bool, within: float) -> None:
        """Back when the next request, or the next that changes something, is there and not yet passed on; or later."""
        ambush = _Ambush(change, asyncio.Event())
        self._ambushes.append(ambush)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ambush.sprung.wait(), within)
        finally:
            self._ambushes.remove(ambush)

    async def settle(self) -> None:
        """Wait for everything that is still to arrive."""
        while self._late:
            await asyncio.wait(self._late)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection in a task that is held on to: one that was reset has nobody else who would."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                request = await self._read(reader)
                await self._spring(request)
                cast = Cast(None)
                if self.faulty:
                    cast = self._dice.cast(request.method, request.path)
                    self._traffic.answers += 1
                    if cast.fault is not None:
                        self._traffic.faults[cast.fault] += 1
                self._traffic.total += 1
                if not await self._treat(request, cast, reader, writer):
                    return
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # the other side is gone
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _spring(self, request: Request) -> None:
        """Let those who lie in wait act first."""
        for ambush in self._ambushes:
            if request.method != "GET" or not ambush.change:
                ambush.sprung.set()
        await asyncio.sleep(0)

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.rstrip(b"\r\n").split(b"\r\n")
        method, target, _ = first.decode("ascii").split(" ")
        length = next((int(line[15:]) for line in lines if line[:15].lower() == b"content-length:"), 0)
        body = await reader.readexactly(length)
        kept = [line for line in lines if line.split(b":")[0].lower() != b"connection"]
        raw = b"\r\n".join((first, *kept, b"Connection: close")) + b"\r\n\r\n" + body
        path = target.partition("?")[0].removeprefix(_PREFIX)
        return Request(self._who, time.time(), method, path, raw)

    async def _treat(
        self, request: Request, cast: Cast, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Let the request meet its fate; whether the connection may be used again."""
        fault = cast.fault
        match fault:
            case None | Fault.SLOW:
                if fault is not None:
                    await asyncio.sleep(cast.delay)
                return await _send(writer, await self._pass_on(request, cast))
            case Fault.TWICE:
                answer = await self._pass_on(request, cast)
                self._pass_on_later(request, cast)
                return await _send(writer, answer)
            case Fault.LATE:
                self._pass_on_later(request, cast)
                _reset(writer)
                return False
            case Fault.RESET | Fault.SILENCE:
                pass
            case Fault.ERROR | Fault.GATEWAY | Fault.UNAVAILABLE | Fault.LOCKED | Fault.RATE_LIMITED:
                return await _send(writer, _problem(STATUSES[fault]))
            case Fault.ERROR_AFTER | Fault.GATEWAY_AFTER:
                await self._pass_on(request, cast)
                return await _send(writer, _problem(STATUSES[fault]))
            case Fault.RESET_AFTER | Fault.SILENCE_AFTER:
                await self._pass_on(request, cast)
            case Fault.GARBAGE:
                await self._pass_on(request, cast)
                return await _send(writer, _whole(200, b"<html>Welcome</html>", b"text/html"))
            case Fault.TRUNCATED | Fault.TRICKLE:
                await self._spoil(writer, await self._pass_on(request, cast), drip=fault is Fault.TRICKLE)
        if fault in (Fault.SILENCE, Fault.SILENCE_AFTER):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), _HOLD_SECONDS)
        _reset(writer)
        return False

    async def _pass_on(self, request: Request, cast: Cast) -> bytes:
        """Deliver a request; the answer's bytes, fit for a connection that goes on."""
        at = time.time()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._neon_port)
        try:
            writer.write(request.raw)
            answer = await reader.read()
        finally:
            writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        if request.method != "GET":
            status = int(first.split(b" ")[1])
            told = (request.who, request.asked_at, at, request.method, request.path, status, str(cast.fault or ""))
            self._traffic.changes.append(Arrival(*told))
        kept = [line for line in lines if line.split(b":")[0].lower() != b"connection"]
        return b"\r\n".join((first, *kept)) + b"\r\n\r\n" + body

    def _pass_on_later(self, request: Request, cast: Cast) -> None:
        async def later() -> bytes:
            await asyncio.sleep(cast.delay)
            return await self._pass_on(request, cast)

        task = asyncio.create_task(later())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _spoil(self, writer: asyncio.StreamWriter, answer: bytes, *, drip: bool) -> None:
        """Send the half of an answer, or all of it so slowly that nobody waits for its end."""
        body_at = answer.find(b"\r\n\r\n") + 4
        middle = body_at + (len(answer) - body_at) // 2
        writer.write(answer[: body_at + 1 if drip else middle])
        await writer.drain()
        until = time.monotonic() + _HOLD_SECONDS
        while drip and not writer.is_closing() and body_at < middle and time.monotonic() < until:
            body_at += 1
            writer.write(answer[body_at : body_at + 1])
            await writer.drain()
            await asyncio.sleep(_DRIP_SECONDS)


async def _send(writer: asyncio.StreamWriter, answer: bytes) -> bool:
    writer.write(answer)
    await writer.drain()
    return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off, with a RST and not a FIN."""
    sock: socket.socket | None = writer.transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABRUPTLY)
    writer.transport.abort()


def _problem(status: int) -> bytes:
    """An error as Neon's front end gives it; a bad gateway knows no JSON."""
    if status == 502:
        return _whole(status, b"<html><h1>502 Bad Gateway</h1></html>", b"text/html")
    content = json.dumps({"request_id": "of-the-proxy", "code": "", "message": "something went wrong"}).encode()
    return _whole(status, content, b"application/json")


def _whole(status: int, content: bytes, media: bytes) -> bytes:
    head = b"HTTP/1.1 %d Said\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (status, media, len(content)) + content

"""The way to Neon and back, as the real client meets it: what is sent arrives though its sender is gone, or does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import httpx

from reconciler.core import effects as e
from reconciler.core.mark import APP_ID
from reconciler.local.neon.messages import Response
from reconciler.local.neon.quirks import Quirks
from specs.settings import SEND_MARGIN_SECONDS
from tests.driven.faults import STATUSES, WITHOUT_EFFECT, Fault
from tests.driven.world import SETTLE, World
from tests.simulation import invariants
from tests.simulation.faults import Kind
from tests.simulation.steps import Violation
from tests.virtual.loop import HOST

BASE = "https://neon.invalid/api/v2"
CONNECT_SECONDS = 10.0
_UNANSWERED = {Fault.SILENT_BEFORE, Fault.SILENT_AFTER, Fault.LATE, Fault.BEYOND}
_SCRIPTED = {
    Kind.LOST_BEFORE: Fault.SILENT_BEFORE,
    Kind.LOST_AFTER: Fault.SILENT_AFTER,
    Kind.LATE: Fault.LATE,
    Kind.BEYOND: Fault.BEYOND,
}
_CHANGES: Mapping[str, Any] = {"PATCH": e.UpdateProject, "DELETE": e.DeleteProject, "POST": e.CreateEndpoint}


@dataclass(frozen=True)
class Sent:
    """A request on its way."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any

    @property
    def mutates(self) -> bool:
        """Whether it may change anything at Neon."""
        return self.method != "GET"

    @property
    def route(self) -> str:
        """Method and path without ids."""
        parts = self.path.split("/")
        named = ["*" if at % 2 == 0 and at > 0 and parts[1] == "projects" else part for at, part in enumerate(parts)]
        return f"{self.method} {'/'.join(named)}"

    @property
    def project_id(self) -> str | None:
        """The project that it is about."""
        parts = self.path.split("/")
        return parts[2] if len(parts) > 2 and parts[1] == "projects" else None


@dataclass(frozen=True)
class Answer:
    """What comes back; ``cut`` when the connection breaks within the body."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


class Network:
    """Carries requests between processes and Neon."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._quirks = Quirks(world.seed)
        self._tokens = float(world.limits[1])
        self._filled_at = world.clock.now

    async def exchange(self, sent: Sent) -> Answer:
        """Send a request from the present host and wait for its answer.

        Raises:
            httpx.HTTPError: what a broken connection raises.
        """
        world = self._world
        host, chance = HOST.get(), world.chance
        world.requests[sent.route] += 1
        if host in world.ended:
            await world.violated(f"{host} has ended and sends {sent.route}")
        fault = self._fault(sent)
        world.say(f"{sent.method} {sent.path}{'' if fault is None else f' !{fault}'}")
        if fault is Fault.REFUSED:
            await asyncio.sleep(chance.uniform(0.001, 0.1))
            raise httpx.ConnectError("refused")
        if fault is Fault.NO_CONNECTION:
            await asyncio.sleep(CONNECT_SECONDS)
            raise httpx.ConnectTimeout("no connection")
        if sent.mutates:
            try:
                self._check_sending(sent)
            except Violation as broken:
                await world.violated(str(broken))
            world.mutations += 1
        answer: asyncio.Future[Answer] = world.loop.create_future()
        world.in_flight += 1
        world.loop.after(self._way(sent, fault), lambda: self._arrive(sent, fault, host, answer))
        return await answer

    def _fault(self, sent: Sent) -> Fault | None:
        world, swarm = self._world, self._world.swarm
        if (sent.method, sent.path) == ("POST", "/projects"):
            scripted = world.plan.first.pop(e.CreateProject, None)
            if scripted is not None:
                world.busy()
                return _SCRIPTED[scripted]
        if sent.path.endswith("/recover"):
            return world.meets(swarm.of_recoveries)
        if sent.mutates:
            return world.meets(swarm.of_changes)
        return world.meets(swarm.of_lists if sent.path == "/projects" else swarm.of_reads)

    def _way(self, sent: Sent, fault: Fault | None) -> float:
        """Seconds until it arrives."""
        world = self._world
        if fault is Fault.LATE:
            seconds = SETTLE - SEND_MARGIN_SECONDS - 0.1
        elif fault is Fault.BEYOND:
            seconds = SETTLE * world.chance.uniform(1.3, 8)
            app_id = self._app_of(sent)
            if app_id is not None:
                world.beyond.add(app_id)
        else:
            return world.chance.uniform(0.02, 0.3)
        world.busy(world.clock.now + seconds)
        return seconds

    def _app_of(self, sent: Sent) -> str | None:
        if sent.project_id is None:
            return str(sent.body["project"]["branch"]["annotations"][APP_ID])
        rows = self._world.table.rows.values()
        return next((row.app_id for row in rows if row.project_id == sent.project_id), None)

    def _check_sending(self, sent: Sent) -> None:
        """The rules of what may be sent, of the effect that a request stands for."""
        world = self._world
        if sent.project_id is None:
            branch = SimpleNamespace(annotations=sent.body["project"]["branch"]["annotations"])
            create: Any = e.CreateProject(SimpleNamespace(branch=branch))  # type: ignore[arg-type]
            invariants.check_sending(world, branch.annotations[APP_ID], create)
            return
        apps = [row.app_id for row in world.table.rows.values() if row.project_id == sent.project_id]
        whose = apps or [app_id for app_id, work in world.table.work.items() if sent.project_id in work.surplus_ids]
        if sent.method == "DELETE" and not whose:
            whose = [mark[APP_ID] for project, mark in world.neon.ours() if project.id == sent.project_id]
        if not whose:
            raise Violation(f"{sent.route} is sent for {sent.project_id}, which no row knows")
        for app_id in whose:
            invariants.check_sending(world, app_id, _effect(sent))

    # At Neon

    def _arrive(self, sent: Sent, fault: Fault | None, host: str, answer: asyncio.Future[Answer]) -> None:
        world = self._world
        world.in_flight -= 1
        if fault not in {Fault.LATE, Fault.BEYOND}:
            self._admit()
        told = self._carry_out(sent, fault)
        world.judge()
        if fault is Fault.CRASH_ON_ARRIVAL:
            world.crash(host)
        if fault in _UNANSWERED:
            return
        seconds = world.chance.uniform(0.02, 0.3)
        if fault is Fault.SLOW:
            seconds = world.chance.uniform(3.0, 25.0)
            world.busy(world.clock.now + seconds)
        world.loop.after(seconds, lambda: _deliver(answer, told))

    def _admit(self) -> None:
        """All processes together keep within what Neon allows."""
        world = self._world
        per_minute, burst = world.limits
        passed, self._filled_at = world.clock.now - self._filled_at, world.clock.now
        self._tokens = min(float(burst), self._tokens + passed * per_minute / 60) - 1.0
        if self._tokens < 0:
            world.violated("more requests are sent than Neon allows")

    def _carry_out(self, sent: Sent, fault: Fault | None) -> Answer | httpx.HTTPError:
        world, chance = self._world, self._world.chance
        for window, longest in ((Fault.S401, 120.0), (Fault.STALE, 60.0), (Fault.PARTIAL, 120.0)):
            if fault is window:
                until = world.clock.now + chance.uniform(5.0, longest)
                world.neon.until[_WINDOWS[window]] = until
                world.busy(until)
        response = Response(500) if fault in WITHOUT_EFFECT else self._answer(sent)
        if fault is Fault.TWICE:
            self._again(sent)
        if fault in {Fault.RESET_BEFORE, Fault.RESET_AFTER}:
            return httpx.ReadError("reset")
        if fault in STATUSES:
            return self._refusal(fault)
        return self._spoilt(response, fault)

    def _answer(self, sent: Sent) -> Response:
        world, neon = self._world, self._world.neon
        if world.clock.now < neon.until[Kind.UNAUTHORIZED]:
            return Response(401, {"message": "authentication failed", "code": ""})
        response = neon.send(sent.method, sent.path, sent.body, dict(sent.query))
        if sent.mutates:
            world.note("neon", f"{sent.method} {sent.path} {response.status}")
        body: Any = response.body
        if (sent.method, sent.path, response.status) == ("GET", "/projects", 200):
            query = sent.query
            body = neon._aged(
                body,
                query.get("search", ""),
                recoverable=query.get("recoverable") == "true",
                last="cursor" not in query,
            )
            body = neon._parted(body)
        return Response(response.status, body, response.headers)

    def _again(self, sent: Sent) -> None:
        """The network delivers a second time; of a create that is a copy, which somebody takes away in the end."""
        world = self._world
        seconds = world.chance.uniform(0.0, 20.0)
        world.busy(world.clock.now + seconds)
        world.in_flight += 1

        def arrive() -> None:
            world.in_flight -= 1
            before = {project.id for project in world.neon.projects()}
            self._answer(sent)
            made = {project.id for project in world.neon.projects()} - before
            if made:
                world.copied(str(self._app_of(sent)), made)
            world.judge()

        world.loop.after(seconds, arrive)

    # The answer

    def _refusal(self, fault: Fault) -> Answer:
        world, chance = self._world, self._world.chance
        status, headers = STATUSES[fault], {"Content-Type": "text/html"}
        if fault is Fault.S429_SECONDS:
            headers["Retry-After"] = str(chance.choice((0, 1, 3, 20, 120)))
            world.busy(world.clock.now + float(headers["Retry-After"]))
        elif fault is Fault.S429_DATE:
            then = world.clock.now + chance.choice((-5.0, 2.0, 20.0))
            moment = world.clock.date.fromtimestamp(then, world.clock.date.tzinfo)
            headers["Retry-After"] = format_datetime(moment, usegmt=True)
            world.busy(world.clock.now + 20.0 + max((abs(each) for each in world.loop.skew.values()), default=0.0))
        elif fault is Fault.S503:
            headers["Retry-After"] = "3"
        if chance.random() < 0.5:
            return Answer(status, b"<html>a gateway</html>", headers)
        return Answer(status, b'{"message": "not now", "code": ""}', headers)

    def _spoilt(self, response: Response, fault: Fault | None) -> Answer:
        body: Any = response.body
        if fault is Fault.NEW_WORDS:
            body = self._quirks.changed(body)
        elif fault is Fault.FIELD_MISSING:
            body = self._without_a_field(body)
        text = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **response.headers}
        if fault is Fault.HTML:
            return Answer(200, b"<html>", headers)
        if fault is Fault.TRUNCATED:
            return Answer(response.status, text[: len(text) // 2], headers)
        return Answer(response.status, text, headers, cut=fault is Fault.CUT)

    def _without_a_field(self, body: Any) -> Any:
        """A project's, a branch's or a compute's object lacks one of its fields."""
        chance = self._world.chance
        if not isinstance(body, dict):
            return body
        inside = sorted(name for name, value in body.items() if isinstance(value, dict) and value)
        if not inside or "pagination" in body:
            return body
        name = chance.choice(inside)
        lacking = chance.choice(sorted(body[name]))
        return body | {name: {key: value for key, value in body[name].items() if key != lacking}}


_WINDOWS = {Fault.S401: Kind.UNAUTHORIZED, Fault.STALE: Kind.STALE, Fault.PARTIAL: Kind.PARTIAL}


def _effect(sent: Sent) -> Any:
    if sent.method == "DELETE":
        return e.DeleteProject(sent.project_id or "")
    return SimpleNamespace(project_id=sent.project_id)


def _deliver(answer: asyncio.Future[Answer], told: Answer | httpx.HTTPError) -> None:
    if answer.done():
        return
    if isinstance(told, Answer):
        answer.set_result(told)
    else:
        answer.set_exception(told)


class Wire:
    """In place of ``httpx.AsyncClient`` behind the real transport: the same calls without its making of bytes."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def stream(self, method: str, url: str, *, params: Any, headers: Mapping[str, str], content: Any) -> _Streaming:
        """A request whose answer is read piece by piece."""
        del headers
        query = {name: str(value) for name, value in params or ()}
        body = None if content is None else json.loads(content)
        return _Streaming(self._network, Sent(method, unquote(url.removeprefix(BASE)), query, body))

    async def aclose(self) -> None:
        """Nothing is open."""


class _Streaming:
    def __init__(self, network: Network, sent: Sent) -> None:
        self._network = network
        self._sent = sent

    async def __aenter__(self) -> _Streaming:
        self._answer = await self._network.exchange(self._sent)
        self.status_code = self._answer.status
        self.headers = httpx.Headers(dict(self._answer.headers))
        return self

    async def __aexit__(self, *_error: object) -> None:
        return

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The body."""
        body = self._answer.body
        if self._answer.cut:
            yield body[: len(body) // 2]
            raise httpx.RemoteProtocolError("cut")
        yield body


class Transport(httpx.AsyncBaseTransport):
    """The same for runs that go through ``httpx.AsyncClient``."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request and its answer."""
        path = str(request.url.copy_with(query=None)).removeprefix(BASE)
        body = json.loads(request.content) if request.content else None
        sent = Sent(request.method, unquote(path), dict(request.url.params), body)
        answer = await self._network.exchange(sent)
        return httpx.Response(answer.status, headers=dict(answer.headers), stream=_Body(answer))


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = self._answer.body
        if self._answer.cut:
            yield body[: len(body) // 2]
            raise httpx.RemoteProtocolError("cut")
        yield body

"""The way to Neon and back, as the real client meets it: what is sent may arrive though its sender is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any

import httpx

from reconciler.core import effects as e
from reconciler.core.ownership import APP_ID
from reconciler.local.protocol import Response
from reconciler.local.undocumented_fields import UndocumentedFields
from specs.settings import SEND_MARGIN_SECONDS
from tests.driven.faults import BEFALLS, STATUSES, WITHOUT_EFFECT, Fault
from tests.driven.rules import Rules, Sent
from tests.driven.world import SETTLE, World
from tests.simulation import people
from tests.simulation.faults import Kind
from tests.simulation.steps import Violation
from tests.virtual.loop import HOST

BASE = "https://neon.invalid/api/v2"
CONNECT_SECONDS = 10.0
_HELD_UP = {Fault.LATE, Fault.BEYOND}
_UNANSWERED = {Fault.SILENT_BEFORE, Fault.SILENT_AFTER, Fault.LATE, Fault.BEYOND}
_SCRIPTED = {
    Kind.LOST_BEFORE: Fault.SILENT_BEFORE,
    Kind.LOST_AFTER: Fault.SILENT_AFTER,
    Kind.LATE: Fault.LATE,
    Kind.BEYOND: Fault.BEYOND,
    Kind.UNAVAILABLE: Fault.S503,
}
_SCRIPTED_AT: Mapping[str, type] = {"POST /projects": e.CreateProject, "POST /projects/*/recover": e.RecoverProject}


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
        self._quirks = UndocumentedFields(world.seed)
        self._rules = Rules(world)

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
        try:
            self._rules.sends(host, sent)
        except Violation as broken:
            await world.violated(str(broken))
        if fault is Fault.REFUSED:
            await asyncio.sleep(chance.uniform(0.001, 0.1))
            raise httpx.ConnectError("refused")
        if fault is Fault.NO_CONNECTION:
            await asyncio.sleep(CONNECT_SECONDS)
            raise httpx.ConnectTimeout("no connection")
        world.mutations += sent.mutates
        answer: asyncio.Future[Answer] = world.loop.create_future()
        world.in_flight += 1
        world.loop.after(self._way(sent, fault), lambda: self._arrive(sent, fault, host, answer))
        return await answer

    def _fault(self, sent: Sent) -> Fault | None:
        world, swarm = self._world, self._world.swarm
        scripted = world.plan.first.pop(_SCRIPTED_AT[sent.route], None) if sent.route in _SCRIPTED_AT else None
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

    # At Neon

    def _arrive(self, sent: Sent, fault: Fault | None, host: str, answer: asyncio.Future[Answer]) -> None:
        world = self._world
        world.in_flight -= 1
        if fault not in _HELD_UP:
            self._rules.arrives()
        told = self._carry_out(sent, fault)
        world.judge()
        if fault in BEFALLS:
            world.befall(BEFALLS[fault], host)
        if fault in _UNANSWERED:
            return
        seconds = world.chance.uniform(0.02, 0.3)
        if fault is Fault.SLOW:
            seconds = world.chance.uniform(3.0, 25.0)
            world.busy(world.clock.now + seconds)
        world.loop.after(seconds, lambda: self._deliver(host, answer, told))

    def _deliver(self, host: str, answer: asyncio.Future[Answer], told: Answer | httpx.HTTPError) -> None:
        if answer.done():
            return
        if isinstance(told, httpx.HTTPError):
            answer.set_exception(told)
            return
        answer.set_result(told)
        asked = told.headers.get("Retry-After", "")
        if told.status == 429 and asked.isdigit():
            self._rules.refused(host, float(asked))

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
        """The network delivers a second time; what a create makes then cannot be told from a copy."""
        world = self._world
        seconds = world.chance.uniform(0.0, 20.0)
        world.busy(world.clock.now + seconds)
        world.in_flight += 1

        def arrive() -> None:
            world.in_flight -= 1
            response = self._answer(sent)
            if sent.project_id is None and response.status == HTTPStatus.CREATED:
                app_id = str(self._app_of(sent))
                world.duplicated.add(app_id)
                people.settle_copies(world, app_id)
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
            body = self._quirks.apply(body)
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

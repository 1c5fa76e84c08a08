"""The shapes of overload: what happens, for how long, and what must be true meanwhile."""

from __future__ import annotations

import asyncio

from specs.status import AppStatus, ConditionType, Reason, find_condition
from tests.overload.neon import MINUTE
from tests.overload.run import Broken, Run, Story
from tests.overload.weather import Down, Fair, Poisoned, Refusing

# What a pass over an app costs Neon, in requests.
FOR_CREATE, FOR_DELETE = 3, 3
# The same where the answer to a create was lost: it is looked for twice, and the key is asked about each time.
FOR_UNKNOWN = 11
OWNERS = 20
DOWN_PER_MINUTE = 60.0
"""The most requests a minute that three daemons may send to a Neon that does not answer."""
A_PLACE_SECONDS = 0.5
"""What a pass may wait for a place in a worker whose places are all taken: half of the life of a slice."""
# What the API allows one owner by default.
MOST_APPS, REQUESTS_PER_MINUTE = 100, 600


def _ask(run: Run, creates: int, deletes: int = 0) -> None:
    for number in range(creates):
        run.people.ask(f"owner-{number % OWNERS}", "new")
    for app_id in run.old[:deletes]:
        run.people.delete(app_id)
    run.old = run.old[deletes:]


def _needed(run: Run) -> float:
    """The requests that what is left needs."""
    total = 0
    for app_id in run.left():
        total += FOR_DELETE if run.people.wanted[app_id] == AppStatus.DELETED else FOR_CREATE
        total += FOR_UNKNOWN * any(intent.state == "open" for intent in run.fleet.catalog.intents[app_id])
    return total


def outage(seconds: float, early: tuple[int, int], late: tuple[int, int]) -> Story:
    """Neon is down, in all the ways there are; few requests find that out, and afterwards everything is done.

    Args:
        seconds: how long.
        early: how many creates and deletes are asked for when it begins.
        late: how many are asked for in its last ten minutes.
    """

    async def story(run: Run) -> None:
        _ask(run, *early)
        run.fleet.neon.weather = Down(min(1200.0, seconds / 6))
        await run.sleep(2 * MINUTE)
        began, sent = run.now, run.sent
        await run.sleep(max(0.0, seconds - 12 * MINUTE))
        _ask(run, *late)
        await run.sleep(min(10 * MINUTE, seconds - 2 * MINUTE))
        mean = (run.sent - sent) / ((run.now - began) / MINUTE)
        run.note("down_per_minute", mean)
        run.note("down_peak", run.peak(began))
        for app_id in run.left():
            _says(run, app_id, Reason.NEON_UNAVAILABLE, "")
        run.fleet.neon.weather = Fair()
        if max(mean, run.peak(began) / 2) > DOWN_PER_MINUTE:
            raise Broken(f"{mean:.0f} requests a minute to a Neon that is down, {run.peak(began)} at most")
        await run.drain(_needed(run))

    return story


def refusals(seconds: float, retry_after: int | None, creates: int) -> Story:
    """Half of all answers are 429 while people ask: work goes on meanwhile, and what is left is done soon."""

    async def story(run: Run) -> None:
        run.fleet.neon.weather = Refusing(0.5, retry_after)
        began = run.now
        for _ in range(creates):
            _ask(run, 1)
            await run.sleep(seconds / creates)
        run.note("refused_peak", run.peak(began))
        run.note("left", len(run.left()))
        if len(run.left()) > creates / 2:
            raise Broken(f"{len(run.left())} of {creates} apps still wait")
        run.fleet.neon.weather = Fair()
        await run.drain(_needed(run))

    return story


def catalog_away(seconds: float, creates: int) -> Story:
    """The catalog answers nobody: nothing is sent without it, and all goes on when it is back."""

    async def story(run: Run) -> None:
        _ask(run, creates)
        await run.sleep(3.0)
        run.fleet.shared.away = True
        await run.sleep(30.0)
        sent = run.sent
        await run.sleep(seconds - 30.0)
        if run.sent > sent:
            raise Broken(f"{run.sent - sent} requests were sent without the catalog")
        run.fleet.shared.away = False
        await run.drain(_needed(run))

    return story


def slow(times: float, seconds: float, creates: int) -> Story:
    """Neon takes so many times longer while people ask; afterwards it is as fast as before."""

    async def story(run: Run) -> None:
        usual = await _spread(run, creates, seconds)
        run.fleet.neon.weather = Fair(times)
        await _spread(run, creates, seconds)
        run.fleet.neon.weather = Fair()
        await run.drain(_needed(run))
        again = await _spread(run, creates, seconds)
        run.note("usual_p99", p99(run, usual))
        run.note("again_p99", p99(run, again))
        if p99(run, again) > 1.2 * p99(run, usual):
            raise Broken(f"ready after {p99(run, again):.1f} s, {p99(run, usual):.1f} before")

    return story


def restart(creates: int, deletes: int, *, crash: bool) -> Story:
    """All daemons stop in the middle of much work, and others start at once."""

    async def story(run: Run) -> None:
        _ask(run, creates, deletes)
        await run.sleep(5.0)
        if crash:
            run.fleet.crash()
        else:
            await run.fleet.stop()
        run.fleet.start(3)
        await run.drain(_needed(run), bound=240.0 if crash else 180.0)

    return story


def poison(share: float, creates: int, seconds: float) -> Story:
    """Neon never accepts some of the apps: they say why, cost little, and the others do not feel it."""

    async def story(run: Run) -> None:
        usual = await _spread(run, creates, creates * 0.5)
        await run.drain(0)
        poisoned: set[str] = set()
        run.fleet.neon.weather = weather = Poisoned(poisoned)
        bad: list[str] = []
        for _ in range(int(creates * share / (1 - share))):
            app_id = run.people.ask(f"owner-{run.chance.randrange(OWNERS)}", "bad")
            run.people.wanted[app_id] = AppStatus.FAILED
            poisoned.add(run.fleet.catalog.rows[app_id].project_name)
            bad.append(app_id)
        await run.sleep(2 * MINUTE)
        good = await _spread(run, creates, creates * 0.5)
        await run.sleep(seconds - creates * 0.5)
        refused = weather.refused
        await run.sleep(seconds)
        sent = weather.refused - refused
        run.note("per_bad_and_minute", sent / (seconds / MINUTE) / len(bad))
        run.note("usual_p99", p99(run, usual))
        run.note("healthy_p99", p99(run, good))
        for app_id in bad:
            _says(run, app_id, Reason.NEON_REJECTED, "the settings are not accepted")
        if p99(run, good) > 1.5 * p99(run, usual):
            raise Broken(f"the others are ready after {p99(run, good):.1f} s, {p99(run, usual):.1f} without the bad")
        if run.figures["per_bad_and_minute"] > 1 / 5:
            raise Broken(f"{run.figures['per_bad_and_minute']} requests a minute for each bad app")
        for app_id in bad:
            run.people.delete(app_id)
        await run.drain(0)

    return story


def hot(seconds: float) -> Story:
    """One owner asks as fast as the API lets anybody, and the others hardly feel it."""

    async def story(run: Run) -> None:
        number = int(seconds / 3)
        usual = await _spread(run, number, seconds, "other")
        await run.drain(0)
        mine: list[str] = []
        churning = asyncio.create_task(_churn(run, mine))
        await run.sleep(10.0)
        began = run.now
        others = await _spread(run, number, seconds, "other")
        run.note("hot_left", sum(run.fleet.catalog.rows[app_id].status != AppStatus.READY for app_id in mine))
        await run.sleep(10.0)
        churning.cancel()
        run.note("hot_peak", run.peak(began))
        run.note("usual_p99", p99(run, usual))
        run.note("others_p99", p99(run, others))
        if any(app_id in run.left() for app_id in others):
            raise Broken("another owner's app still waits")
        if p99(run, others) > 2 * p99(run, usual) + A_PLACE_SECONDS:
            raise Broken(f"the others are ready after {p99(run, others):.1f} s, {p99(run, usual):.1f} without the one")
        for app_id in mine:
            run.people.delete(app_id)
        await run.drain(_needed(run))

    return story


async def _churn(run: Run, mine: list[str]) -> None:
    """The requests of the hot owner, who has as many apps as one may have, and deletes one to make another."""
    while True:
        if len(mine) < MOST_APPS:
            mine.append(run.people.ask("owner-hot", "hot"))
        else:
            run.people.delete(mine.pop(0))
        await run.sleep(MINUTE / REQUESTS_PER_MINUTE)


async def _spread(run: Run, creates: int, seconds: float, name: str = "new") -> list[str]:
    made = []
    for number in range(creates):
        made.append(run.people.ask(f"owner-{number % OWNERS}", name))
        await run.sleep(seconds / creates)
    return made


def p99(run: Run, apps: list[str]) -> float:
    """The longest time to ready but for one in a hundred."""
    rows = [run.fleet.catalog.rows[app_id] for app_id in apps]
    took = sorted((row.connected_at - row.created_at).total_seconds() for row in rows if row.connected_at is not None)
    return took[int(0.99 * (len(took) - 1))]


def _says(run: Run, app_id: str, reason: Reason, text: str) -> None:
    said = find_condition(run.fleet.catalog.rows[app_id].conditions, ConditionType.SYNCED)
    if said is None or said.reason != reason or text not in f"{said.message} {said.operator_message}":
        raise Broken(f"{app_id} says {said}")

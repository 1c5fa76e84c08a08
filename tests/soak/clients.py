"""People who ask for apps, look at them and delete them, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from tests.described import acheck_response
from tests.processes.clients import for_psql
from tests.soak.schedule import Life, Story

LOOK_SECONDS = 1.5
PATIENCE_SECONDS = 60.0
_TRY_AGAIN = (408, 429, 503)


@dataclass
class Wish:
    """One app as the one who asked for it knows it.

    Attributes:
        owner: the number of its owner.
        name: its name.
        key: the ``Idempotency-Key`` of the POST.
        app_id: its id, once a POST was acknowledged.
        delete_sent_at: when a DELETE was first sent, in seconds since the epoch.
        deleted: whether a DELETE was acknowledged.
        gone: whether it was seen to be deleted.
        uri: its URI, once it was ready.
        kept: whether something was put into its database.
    """

    owner: int
    name: str
    key: str
    app_id: str | None = None
    delete_sent_at: float | None = None
    deleted: bool = False
    gone: bool = False
    uri: str | None = None
    kept: bool = False


@dataclass
class Clients:
    """All clients.

    Attributes:
        urls: of the API's processes; each request goes to any of them.
        tokens: of the owners.
        chance: their own.
        calm: set when nothing new is to be begun.
        word: set whenever a POST or a DELETE is acknowledged.
        wishes: what was asked for.
        wrong: what they were told and should not have been.
        counts: what they did.
    """

    urls: Sequence[str]
    tokens: Sequence[str]
    chance: random.Random
    http: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(
            timeout=5, trust_env=False, event_hooks={"response": [acheck_response]}
        )
    )
    calm: asyncio.Event = field(default_factory=asyncio.Event)
    word: asyncio.Event = field(default_factory=asyncio.Event)
    wishes: list[Wish] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    async def hear(self, within: float) -> None:
        """Back as soon as something is acknowledged, or later."""
        self.word.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.word.wait(), within)

    async def live(self, life: Life) -> None:
        """One app's life, as its client leads it."""
        wish = await self._ask_for(life.owner, life.name, "first")
        if wish.app_id is None or life.story is Story.LOOK_AWAY:
            return
        if life.story is not Story.DELETE_EARLY:
            await self._until_ready(wish)
        if life.story is Story.KEEP:
            return
        await self._rest(life.pause)
        await self._delete(wish)
        if life.story is Story.DELETE_AND_ASK_AGAIN and not self.calm.is_set():
            again = await self._ask_for(life.owner, life.name, "again")
            if again.app_id == wish.app_id:
                self.wrong.append(f"{again.name}: a new app has the id of the deleted one, {wish.app_id}")
            await self._until_ready(again)
        await self._until_gone(wish)

    async def _ask_for(self, owner: int, name: str, which: str) -> Wish:
        """POST until it is acknowledged, and then perhaps once more."""
        wish = Wish(owner, name, f"{name}-{which}".replace(" ", "-"))
        self.wishes.append(wish)
        answer = await self._acknowledged("POST", "/ee/apps", wish, (200, 201))
        if answer is None:
            return wish
        wish.app_id = answer["app_id"]
        if self.chance.random() < 0.1:
            again = await self._acknowledged("POST", "/ee/apps", wish, (200,))
            if again is not None and again["app_id"] != wish.app_id:
                self.wrong.append(f"{name}: two apps of one key, {wish.app_id} and {again['app_id']}")
        return wish

    async def _delete(self, wish: Wish) -> None:
        """DELETE until it is acknowledged; from then on no URI is served."""
        wish.delete_sent_at = time.time()
        if await self._acknowledged("DELETE", f"/ee/apps/{wish.app_id}", wish, (200, 202)) is not None:
            wish.deleted = True

    async def _until_ready(self, wish: Wish) -> None:
        while not self.calm.is_set():
            app = await self.look(wish)
            if app is not None and app["status"] == "ready":
                wish.kept = wish.kept or await _keep(wish)
                return
            await self._rest(LOOK_SECONDS)

    async def _until_gone(self, wish: Wish) -> None:
        while not (self.calm.is_set() or wish.gone):
            await self.look(wish)
            await self._rest(LOOK_SECONDS)

    async def look(self, wish: Wish) -> dict[str, Any] | None:
        """GET, and compare with what is known; now and then another owner tries too, and finds nothing."""
        deleted = wish.deleted
        app = await self._once("GET", f"/ee/apps/{wish.app_id}", wish, (200,))
        if app is None:
            return None
        uri = app["morphik_uri"]
        if deleted and (uri is not None or app["status"] not in ("deleting", "deleted")):
            self.wrong.append(
                f"{wish.app_id} is {app['status']} after its end was acknowledged, URI: {uri is not None}"
            )
        if uri is not None and wish.uri not in (None, uri):
            self.wrong.append(f"{wish.app_id} has another URI than before")
        if wish.gone and app["status"] != "deleted":
            self.wrong.append(f"{wish.app_id} was deleted and is {app['status']}")
        wish.uri, wish.gone = uri or wish.uri, app["status"] == "deleted"
        if self.chance.random() < 0.05:
            await self._once("GET", f"/ee/apps/{wish.app_id}", wish, (404,), owner=(wish.owner + 1) % len(self.tokens))
        return app

    async def _acknowledged(
        self, method: str, path: str, wish: Wish, statuses: tuple[int, ...]
    ) -> dict[str, Any] | None:
        until: float | None = None
        while until is None or time.monotonic() < until:
            answer = await self._once(method, path, wish, statuses)
            if answer is not None:
                self.word.set()
                return answer
            await asyncio.sleep(self.chance.uniform(0.1, 1.0))
            if until is None and self.calm.is_set():
                until = time.monotonic() + PATIENCE_SECONDS
        self.wrong.append(f"{method} of {wish.name} was not acknowledged within {PATIENCE_SECONDS:g} s of calm")
        return None

    async def _once(
        self, method: str, path: str, wish: Wish, statuses: tuple[int, ...], *, owner: int | None = None
    ) -> dict[str, Any] | None:
        """One request to one of the processes; None where it is to be sent again."""
        headers = {"Authorization": f"Bearer {self.tokens[wish.owner if owner is None else owner]}"}
        body = None
        if method == "POST":
            headers["Idempotency-Key"] = wish.key
            body = {"app_name": wish.name}
        self.counts["requests"] += 1
        try:
            answer = await self.http.request(method, self.chance.choice(self.urls) + path, json=body, headers=headers)
        except httpx.HTTPError:
            self.counts["unanswered"] += 1
            return None
        except AssertionError as error:
            self.wrong.append(f"an answer that is not described: {error}")
            return None
        if answer.status_code in statuses:
            found: dict[str, Any] = answer.json()
            return found
        self.counts[str(answer.status_code)] += 1
        if answer.status_code not in _TRY_AGAIN:
            self.wrong.append(f"{method} of {wish.name} ({wish.app_id}): {answer.status_code} {answer.text[:300]}")
        return None

    async def _rest(self, seconds: float) -> None:
        """Wait, but not beyond the beginning of the calm."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.calm.wait(), seconds)


async def _keep(wish: Wish) -> bool:
    """Put the app's id into its database; whether that was certainly done."""
    assert wish.uri is not None
    try:
        connection = await psycopg.AsyncConnection.connect(for_psql(wish.uri), autocommit=True, connect_timeout=5)
        async with connection:
            await connection.execute(f"CREATE TABLE kept AS SELECT '{wish.app_id}' AS app_id".encode())
    except psycopg.Error:
        return False
    return True

"""What the API does: apps are asked for, looked at, listed, and asked to be deleted."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from reconciler.catalog.apps import CreateResult
from reconciler.catalog.limits import OwnerLimits
from specs.app import DesiredApp
from specs.metadata import AppMetadata
from specs.names import app_id_from_bytes
from specs.status import AppStatus
from tests.catalogmodel.machine import WHICH, Base, sometimes
from tests.catalogmodel.state import plain, twin_row

OWNERS = st.sampled_from(("alice", "bob"))
NAMES = st.sampled_from(("notes", "shop", "blog"))
VERSIONS = st.sampled_from((17, 17, 17, 16))
KEYS = st.sampled_from((None, None, "key-1", "key-2"))


class People(Base):
    """The rules of the API."""

    @rule(
        owner=OWNERS,
        name=NAMES,
        version=VERSIONS,
        key=KEYS,
        most=st.sampled_from((1, 3, 9)),
        a_day=st.sampled_from((4, 99)),
        provided=st.sampled_from((("app_name",), ("app_name", "pg_version"))),
    )
    def ask(
        self,
        owner: str,
        name: str,
        version: int,
        key: str | None,
        most: int,
        a_day: int = 99,
        provided: tuple[str, ...] = ("app_name", "pg_version"),
    ) -> None:
        """A create; the fingerprint is of the body, so that a key with another body is met."""
        pair, app_id = self.pair, app_id_from_bytes(hashlib.sha256(b"%d" % len(self.asked)).digest()[:15])
        desired = DesiredApp(app_name=name, region="aws-us-east-1", pg_version=version)
        fingerprint = None if key is None else f"{name} {version}".encode()
        limits = OwnerLimits(most, a_day)
        made = pair.both(
            "create",
            pair.apps.create(
                owner,
                desired,
                provided=provided,
                app_id=app_id,
                idempotency_key=key,
                fingerprint=fingerprint,
                limits=limits,
                request_id=None,
            ),
            lambda: pair.twin.create(
                owner, desired, provided=provided, app_id=app_id, key=key, fingerprint=fingerprint, limits=limits
            ),
            seen=lambda made: (plain(made.app), made.created),
            modelled=lambda made: (twin_row(pair.twin, made.app), made.created),
        )
        if isinstance(made, CreateResult) and made.created:
            self.asked.append(app_id)

    @precondition(lambda self: self.has_apps)
    @rule(which=WHICH, owner=OWNERS)
    def delete(self, which: int, owner: str) -> None:
        """A delete, of one's own or of another's."""
        pair, app_id = self.pair, self.app(which)
        pair.both(
            "request_delete",
            pair.apps.request_delete(owner, app_id, None),
            lambda: pair.twin.ask_to_delete(owner, app_id),
            seen=_seen,
            modelled=self._modelled,
        )

    @precondition(lambda self: self.has_apps)
    @rule(which=WHICH, owner=OWNERS)
    def look(self, which: int, owner: str) -> None:
        """One app and its history, and what those who wait are told."""
        pair, twin, app_id = self.pair, self.pair.twin, self.app(which)

        def visible() -> AppMetadata | None:
            row = twin.visible(owner, app_id)
            return None if row is None else row.as_shown_to_owner()

        pair.both("get", pair.apps.get(owner, app_id), visible, seen=_seen, modelled=self._modelled)
        told = [line[1:] for line in reversed(twin.history) if line[0] == app_id]
        pair.both(
            "events",
            self._history(owner, app_id),
            lambda: told if twin.visible(owner, app_id) else None,
        )
        pair.both(
            "statuses",
            pair.apps.get_many([app_id, "a" * 24]),
            lambda: {app_id: twin.rows[app_id].as_shown_to_owner()} if app_id in twin.rows else {},
            seen=lambda rows: {each: plain(row) for each, row in rows.items()},
            modelled=lambda rows: {each: twin_row(twin, row) for each, row in rows.items()},
        )
        self.pair.wait(pair.apps.notify())

    @precondition(sometimes)
    @rule(
        owner=OWNERS,
        status=st.none() | st.sampled_from(AppStatus),
        name=st.none() | NAMES,
        limit=st.integers(1, 3),
    )
    def browse(self, owner: str, status: AppStatus | None, name: str | None, limit: int) -> None:
        """All pages of a list."""
        self.pair.both(
            "list",
            self._pages(owner, status, name, limit),
            lambda: self.pair.twin.listed(owner, status, name),
            seen=lambda rows: [plain(row) for row in rows],
            modelled=lambda rows: [twin_row(self.pair.twin, row) for row in rows],
        )

    async def _pages(self, owner: str, status: AppStatus | None, name: str | None, limit: int) -> list[AppMetadata]:
        page = await self.pair.apps.list(owner, status=status, name=name, limit=limit, cursor=None)
        rows = [*page.apps]
        while page.next_cursor is not None:
            page = await self.pair.apps.list(owner, status=status, name=name, limit=limit, cursor=page.next_cursor)
            rows += page.apps
        return rows

    async def _history(self, owner: str, app_id: str) -> list[object] | None:
        page = await self.pair.apps.events(owner, app_id, limit=2, cursor=None)
        if page is None:
            return None
        lines = [*page.events]
        while page.next_cursor is not None:
            following = await self.pair.apps.events(owner, app_id, limit=2, cursor=page.next_cursor)
            assert following is not None
            page = following
            lines += page.events
        return [(line.type, line.reason, line.message, line.actor, line.generation, line.at) for line in lines]

    def _modelled(self, app: AppMetadata | None) -> object:
        return None if app is None else twin_row(self.pair.twin, app)


def _seen(app: AppMetadata | None) -> object:
    return None if app is None else plain(app)

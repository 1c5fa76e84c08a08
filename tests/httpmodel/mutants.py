"""The product with one thing wrong in it, each in a way that a client could notice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import pytest
from starlette.requests import Request

from api import router
from api.auth.authorizer import Authorizer
from api.auth.claims import Principal
from api.http.request_body import parse_object
from api.problems import FORBIDDEN
from api.resources.apps import endpoints
from api.resources.apps.schemas import app_response
from reconciler.catalog import apps, status_store
from reconciler.catalog.apps import AppStore, CreateResult
from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import Lease
from reconciler.core.context import Event
from reconciler.core.effects import RecordProject
from reconciler.core.stages import create, delete
from reconciler.errors import NeonAPIError
from specs.metadata import AppMetadata
from tests.catalogs import SEALER
from tests.httpmodel.stage import Stage

Spoil = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Mutant:
    """One wrong product.

    Attributes:
        name: what is wrong.
        spoil: makes it so.
        quick: whether the first examples find it.
    """

    name: str
    spoil: Spoil
    quick: bool = False

    @contextmanager
    def alive(self, stage: Stage) -> Iterator[None]:  # noqa: ARG002 - some mutants live in its catalog
        """As long as this lasts, the product is wrong."""
        with pytest.MonkeyPatch.context() as patch:
            self.spoil(patch)
            yield

    def __str__(self) -> str:
        return self.name


def _statement(module: ModuleType, name: str, old: str, new: str) -> Spoil:
    """Another text in one of the catalog's statements."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        statements = dict(module._SQL)
        assert old in statements[name], f"{name} has no {old!r} any more"
        patch.setattr(module, "_SQL", statements | {name: statements[name].replace(old, new)})

    return spoil


def _both(*spoils: Spoil) -> Spoil:
    """Two things that are wrong together, where one alone is harmless."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        for each in spoils:
            each(patch)

    return spoil


def _property(name: str, value: Callable[[AppMetadata], bool]) -> Spoil:
    return lambda patch: patch.setattr(AppMetadata, name, property(value))


def _get_anybodys(patch: pytest.MonkeyPatch) -> None:
    async def get(catalog: AppStore, _owner_id: str, app_id: str) -> AppMetadata | None:
        return (await catalog.get_many([app_id])).get(app_id)

    patch.setattr(AppStore, "get", get)


def _tell_of_others(patch: pytest.MonkeyPatch) -> None:
    honest = AppStore.get

    async def get(catalog: AppStore, owner_id: str, app_id: str) -> AppMetadata | None:
        app = await honest(catalog, owner_id, app_id)
        if app is None and await catalog.get_many([app_id]):
            raise FORBIDDEN("This app is not yours.")
        return app

    patch.setattr(AppStore, "get", get)


def _app_token_for_any(patch: pytest.MonkeyPatch) -> None:
    honest = endpoints._app_id
    patch.setattr(endpoints, "_app_id", lambda call: honest(replace(call, caller=replace(call.principal, app_id=None))))


def _app_token_creates(patch: pytest.MonkeyPatch) -> None:
    honest = Authorizer.authorize

    async def authorize(guard: Authorizer, request: Request, *permissions: str, **_: bool) -> Principal:
        return await honest(guard, request, *permissions, app_token=True)

    patch.setattr(Authorizer, "authorize", authorize)


def _uri_for_readers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(endpoints, "app_response", lambda app, _sealer: app_response(app, SEALER))


def _created_with(patch: pytest.MonkeyPatch, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Every create with other arguments."""
    honest = AppStore.create

    async def create_(catalog: AppStore, owner_id: str, desired: Any, **named: Any) -> CreateResult:
        return await honest(catalog, owner_id, desired, **(named | changed(named)))

    patch.setattr(AppStore, "create", create_)


def _key_for_any_body(patch: pytest.MonkeyPatch) -> None:
    _created_with(patch, lambda named: {"fingerprint": b"all alike" if named["idempotency_key"] else None})


def _key_not_kept(patch: pytest.MonkeyPatch) -> None:
    _created_with(patch, lambda _named: {"idempotency_key": None, "fingerprint": None})


def _one_more_than_allowed(patch: pytest.MonkeyPatch) -> None:
    _created_with(patch, lambda named: {"limits": replace(named["limits"], apps=named["limits"].apps + 1)})


def _unknown_fields_let_in(patch: pytest.MonkeyPatch) -> None:
    def parse(body: bytes) -> dict[str, Any]:
        return {name: value for name, value in parse_object(body).items() if name in {"app_name", "region"}}

    patch.setattr(router, "parse_object", parse)


def _recorded_with(patch: pytest.MonkeyPatch, told: Callable[[str, RecordProject], RecordProject]) -> None:
    """Every record of a project, with its URI at hand."""
    honest = StatusStore.record_project

    async def record_project(
        records: StatusStore, lease: Lease, app: AppMetadata, effect: RecordProject, request_id: str | None = None
    ) -> None:
        uri = "" if effect.credentials is None else effect.credentials.connection_uri.get_secret_value()
        await honest(records, lease, app, told(uri, effect), request_id)

    patch.setattr(StatusStore, "record_project", record_project)


def _secret_in_an_event(patch: pytest.MonkeyPatch) -> None:
    def told(uri: str, effect: RecordProject) -> RecordProject:
        events = (*effect.update.events, Event("Noted", "Noted", f"It is at {uri}."))
        return replace(effect, update=replace(effect.update, events=events))

    _recorded_with(patch, told)


def _secret_in_a_record(patch: pytest.MonkeyPatch) -> None:
    def told(uri: str, effect: RecordProject) -> RecordProject:
        logging.getLogger("reconciler.catalog").debug("recorded", extra={"uri": uri})
        return effect

    _recorded_with(patch, told)


def _unknown_is_refused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(create, "NeonRejected", NeonAPIError)


def _deleted_unasked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(delete, "_request_deletion", lambda s, _project: delete._mark_deleted(s, None))


class SameNames(Mutant):
    """An owner may have two apps of one name; what prevents it is in the catalog's schema."""

    @contextmanager
    def alive(self, stage: Stage) -> Iterator[None]:
        """Drop it, and put it back at the end."""
        index, asked = "app_metadata_owner_name", "a.delete_requested_at IS NULL"
        [function] = stage.clock.still.rows("SELECT pg_get_functiondef('create_apps'::regproc) AS text")
        [unique] = stage.clock.still.rows(f"SELECT pg_get_indexdef('{index}'::regclass) AS text")
        honest = str(function["text"])
        assert asked in honest, f"create_apps has no {asked!r} any more"
        stage.clock.still.rows(f"{honest.replace(asked, 'false')}; DROP INDEX {index}")
        try:
            yield
        finally:
            stage.clock.begin_again()
            stage.clock.still.rows(f"{honest}; {unique['text']}")


MUTANTS = (
    SameNames("names are not unique", lambda _patch: None),
    Mutant("get shows anybody's app", _get_anybodys, quick=True),
    Mutant("get tells that there is another's app", _tell_of_others, quick=True),
    Mutant(
        "list shows anybody's apps",
        _statement(apps, "list", "owner_id = %(owner_id)s", "%(owner_id)s <> ''"),
        quick=True,
    ),
    Mutant(
        "a cursor shows anybody's apps",
        _statement(apps, "list", "owner_id = %(owner_id)s", "(owner_id = %(owner_id)s OR %(app_id)s::text <> '')"),
    ),
    Mutant(
        "delete ends anybody's app",
        _both(
            _statement(apps, "lock_work", "(%(owner_id)s::text, %(app_id)s::text)", "(m.owner_id, %(app_id)s::text)"),
            _statement(apps, "lock_for_delete", "owner_id = %(owner_id)s", "%(owner_id)s::text <> ''"),
        ),
    ),
    Mutant("a token for one app reaches the others", _app_token_for_any),
    Mutant("a token for one app lists the others", _statement(apps, "list", "app_id = %(only_app)s", "true")),
    Mutant("a token for one app creates apps", _app_token_creates),
    Mutant("readers see URIs", _uri_for_readers, quick=True),
    Mutant(
        "a URI is seen while deleting",
        _property("can_expose_uri", lambda app: bool(app.connection_uri_sealed and app.connected_at)),
    ),
    Mutant(
        "a URI is seen before it was connected to",
        _property("can_expose_uri", lambda app: bool(app.connection_uri_sealed and not app.delete_requested_at)),
    ),
    Mutant("an event holds a URI", _secret_in_an_event, quick=True),
    Mutant("a record holds a URI", _secret_in_a_record, quick=True),
    Mutant("a key stands for any body", _key_for_any_body),
    Mutant("a key is not kept", _key_not_kept),
    Mutant("unknown fields are let in", _unknown_fields_let_in),
    Mutant("one app more than allowed", _one_more_than_allowed),
    Mutant(
        "a delete is nothing new",
        _statement(apps, "request_delete", ", generation = generation + 1", ""),
    ),
    Mutant(
        "everything is observed before it is",
        _statement(status_store, "record", "greatest(a.observed_generation, %(observed_generation)s)", "a.generation"),
    ),
    Mutant("a delete wakes nobody", _statement(apps, "wake", "WHERE app_id", "WHERE false AND app_id")),
    Mutant("a deleted app is shown for ever", _statement(apps, "get", "m.tombstone_until >", "now() <")),
    Mutant("a create of unknown outcome is sent again", _unknown_is_refused),
    Mutant("an app is called deleted while its project lives", _deleted_unasked),
)
QUICK = tuple(mutant for mutant in MUTANTS if mutant.quick)
"""Those that the first examples find."""

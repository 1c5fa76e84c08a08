"""Rows of the catalog, read into what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from reconciler.errors import CatalogUnavailable
from specs.metadata import AppMetadata
from specs.status import AppStatus, Condition, derive_status

_FIELDS = tuple(AppMetadata.model_fields)
_KNOWN_STATUSES = frozenset(AppStatus)


def app_from_row(row: Mapping[str, Any]) -> AppMetadata:
    """The app in a row that has at least the columns of ``app_metadata``.

    Further columns are left out: a newer program may have added them.

    Raises:
        CatalogUnavailable: a column is not there yet, since the catalog was not migrated.
    """
    try:
        return app_from_fields({name: row[name] for name in _FIELDS})
    except KeyError as missing:
        raise CatalogUnavailable(f"the catalog has no column {missing.args[0]}; run morphik-apps migrate") from None


def app_from_values(values: Sequence[Any]) -> AppMetadata:
    """The app in the columns of ``AppMetadata``, in its order; without names, which cost more to read than values."""
    return app_from_fields(dict(zip(_FIELDS, values, strict=True)))


def app_from_fields(fields: dict[str, Any]) -> AppMetadata:
    """The app in some fields of ``AppMetadata``. A status that only a later version knows reads as this one's word."""
    if fields["status"] in _KNOWN_STATUSES:
        return AppMetadata.model_validate(fields)
    app = AppMetadata.model_validate(fields | {"status": AppStatus.PENDING})
    status = derive_status(
        app.conditions,
        outdated=app.observed_generation < app.generation,
        deleting=app.delete_requested_at is not None,
        deleted=app.deleted_at is not None,
        recorded=app.project_id is not None,
        connected=app.connected_at is not None,
    )
    return app.model_copy(update={"status": status})


def conditions_to_json(conditions: Iterable[Condition]) -> Jsonb:
    """Conditions as the column ``conditions`` keeps them."""
    return Jsonb([condition.model_dump(mode="json", exclude_none=True) for condition in conditions])

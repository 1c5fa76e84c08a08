"""Rows of the catalog, read into what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from specs.metadata import AppMetadata
from specs.status import Condition

_FIELDS = tuple(AppMetadata.model_fields)


def app_from_row(row: Mapping[str, Any]) -> AppMetadata:
    """The app in a row that has at least the columns of ``app_metadata``.

    Further columns are left out: a newer program may have added them.
    """
    return AppMetadata.model_validate({name: row[name] for name in _FIELDS})


def app_from_values(values: Sequence[Any]) -> AppMetadata:
    """The app in the columns of ``AppMetadata``, in its order; without names, which cost more to read than values."""
    return AppMetadata.model_validate(dict(zip(_FIELDS, values, strict=True)))


def conditions_to_json(conditions: Iterable[Condition]) -> Jsonb:
    """Conditions as the column ``conditions`` keeps them."""
    return Jsonb([condition.model_dump(mode="json") for condition in conditions])

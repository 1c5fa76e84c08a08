"""The table ``app_metadata`` and ``AppMetadata`` are the same thing, column for column."""

from __future__ import annotations

import psycopg

from specs.metadata import AppMetadata


def test_the_columns_are_the_fields(catalog_url: str) -> None:
    with psycopg.connect(catalog_url) as connection:
        rows = connection.execute(
            "SELECT column_name, is_nullable = 'YES' FROM information_schema.columns WHERE table_name = 'app_metadata'"
        ).fetchall()
    columns: dict[str, bool] = dict(rows)
    assert set(columns) == set(AppMetadata.model_fields)
    optional = {name for name, field in AppMetadata.model_fields.items() if type(None) in _union(field.annotation)}
    assert {name for name, nullable in columns.items() if nullable} == optional


def _union(annotation: object) -> tuple[object, ...]:
    return getattr(annotation, "__args__", ())

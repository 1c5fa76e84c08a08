"""All that a catalog holds, kept aside, put back, and held against what it was."""

from __future__ import annotations

from tests.stillclock import StillClock

# In an order in which they can be filled.
_TABLES = (
    "catalog_identity",
    "app_metadata",
    "app_owners",
    "app_work",
    "create_intents",
    "app_events",
    "idempotency_keys",
    "periodic_jobs",
    "orphan_projects",
    "neon_rate_limit",
    "token_minimums",
    "token_minimum_changes",
)
# Of these only whether they are there: sealing is random, and a number that was drawn is not given back.
_OPAQUE = ("data_key_sealed", "connection_uri_sealed", "pooled_uri_sealed")
_DRAWN = ("event_id", "change_id")


class Store:
    """Copies of the tables beside them.

    Args:
        clock: whose database.
    """

    def __init__(self, clock: StillClock) -> None:
        self._clock = clock
        there = {
            row["name"]
            for row in clock.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()")
        }
        assert {each for each in there if "yoyo" not in each} == set(_TABLES)
        self._dump = " UNION ALL ".join(_dump(table) for table in _TABLES)

    def keep(self, name: str) -> None:
        """Keep all that stands in the catalog aside under a name."""
        copies = "".join(f"CREATE TABLE {name}.{table} AS SELECT * FROM {table};" for table in _TABLES)
        self._clock.rows(f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}; {copies}")

    def put_back(self, name: str) -> None:
        """What was kept under the name, and nothing else."""
        emptied = "".join(f"DELETE FROM {table};" for table in reversed(_TABLES))
        filled = "".join(
            f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {name}.{table};" for table in _TABLES
        )
        self._clock.rows(f"{emptied} {filled}")
        self.draw_again()

    def draw_again(self) -> None:
        """The fencing tokens that were drawn and given to nobody come again."""
        self._clock.rows("SELECT setval('lease_tokens', (SELECT greatest(1, max(lease_token)) FROM app_work))")

    def dump(self) -> dict[str, list[str]]:
        """All rows of all tables as they are committed."""
        held: dict[str, list[str]] = {table: [] for table in _TABLES}
        for row in self._clock.rows(self._dump):
            held[row["kind"]].append(row["row"])
        return {table: sorted(rows) for table, rows in held.items()}


def _dump(table: str) -> str:
    hidden = "".join(f" - '{column}'" for column in (*_OPAQUE, *_DRAWN))
    seals = " || ".join(f"jsonb_build_object('{column}', r -> '{column}' = 'null')" for column in _OPAQUE)
    shown = f"(r{hidden}) || {seals}" if table == "app_metadata" else f"r{hidden}"
    return f"SELECT '{table}' AS kind, ({shown})::text AS row FROM (SELECT to_jsonb(t) AS r FROM {table} t) AS rows"

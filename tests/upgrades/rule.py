"""The house's rule for migrations, and whether one keeps it: what it did is asked of Postgres itself.

While a migration runs, version N of every process works on. So a migration

* reads or writes no table from end to end under a lock that keeps others from writing it: a constraint is added ``NOT
  VALID`` and validated by a later migration, a column that exists becomes ``NOT NULL`` by way of such a constraint, and
  rows are filled in by the program;
* builds no index on a table that exists, since that is such a read, and ``CONCURRENTLY`` is no part of a transaction;
* rewrites no table;
* takes nothing away and changes nothing that version N uses: no column, type, table or function; a new column of an old
  table has a default or may be null.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg.rows import tuple_row

# Locks that keep others from writing, or from reading too.
_STRONG = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
_TABLES = """
    SELECT c.relname, c.relfilenode
    FROM pg_class c
    WHERE c.relkind = 'r' AND c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relname !~ 'yoyo'
"""
_HELD = """
    SELECT c.relname
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind = 'r' AND l.mode = ANY(%s)
"""
_TOUCHED = "SELECT relname, seq_tup_read, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_xact_user_tables"
_COLUMNS = """
    SELECT table_name || '.' || column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL
           OR is_identity = 'YES'
    FROM information_schema.columns WHERE table_schema = current_schema() AND table_name !~ 'yoyo'
"""
_FUNCTIONS = """
    SELECT p.oid::regprocedure::text, pg_get_function_result(p.oid)
    FROM pg_proc p WHERE p.pronamespace = quote_ident(current_schema())::regnamespace
"""


@dataclass(frozen=True)
class Deeds:
    """What a migration did, by table, and what it left behind.

    Attributes:
        locked: tables that were there and that nobody else could write meanwhile.
        read: how many rows of them it read, one after another.
        written: how many rows of them it wrote.
        rewritten: tables whose file is another one now.
        gone: columns and functions that are gone or are something else now.
        demanding: new columns of old tables that an old program's INSERT would have to name.
    """

    locked: frozenset[str]
    read: dict[str, int]
    written: dict[str, int]
    rewritten: frozenset[str]
    gone: frozenset[str]
    demanding: frozenset[str]

    def offences(self, rows: int) -> list[str]:
        """How the rule is broken, where tables have so many rows; empty when it is kept."""
        found = [f"reads all of {t} under a lock" for t in self.locked if self.read.get(t, 0) >= rows]
        found += [f"writes all of {t}" for t, n in self.written.items() if n >= rows]
        found += [f"rewrites {t}" for t in self.rewritten]
        found += [f"takes {name} away" for name in self.gone]
        found += [f"demands {name} of old programs" for name in self.demanding]
        return sorted(found)


def carry_out(url: str, sql: str, *, keep: bool) -> Deeds:
    """Run a migration's SQL in one transaction, as ``migrate`` does, and see what it does; then ``keep`` it or not."""
    with psycopg.connect(url, row_factory=tuple_row) as connection:
        files = _files(connection)
        shape = _columns(connection) | _functions(connection)
        connection.commit()
        # What parallel workers read is not counted in this session.
        connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")
        connection.execute(sql.encode())
        held = {table for (table,) in connection.execute(_HELD, (list(_STRONG),))}
        touched = connection.execute(_TOUCHED).fetchall()
        files_now, columns_now = _files(connection), _columns(connection)
        shape_now = columns_now | _functions(connection)
        if not keep:
            connection.rollback()
    there = files.keys()
    new = {name for name in columns_now.keys() - shape.keys() if name.split(".")[0] in there}
    return Deeds(
        locked=frozenset(held & there),
        read={table: read for table, read, _ in touched if table in there},
        written={table: written for table, _, written in touched if table in there},
        rewritten=frozenset(table for table in there & files_now.keys() if files[table] != files_now[table]),
        gone=frozenset(name for name, what in shape.items() if shape_now.get(name) != what),
        demanding=frozenset(name for name in new if not columns_now[name][1]),
    )


def _files(connection: psycopg.Connection) -> dict[str, int]:
    return dict(connection.execute(_TABLES).fetchall())


def _columns(connection: psycopg.Connection) -> dict[str, tuple[str, bool]]:
    return {name: (kind, spared) for name, kind, spared in connection.execute(_COLUMNS)}


def _functions(connection: psycopg.Connection) -> dict[str, tuple[str, bool]]:
    return {name: (result, True) for name, result in connection.execute(_FUNCTIONS)}

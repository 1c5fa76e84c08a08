-- name: privileges
-- Whether this login may create tables in the catalog's schema.
SELECT has_schema_privilege(%(schema)s, 'CREATE') AS creates, current_user AS login, current_database() AS name

-- name: migrator_timeout
-- This wait delays no other session.
SET LOCAL lock_timeout = '60s'

-- name: lock
-- One migrate at a time; the number is arbitrary and constant.
SELECT pg_advisory_xact_lock(7164531902)

-- name: lock_timeout
-- While a migration waits for a table lock, all others queue behind it, readers too; so it waits this long at a time.
SET LOCAL lock_timeout = '2s'

-- name: lock_holders
-- The sessions with locks on tables of this database, the longest first: what a migration probably waited for.
SELECT l.pid
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid() AND l.relation >= 16384
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY l.pid, a.xact_start
ORDER BY a.xact_start NULLS LAST, l.pid
LIMIT 3

-- name: is_set_up
-- Whether yoyo's table exists, in a database that migrate accepts.
SELECT to_regclass('_yoyo_migration') IS NOT NULL
           AND current_setting('server_encoding') IN ('UTF8', 'SQL_ASCII') AS is_set_up

-- name: applied
-- The applied migrations.
SELECT migration_id FROM _yoyo_migration

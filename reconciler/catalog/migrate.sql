-- name: privileges
-- Whether this login may make tables where the catalog is.
SELECT has_schema_privilege(%(schema)s, 'CREATE') AS creates, current_user AS login, current_database() AS name

-- name: migrator_timeout
-- Waiting for another starter holds up nobody.
SET LOCAL lock_timeout = '60s'

-- name: lock
-- One starter at a time; the number means nothing, it only has to stay the same.
SELECT pg_advisory_xact_lock(7164531902)

-- name: lock_timeout
-- Who waits for a table's lock has everybody else queue behind, readers too: so a migration waits this long at a time.
SET LOCAL lock_timeout = '2s'

-- name: lock_holders
-- Who holds locks on tables of this database, the longest first: what a migration waited for, the moment after.
SELECT l.pid
FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid() AND l.relation >= 16384
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY l.pid, a.xact_start
ORDER BY a.xact_start NULLS LAST, l.pid
LIMIT 3

-- name: is_set_up
-- Whether yoyo has ever been here, in a database that migrate accepts.
SELECT to_regclass('_yoyo_migration') IS NOT NULL
           AND current_setting('server_encoding') IN ('UTF8', 'SQL_ASCII') AS is_set_up

-- name: applied
-- What was applied.
SELECT migration_id FROM _yoyo_migration

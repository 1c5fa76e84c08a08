-- Inspection of a catalog; every statement runs in a read-only transaction.

-- name: read_only
-- The server rejects every write until the end of the transaction.
SET TRANSACTION READ ONLY

-- name: server
-- The server, whether it accepts writes, and its clock.
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS number,
       pg_is_in_recovery() AS standby,
       current_setting('server_encoding') AS encoding,
       clock_timestamp() AS now

-- name: schema
-- Whether the catalog's tables exist, with or without yoyo's records.
SELECT to_regclass('_yoyo_migration') IS NOT NULL AS noted,
       to_regclass('yoyo_lock') IS NOT NULL AS has_lock_table,
       to_regclass('catalog_identity') IS NOT NULL AS made,
       EXISTS (
           SELECT FROM pg_locks
           WHERE locktype = 'advisory' AND objsubid = 1
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND ((classid::bigint << 32) | objid::bigint) = 7164531902
       ) AS migrating

-- name: applied
-- The applied migrations.
SELECT migration_id FROM _yoyo_migration ORDER BY 1

-- name: lock_row
-- The process that holds yoyo's own lock.
SELECT pid FROM yoyo_lock WHERE locked = 1

-- name: privileges
-- Whether this login has the privileges of the API and of a daemon.
SELECT current_user AS login,
       has_any_column_privilege('app_metadata', 'INSERT') AND has_any_column_privilege('app_work', 'INSERT')
           AND has_table_privilege('app_events', 'INSERT') AND has_table_privilege('idempotency_keys', 'INSERT')
           AND coalesce(has_table_privilege(to_regclass('token_minimums'), 'SELECT'), true) AS serves,
       has_column_privilege('app_metadata', 'project_id', 'UPDATE') AND has_table_privilege('app_work', 'UPDATE')
           AND has_table_privilege('create_intents', 'INSERT') AND has_table_privilege('catalog_identity', 'UPDATE')
           AND has_sequence_privilege('lease_tokens', 'USAGE') AS reconciles

-- name: identity
-- The catalog's id and binding, whether mutations are suspended, whether it has no creates and was never
-- promoted, and the number of recorded projects.
SELECT catalog_id::text AS catalog_id, org_id, neon_api_url, control_plane_id,
       last_create_seq = 0 AND promoted_at IS NULL AS unused, quarantined_at IS NOT NULL AS quarantined,
       coalesce(
           quarantine_reason,
           CASE WHEN server_identity <> server_identity(tableoid)
                THEN 'the catalog is on another server than before; see what morphik-apps catalog promote says' END,
           mutation_stop_reason
       ) AS mutation_stop_reason,
       (SELECT count(*) FROM app_metadata WHERE project_id IS NOT NULL AND deleted_at IS NULL) AS projects
FROM catalog_identity

-- name: wrapping_keys
-- The keys that wrap data keys, and the number of apps of each.
SELECT data_key_wrapped_by AS key_id, count(*) AS apps FROM app_metadata
WHERE data_key_sealed IS NOT NULL GROUP BY 1 ORDER BY 1

-- name: wrapped
-- The latest apps whose data key is wrapped by a key.
SELECT * FROM app_metadata WHERE data_key_wrapped_by = %(key_id)s AND data_key_sealed IS NOT NULL
ORDER BY updated_at DESC LIMIT %(limit)s

-- What can be known of a catalog without changing it; every statement runs in a read-only transaction.

-- name: read_only
-- Have the server itself refuse every write to the end of the transaction.
SET TRANSACTION READ ONLY

-- name: server
-- Which server this is, whether it takes writes, and its clock.
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS number,
       pg_is_in_recovery() AS standby,
       current_setting('server_encoding') AS encoding,
       clock_timestamp() AS now

-- name: schema
-- Whether anything of ours is there, with or without yoyo's notes.
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
-- Which migrations were applied.
SELECT migration_id FROM _yoyo_migration ORDER BY 1

-- name: lock_row
-- Which process holds yoyo's own lock, if any does.
SELECT pid FROM yoyo_lock WHERE locked = 1

-- name: privileges
-- What this login may do: what the API needs, and what a daemon needs.
SELECT current_user AS login,
       has_any_column_privilege('app_metadata', 'INSERT') AND has_any_column_privilege('app_work', 'INSERT')
           AND has_table_privilege('app_events', 'INSERT') AND has_table_privilege('idempotency_keys', 'INSERT')
           AND coalesce(has_table_privilege(to_regclass('token_minimums'), 'SELECT'), true) AS serves,
       has_column_privilege('app_metadata', 'project_id', 'UPDATE') AND has_table_privilege('app_work', 'UPDATE')
           AND has_table_privilege('create_intents', 'INSERT') AND has_table_privilege('catalog_identity', 'UPDATE')
           AND has_sequence_privilege('lease_tokens', 'USAGE') AS reconciles

-- name: identity
-- Which catalog this is, what it works with, whether changes are stopped, whether it has begun no create and was never
-- claimed, and how many projects it has recorded.
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
-- Which keys wrap data keys, and of how many apps.
SELECT data_key_wrapped_by AS key_id, count(*) AS apps FROM app_metadata
WHERE data_key_sealed IS NOT NULL GROUP BY 1 ORDER BY 1

-- name: wrapped
-- The latest apps whose data key is wrapped by a key.
SELECT * FROM app_metadata WHERE data_key_wrapped_by = %(key_id)s AND data_key_sealed IS NOT NULL
ORDER BY updated_at DESC LIMIT %(limit)s

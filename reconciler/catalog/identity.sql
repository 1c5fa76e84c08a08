-- The catalog's identity, its server, and its quarantine.

-- name: read_identity
-- The recorded identity, and the current server.
SELECT catalog_id::text AS catalog_id, last_create_seq AS last_create_seq, created_at, server_identity(tableoid) AS server,
       pg_postmaster_start_time() AS server_started_at, server_identity AS recorded_server, verified_at AS verified_at,
       quarantine_reason AS quarantine_reason, promoted_at AS promoted_at, retired_catalogs AS retired_catalogs
FROM catalog_identity;

-- name: unrecorded
-- The projects of a list that no row records.
SELECT listed.project_id
FROM unnest(%(project_ids)s::text[]) AS listed (project_id)
WHERE NOT EXISTS (SELECT FROM app_metadata a WHERE a.project_id = listed.project_id);

-- name: record_verified
-- Record that the catalog was verified; no row if the server or the promotion has changed since.
UPDATE catalog_identity
SET server_identity = %(server)s, verified_server_start = %(started)s, verified_at = greatest(verified_at, %(at)s::timestamptz)
WHERE quarantined_at IS NULL AND promoted_at IS NOT DISTINCT FROM %(promoted_at)s
  AND coalesce(server_identity, %(server)s) = %(server)s AND server_identity(tableoid) = %(server)s
  AND pg_postmaster_start_time() = %(started)s
RETURNING singleton;

-- name: quarantine
-- Quarantine the catalog until a promotion, unless there was one since. Lost commits may have used fencing
-- tokens, so the next ones are far beyond.
WITH quarantined AS (
    UPDATE catalog_identity SET quarantined_at = now(), quarantine_reason = %(reason)s
    WHERE quarantined_at IS NULL AND promoted_at IS NOT DISTINCT FROM %(promoted_at)s
    RETURNING singleton
)
SELECT CASE WHEN has_sequence_privilege('lease_tokens', 'UPDATE')
            THEN setval('lease_tokens', nextval('lease_tokens') + 1000000) END
FROM quarantined;

-- name: stop_state
-- Whether mutations are suspended, and which command resumes them.
SELECT quarantined_at IS NOT NULL AS quarantined,
       mutation_stopped_at IS NOT NULL AND coalesce(stop_overridden_until, '-infinity') < now() AS stopped
FROM catalog_identity;

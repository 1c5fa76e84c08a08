-- Which catalog this is, on which server, and whether a person has to say that it is the right one.

-- name: read_identity
-- What is known of the catalog's identity, and what its server says of itself at this moment.
SELECT catalog_id::text AS catalog_id, last_create_seq AS last_create_seq, created_at, server_identity(tableoid) AS server,
       pg_postmaster_start_time() AS server_started_at, server_identity AS recorded_server, verified_at AS verified_at,
       quarantine_reason AS quarantine_reason, promoted_at AS promoted_at, retired_catalogs AS retired_catalogs
FROM catalog_identity;

-- name: unrecorded
-- Those of some projects that no row records.
SELECT given.project_id
FROM unnest(%(project_ids)s::text[]) AS given (project_id)
WHERE NOT EXISTS (SELECT FROM app_metadata a WHERE a.project_id = given.project_id);

-- name: record_verified
-- The catalog was compared with Neon; nothing where the server, or a person's word, is another one by now.
UPDATE catalog_identity
SET server_identity = %(server)s, verified_server_start = %(started)s, verified_at = greatest(verified_at, %(at)s::timestamptz)
WHERE quarantined_at IS NULL AND promoted_at IS NOT DISTINCT FROM %(promoted_at)s
  AND coalesce(server_identity, %(server)s) = %(server)s AND server_identity(tableoid) = %(server)s
  AND pg_postmaster_start_time() = %(started)s
RETURNING singleton;

-- name: quarantine
-- Stop every change until a person's claim, unless there was one meanwhile. What was lost may have given out fencing
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
-- Whether every change is stopped, and whether only a claim ends that.
SELECT quarantined_at IS NOT NULL AS quarantined,
       mutation_stopped_at IS NOT NULL AND coalesce(stop_overridden_until, '-infinity') < now() AS stopped
FROM catalog_identity;

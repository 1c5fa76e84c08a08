-- name: find_key
-- The app of a living idempotency key.
SELECT k.fingerprint, a.*
FROM idempotency_keys k JOIN app_metadata a USING (app_id)
WHERE k.owner_id = %(owner_id)s AND k.key = %(key)s AND is_live_key(k.created_at)

-- name: find_living
-- The living app of a name.
SELECT *
FROM app_metadata
WHERE owner_id = %(owner_id)s AND app_name = %(app_name)s AND delete_requested_at IS NULL

-- name: owner_counts
-- The counters of an owner's limits, and the catalog's clock in seconds since 1970.
SELECT app_count, creates, creates_hour, key_count, extract(epoch FROM clock_timestamp())::float8 AS now
FROM app_owners WHERE owner_id = %(owner_id)s

-- name: create
-- Create apps with their work and first events. Returns when; no row if the name is taken or a limit is reached.
SELECT number, created_at FROM create_apps(%(requests)s)

-- name: remember_key
-- Record an idempotency key for an existing app; no row if the key is living or the owner has too many.
WITH counted AS (
    UPDATE app_owners SET key_count = key_count + 1 WHERE owner_id = %(owner_id)s AND key_count < %(max_keys)s
    RETURNING owner_id
)
INSERT INTO idempotency_keys AS k (owner_id, key, fingerprint, app_id)
SELECT owner_id, %(key)s, %(fingerprint)s, %(app_id)s FROM counted
ON CONFLICT (owner_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, app_id = excluded.app_id, created_at = excluded.created_at
WHERE NOT is_live_key(k.created_at)
RETURNING k.app_id

-- name: lock_owner
-- No create and no key of the owner commits before the end of the transaction.
SELECT owner_id FROM app_owners WHERE owner_id = %(owner_id)s FOR NO KEY UPDATE

-- name: count_keys
-- Recount an owner's living keys. Returns the count and the seconds until the oldest expires.
UPDATE app_owners o
SET key_count = k.live
FROM (
    SELECT count(*) AS live,
           extract(epoch FROM min(created_at) + interval '24 hours' - clock_timestamp())::float8 AS seconds
    FROM idempotency_keys
    WHERE owner_id = %(owner_id)s AND is_live_key(created_at)
) AS k
WHERE o.owner_id = %(owner_id)s
RETURNING o.key_count, k.seconds

-- name: get
-- Some visible apps of some owners, with the columns of AppMetadata in its order. The comparison of rows can
-- only use the index of (owner_id, app_id), so the row of another owner is never read and costs no time.
SELECT app_id, m.owner_id, app_name, spec, incarnation, generation, created_at, updated_at, delete_requested_at, status,
       conditions, observed_generation, org_id, project_id, project_recorded_at, role_number, schema_version,
       data_key_sealed, data_key_wrapped_by, data_key_version, connection_uri_sealed, pooled_uri_sealed,
       connected_at, missing_since, deleted_at, recoverable_until, tombstone_until, hold_reason
FROM unnest(%(owner_ids)s::text[], %(app_ids)s::text[]) AS requested (owner, app)
JOIN app_metadata m ON m.owner_id = requested.owner
    AND (m.owner_id, m.app_id) >= (requested.owner, requested.app) AND (m.owner_id, m.app_id) <= (requested.owner, requested.app)
WHERE tombstone_until IS NULL OR tombstone_until > clock_timestamp()

-- name: list
-- An owner's apps, newest first, after a position; deleted ones only if requested.
SELECT *
FROM app_metadata
WHERE owner_id = %(owner_id)s
  AND (tombstone_until IS NULL OR tombstone_until > clock_timestamp())
  AND CASE
      WHEN %(status)s::text IS NULL THEN status <> 'deleted'
      WHEN delete_requested_at IS NOT NULL AND status <> 'deleted' THEN %(status)s = 'deleting'
      WHEN status = 'ready' AND observed_generation < generation THEN %(status)s = 'updating'
      ELSE status = %(status)s
  END
  AND (%(name)s::text IS NULL OR app_name = %(name)s)
  AND (%(only_app)s::text IS NULL OR app_id = %(only_app)s)
  AND (%(app_id)s::text IS NULL OR (created_at, app_id) < (%(created_at)s::timestamptz, %(app_id)s))
ORDER BY created_at DESC, app_id DESC
LIMIT %(limit)s

-- name: lock_work
-- Lock the work before the app, in the order of all statements that lock both, to avoid deadlocks. No row,
-- no lock and no read of the app's row if it belongs to another owner; see get.
SELECT w.app_id
FROM app_work w
WHERE w.app_id = (
    SELECT m.app_id
    FROM app_metadata m
    WHERE (m.owner_id, m.app_id) >= (%(owner_id)s::text, %(app_id)s::text)
      AND (m.owner_id, m.app_id) <= (%(owner_id)s::text, %(app_id)s::text)
    ORDER BY m.owner_id, m.app_id
    LIMIT 1
)
FOR NO KEY UPDATE

-- name: lock_for_delete
-- The row to mark for deletion, and the time by the catalog's clock.
SELECT *, clock_timestamp() AS now
FROM app_metadata
WHERE app_id = %(app_id)s AND owner_id = %(owner_id)s
  AND (tombstone_until IS NULL OR tombstone_until > clock_timestamp())
FOR NO KEY UPDATE

-- name: decrement_app_count
-- Decrement the owner's apps before the app's row changes: a create locks the owner's row while it waits for a name.
UPDATE app_owners SET app_count = app_count - 1 WHERE owner_id = %(owner_id)s AND app_count > 0

-- name: request_delete
-- Mark the row for deletion.
UPDATE app_metadata
SET delete_requested_at = %(now)s, updated_at = %(now)s, generation = generation + 1
WHERE app_id = %(app_id)s
RETURNING *

-- name: record_delete_requested
-- The event of the delete request.
INSERT INTO app_events (app_id, type, reason, message, actor, generation, request_id)
VALUES (%(app_id)s, 'DeleteRequested', 'Requested', 'App deletion requested.', %(owner_id)s, %(generation)s,
        %(request_id)s)

-- name: wake
-- Make an app due for a user request. While it is leased, the worker observes the counter on release.
UPDATE app_work
SET wake_count = wake_count + 1, lane = 0, attempts = 0,
    due_at = CASE WHEN lease_expires_at > clock_timestamp() THEN due_at ELSE clock_timestamp() END,
    priority_at = CASE WHEN lease_expires_at > clock_timestamp() THEN priority_at ELSE clock_timestamp() END
WHERE app_id = %(app_id)s

-- name: events
-- An app's history, newest first, after a position.
SELECT event_id, at, type, reason, message, actor, generation, request_id
FROM app_events
WHERE app_id = %(app_id)s AND (%(before)s::bigint IS NULL OR event_id < %(before)s)
ORDER BY event_id DESC
LIMIT %(limit)s

-- name: get_many
-- Many apps by one statement, for Prefer: wait.
SELECT * FROM app_metadata WHERE app_id = ANY(%(app_ids)s)

-- name: notify
-- Notify the workers; polling does not depend on it.
SELECT pg_notify('morphik_apps_work', '')

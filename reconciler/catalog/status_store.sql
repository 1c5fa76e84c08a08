-- The writes of a reconcile. Every statement locks the work row and is conditional on the fencing token:
-- without a returned row another worker may hold the lease, and nothing was written.

-- name: authorize_mutation
-- Authorize a mutation and renew the lease, unless mutations are suspended or the catalog's server is not the one with
-- which the catalog was verified.
WITH control_plane AS (
    SELECT coalesce(quarantine_reason, mutation_stop_reason) AS reason,
           quarantined_at IS NOT NULL
               OR mutation_stopped_at IS NOT NULL AND coalesce(stop_overridden_until, '-infinity') < now() AS stopped,
           server_identity IS NOT NULL AND quarantined_at IS NULL
               AND (server_identity <> server_identity(tableoid) OR verified_server_start IS DISTINCT FROM pg_postmaster_start_time())
               AS unverified
    FROM catalog_identity
),
renewed AS (
    UPDATE app_work w
    SET lease_expires_at = now() + make_interval(secs => %(lease)s),
        due_at = now() + make_interval(secs => %(lease)s)
    FROM control_plane
    WHERE w.app_id = %(app_id)s AND w.lease_token = %(token)s AND w.lease_expires_at IS NOT NULL
      AND NOT control_plane.stopped AND NOT control_plane.unverified
    RETURNING w.app_id
)
SELECT stopped, reason, unverified, EXISTS (SELECT FROM renewed) AS leased FROM control_plane;

-- name: spend_automatic_delete
-- Use one of the automatic deletes; no row if the budget is exhausted.
UPDATE catalog_identity
SET automatic_deletes = CASE WHEN automatic_deletes_since < now() - interval '1 hour' THEN 1 ELSE automatic_deletes + 1 END,
    automatic_deletes_since = CASE WHEN automatic_deletes_since < now() - interval '1 hour' THEN now() ELSE automatic_deletes_since END
WHERE automatic_deletes < %(budget)s OR automatic_deletes_since < now() - interval '1 hour'
RETURNING automatic_deletes;

-- name: open_intent
-- Commit an intent before the request is sent; no row for an app with a project or a delete request.
WITH leased AS MATERIALIZED (
    SELECT app_id FROM app_work
    WHERE app_id = %(app_id)s AND lease_token = %(token)s AND lease_expires_at IS NOT NULL
      -- The authorization was another statement, which another server may have executed.
      AND EXISTS (
          SELECT FROM catalog_identity
          WHERE quarantined_at IS NULL
            AND (server_identity IS NULL
                 OR server_identity = server_identity(tableoid) AND verified_server_start = pg_postmaster_start_time())
      )
    FOR NO KEY UPDATE
),
eligible AS MATERIALIZED (
    SELECT a.app_id, a.incarnation FROM leased JOIN app_metadata a USING (app_id)
    WHERE a.project_id IS NULL AND a.delete_requested_at IS NULL
    FOR SHARE OF a
),
numbered AS (
    UPDATE catalog_identity SET last_create_seq = last_create_seq + 1 FROM eligible WHERE %(reuse_create_seq)s::bigint IS NULL
    RETURNING last_create_seq
),
made AS (
    INSERT INTO create_intents (app_id, create_seq, incarnation, nonce, state, sent_at)
    SELECT eligible.app_id, numbered.last_create_seq, eligible.incarnation, %(nonce)s, 'open', clock_timestamp()
    FROM eligible CROSS JOIN numbered
    RETURNING create_seq, incarnation, nonce, state, sent_at, first_absent_at
),
reopened AS (
    UPDATE create_intents i SET state = 'open', sent_at = clock_timestamp(), first_absent_at = NULL FROM eligible
    WHERE i.app_id = eligible.app_id AND i.create_seq = %(reuse_create_seq)s::bigint AND i.state = 'rejected'
    RETURNING i.create_seq, i.incarnation, i.nonce, i.state, i.sent_at, i.first_absent_at
)
SELECT * FROM made UNION ALL SELECT * FROM reopened;

-- name: update_intent
-- Record the outcome of an open intent.
WITH leased AS (
    SELECT app_id FROM app_work WHERE app_id = %(app_id)s AND lease_token = %(token)s FOR NO KEY UPDATE
)
UPDATE create_intents i
SET state = %(state)s,
    first_absent_at = CASE WHEN %(absent)s THEN coalesce(i.first_absent_at, clock_timestamp()) ELSE i.first_absent_at END
FROM leased
WHERE i.app_id = leased.app_id AND i.create_seq = %(create_seq)s AND i.state NOT IN ('rejected', 'recorded', 'absent')
RETURNING i.create_seq;

-- name: record
-- Write the observed state with its events.
WITH leased AS (
    SELECT app_id FROM app_work WHERE app_id = %(app_id)s AND lease_token = %(token)s FOR NO KEY UPDATE
),
written AS (
    UPDATE app_metadata a
    SET status = %(status)s,
        conditions = %(conditions)s,
        observed_generation = greatest(a.observed_generation, %(observed_generation)s),
        updated_at = clock_timestamp(),
        connected_at = CASE WHEN c.doc ? 'connected_at' THEN (c.doc ->> 'connected_at')::timestamptz ELSE a.connected_at END,
        missing_since = CASE WHEN c.doc ? 'missing_since' THEN (c.doc ->> 'missing_since')::timestamptz ELSE a.missing_since END,
        deleted_at = CASE WHEN c.doc ? 'deleted_at' THEN (c.doc ->> 'deleted_at')::timestamptz ELSE a.deleted_at END,
        recoverable_until = CASE
            WHEN c.doc ? 'recoverable_until' THEN (c.doc ->> 'recoverable_until')::timestamptz ELSE a.recoverable_until
        END,
        tombstone_until = CASE
            WHEN c.doc ? 'tombstone_until' THEN (c.doc ->> 'tombstone_until')::timestamptz ELSE a.tombstone_until
        END,
        data_key_sealed = CASE WHEN c.doc ? 'deleted_at' THEN NULL ELSE a.data_key_sealed END,
        connection_uri_sealed = CASE
            WHEN c.doc ? 'deleted_at' THEN NULL ELSE coalesce(%(connection_uri)s, a.connection_uri_sealed)
        END,
        pooled_uri_sealed = CASE
            WHEN c.doc ? 'deleted_at' THEN NULL
            WHEN %(connection_uri)s::bytea IS NULL THEN a.pooled_uri_sealed
            ELSE %(pooled_uri)s
        END
    FROM leased, (SELECT %(columns)s::jsonb AS doc) AS c
    WHERE a.app_id = leased.app_id
    RETURNING a.app_id, a.generation
),
events AS (
    INSERT INTO app_events (app_id, type, reason, message, actor, generation, request_id)
    SELECT written.app_id, e.doc ->> 'type', e.doc ->> 'reason', e.doc ->> 'message', 'reconciler', written.generation,
           %(request_id)s
    FROM written CROSS JOIN jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS e (doc, nr)
    ORDER BY e.nr
)
SELECT app_id FROM written;

-- name: record_project
-- Write the project's id, once, with the encrypted URIs and the data key.
WITH leased AS (
    SELECT app_id FROM app_work WHERE app_id = %(app_id)s AND lease_token = %(token)s FOR NO KEY UPDATE
),
written AS (
    UPDATE app_metadata a
    SET project_id = %(project_id)s,
        org_id = %(org_id)s,
        project_recorded_at = clock_timestamp(),
        data_key_sealed = %(data_key)s,
        data_key_wrapped_by = %(wrapped_by)s,
        data_key_version = %(data_key_version)s,
        connection_uri_sealed = %(connection_uri)s,
        pooled_uri_sealed = %(pooled_uri)s,
        status = %(status)s,
        conditions = %(conditions)s,
        updated_at = clock_timestamp()
    FROM leased
    WHERE a.app_id = leased.app_id AND a.project_id IS NULL AND a.incarnation = %(incarnation)s
    RETURNING a.app_id, a.generation
),
closed AS (
    UPDATE create_intents i SET state = 'recorded' FROM written
    WHERE i.app_id = written.app_id AND i.create_seq = %(create_seq)s
),
events AS (
    INSERT INTO app_events (app_id, type, reason, message, actor, generation, request_id)
    SELECT written.app_id, e.doc ->> 'type', e.doc ->> 'reason', e.doc ->> 'message', 'reconciler', written.generation,
           %(request_id)s
    FROM written CROSS JOIN jsonb_array_elements(%(events)s::jsonb) WITH ORDINALITY AS e (doc, nr)
    ORDER BY e.nr
)
SELECT app_id FROM written;

-- name: dismiss_duplicate
-- Remove a project from the duplicates; a retained one is recorded as reported.
WITH leased AS (
    SELECT app_id FROM app_work WHERE app_id = %(app_id)s AND lease_token = %(token)s FOR NO KEY UPDATE
),
dropped AS (
    UPDATE app_work w SET duplicate_ids = array_remove(w.duplicate_ids, %(project_id)s) FROM leased WHERE w.app_id = leased.app_id
    RETURNING w.app_id
),
reported AS (
    INSERT INTO orphan_projects (project_id, project_name, app_id)
    SELECT %(project_id)s, '', dropped.app_id FROM dropped WHERE %(report)s
    ON CONFLICT (project_id) DO NOTHING
)
SELECT app_id FROM dropped;

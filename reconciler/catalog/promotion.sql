-- A promotion: one transaction, which fails after a concurrent promotion or a failover. It revokes the lease
-- of each app that it changes, since a running reconcile does not know of it.

-- name: lock_identity
-- No other promotion, quarantine or create commits before the end of the transaction.
SELECT promoted_at, server_identity(tableoid) AS server, pg_postmaster_start_time() AS started
FROM catalog_identity FOR UPDATE;

-- name: nonces
-- The recorded creates of some apps.
SELECT nonce FROM create_intents WHERE app_id = ANY(%(app_ids)s);

-- name: rebuild
-- A lost app's row, with its project, create and event; no row if the id or name is taken now.
WITH made AS (
    INSERT INTO app_metadata (app_id, owner_id, app_name, spec, incarnation, created_at, updated_at, status, conditions,
                              org_id, project_id, project_recorded_at, data_key_sealed, data_key_wrapped_by,
                              data_key_version, hold_reason)
    SELECT %(app_id)s, %(owner_id)s, %(app_name)s, %(spec)s, %(incarnation)s, %(created_at)s, now(), 'failed',
           jsonb_build_array(jsonb_build_object(
               'type', 'Synced', 'status', 'False', 'reason', %(reason)s::text, 'message', %(message)s::text,
               'last_transition_time', now(), 'observed_generation', 1)),
           %(org_id)s, %(project_id)s, now(), %(data_key)s, %(wrapped_by)s, %(data_key_version)s, 'owner'
    ON CONFLICT DO NOTHING
    RETURNING app_id, owner_id
),
worked AS (
    INSERT INTO app_work (app_id, due_at, priority_at) SELECT app_id, 'infinity', 'infinity' FROM made
),
remembered AS (
    INSERT INTO create_intents (app_id, create_seq, incarnation, nonce, state, sent_at)
    SELECT app_id, %(create_seq)s, %(incarnation)s, %(nonce)s, 'recorded', %(created_at)s FROM made
),
counted AS (
    INSERT INTO app_owners AS o (owner_id, app_count) SELECT owner_id, 1 FROM made
    ON CONFLICT (owner_id) DO UPDATE SET app_count = o.app_count + 1
),
forgotten AS (
    DELETE FROM orphan_projects o USING made WHERE o.project_id = %(project_id)s
),
events AS (
    INSERT INTO app_events (app_id, type, reason, message, actor, generation)
    SELECT app_id, 'Rebuilt', 'Claimed', %(event_message)s, 'operator', 1 FROM made
)
SELECT app_id FROM made;

-- name: remember_intent
-- A create without its intent; its app is due now.
WITH made AS (
    INSERT INTO create_intents (app_id, create_seq, incarnation, nonce, state, sent_at)
    SELECT app_id, %(create_seq)s, incarnation, %(nonce)s, 'open', %(created_at)s
    FROM app_metadata
    WHERE app_id = %(app_id)s AND incarnation = %(incarnation)s AND project_id IS NULL AND deleted_at IS NULL
    ON CONFLICT DO NOTHING
    RETURNING app_id
),
enqueued AS (
    UPDATE app_work w
    SET wake_count = wake_count + 1, attempts = 0, due_at = now(), priority_at = now(),
        lease_token = nextval('lease_tokens'), lease_holder = NULL, lease_expires_at = NULL
    FROM made WHERE w.app_id = made.app_id
),
forgotten AS (
    DELETE FROM orphan_projects o USING made WHERE o.project_id = %(project_id)s
),
events AS (
    INSERT INTO app_events (app_id, type, reason, message, actor, generation)
    SELECT made.app_id, 'IntentRebuilt', 'Claimed', %(event_message)s, 'operator', a.generation
    FROM made JOIN app_metadata a USING (app_id)
)
SELECT app_id FROM made;

-- name: hold_recoveries
-- Missing projects are not recovered without an operator's confirmation; their apps are due and report it.
WITH on_hold AS (
    UPDATE app_metadata SET hold_reason = 'recovery'
    WHERE app_id = ANY(%(app_ids)s) AND hold_reason IS NULL AND delete_requested_at IS NULL
    RETURNING app_id, generation
),
enqueued AS (
    UPDATE app_work w
    SET wake_count = wake_count + 1, due_at = now(), priority_at = now(),
        lease_token = nextval('lease_tokens'), lease_holder = NULL, lease_expires_at = NULL
    FROM on_hold WHERE w.app_id = on_hold.app_id
),
events AS (
    INSERT INTO app_events (app_id, type, reason, message, actor, generation)
    SELECT app_id, 'RecoveryHeld', 'Claimed', %(event_message)s, 'operator', generation FROM on_hold
)
SELECT app_id FROM on_hold;

-- name: promote
-- Record that this catalog is authoritative, on this server, with all its creates.
UPDATE catalog_identity
SET server_identity = %(server)s, verified_server_start = %(started)s, verified_at = %(at)s,
    last_create_seq = greatest(last_create_seq, %(last_create_seq)s), retired_catalogs = retired_catalogs || %(others)s::jsonb,
    quarantined_at = NULL, quarantine_reason = NULL, promoted_at = clock_timestamp();

-- name: skip_fencing_tokens
-- Skip fencing tokens that lost commits may have used.
SELECT setval('lease_tokens', nextval('lease_tokens') + 1000000);

-- name: lock_held_app
-- The row that an operator confirms.
SELECT app_id, owner_id, app_name, hold_reason, delete_requested_at FROM app_metadata WHERE app_id = %(app_id)s FOR UPDATE;

-- name: name_taken
-- Whether an owner has another living app of that name.
SELECT app_id FROM app_metadata
WHERE owner_id = %(owner_id)s AND app_name = %(app_name)s AND delete_requested_at IS NULL;

-- name: decrement_app_count
-- Decrement the apps of the owner in the annotations.
UPDATE app_owners SET app_count = app_count - 1 WHERE owner_id = %(owner_id)s AND app_count > 0;

-- name: increment_app_count
-- Increment the apps of the confirmed owner.
INSERT INTO app_owners AS o (owner_id, app_count) VALUES (%(owner_id)s, 1)
ON CONFLICT (owner_id) DO UPDATE SET app_count = o.app_count + 1;

-- name: confirm_owner
-- The owner is confirmed: the app is due now.
WITH confirmed AS (
    UPDATE app_metadata SET owner_id = %(owner_id)s, hold_reason = NULL, updated_at = clock_timestamp()
    WHERE app_id = %(app_id)s
    RETURNING app_id, generation
),
enqueued AS (
    UPDATE app_work w
    SET wake_count = wake_count + 1, lane = 0, attempts = 0, due_at = now(), priority_at = now(),
        lease_token = nextval('lease_tokens'), lease_holder = NULL, lease_expires_at = NULL
    FROM confirmed WHERE w.app_id = confirmed.app_id
),
events AS (
    INSERT INTO app_events (app_id, type, reason, message, actor, generation)
    SELECT app_id, 'Confirmed', 'Claimed', %(event_message)s, 'operator', generation FROM confirmed
)
SELECT app_id FROM confirmed;

-- The control plane as a whole: binding, suspension of mutations, resyncs, periodic jobs, retention.

-- name: binding
-- The catalog's id and binding, and whether mutations are suspended.
SELECT catalog_id::text AS catalog_id, org_id, neon_api_url, control_plane_id, last_create_seq, mutation_stop_reason
FROM catalog_identity;

-- name: bind
-- Record the first organization, API and control plane of this catalog.
UPDATE catalog_identity
SET org_id = %(org_id)s, neon_api_url = %(neon_api_url)s, control_plane_id = %(control_plane_id)s
WHERE org_id IS NULL;

-- name: set_control_plane_id
-- Change the CONTROL_PLANE_ID of a quarantined catalog without creates, as a restarted daemon requests. Only a
-- quarantined catalog accepts it, since no daemon creates projects there under the former one.
UPDATE catalog_identity
SET control_plane_id = %(control_plane_id)s, quarantined_at = NULL, quarantine_reason = NULL, verified_at = NULL
WHERE quarantined_at IS NOT NULL AND last_create_seq = 0 AND promoted_at IS NULL AND control_plane_id <> %(control_plane_id)s
RETURNING singleton;

-- name: stop
-- Suspend all mutations, with a reason.
UPDATE catalog_identity SET mutation_stopped_at = coalesce(mutation_stopped_at, now()), mutation_stop_reason = %(reason)s
WHERE mutation_stop_reason IS DISTINCT FROM %(reason)s
RETURNING mutation_stop_reason;

-- name: clear_stop
-- Resume mutations: the fleet is complete again.
UPDATE catalog_identity SET mutation_stopped_at = NULL, mutation_stop_reason = NULL, stop_overridden_until = NULL
WHERE mutation_stopped_at IS NOT NULL
RETURNING singleton;

-- name: override_stop
-- Record an operator's confirmation that missing projects were deleted on purpose; it is valid for an hour.
UPDATE catalog_identity
SET mutation_stopped_at = NULL, mutation_stop_reason = NULL, stop_overridden_until = now() + interval '1 hour'
RETURNING stop_overridden_until;

-- name: stop_overridden
-- Whether an operator's confirmation is in effect.
SELECT coalesce(stop_overridden_until > now(), false) AS overridden FROM catalog_identity;

-- name: clock
-- The catalog's clock.
SELECT clock_timestamp() AS now;

-- name: resync_rows
-- A page of all apps until their tombstone expires, without secrets.
SELECT app_id, owner_id, app_name, spec, incarnation, generation, created_at, updated_at, delete_requested_at, status,
       conditions, observed_generation, org_id, project_id, project_recorded_at, role_number, connected_at, missing_since,
       deleted_at, hold_reason
FROM app_metadata
WHERE app_id > %(after)s AND (tombstone_until IS NULL OR tombstone_until > now())
ORDER BY app_id
LIMIT %(limit)s;

-- name: deep_resync_rows
-- The next converged apps for a deep resync, with their encrypted URIs.
SELECT a.* FROM app_metadata a JOIN app_work w USING (app_id)
WHERE a.app_id > %(after)s AND a.connected_at IS NOT NULL AND a.delete_requested_at IS NULL AND w.due_at = 'infinity'
ORDER BY a.app_id
LIMIT %(limit)s;

-- name: count_connected
-- The number of apps that deep resyncs check.
SELECT count(*) AS apps FROM app_metadata WHERE connected_at IS NOT NULL AND delete_requested_at IS NULL;

-- name: sample_projects
-- A sample of projects that a valid key must see: of the next verified apps, cyclically, without one app. An app
-- whose project is missing now counts too: a key that sees nothing must not remove its own samples.
(
    SELECT project_id FROM app_metadata
    WHERE app_id >= %(start)s AND app_id <> %(besides)s AND connected_at IS NOT NULL AND status <> 'lost'
      AND delete_requested_at IS NULL
    ORDER BY app_id
    LIMIT %(limit)s
)
UNION ALL
(
    SELECT project_id FROM app_metadata
    WHERE app_id < %(start)s AND app_id <> %(besides)s AND connected_at IS NOT NULL AND status <> 'lost'
      AND delete_requested_at IS NULL
    ORDER BY app_id
    LIMIT %(limit)s
)
LIMIT %(limit)s;

-- name: wake
-- Make these apps due, with a lower priority than user requests.
UPDATE app_work
SET wake_count = wake_count + 1,
    lane = CASE WHEN due_at = 'infinity' THEN 1 ELSE lane END,
    confirmed_missing = confirmed_missing OR %(missing)s,
    due_at = CASE WHEN lease_expires_at > now() THEN due_at ELSE least(due_at, now()) END,
    priority_at = least(priority_at, now() + make_interval(secs => %(aging_seconds)s))
WHERE app_id = ANY(%(app_ids)s)
RETURNING app_id;

-- name: enqueue_duplicates
-- Add candidates for duplicates to their apps, and make the apps due.
UPDATE app_work w
SET duplicate_ids = ARRAY(SELECT DISTINCT unnest(w.duplicate_ids || s.project_ids) ORDER BY 1),
    wake_count = w.wake_count + 1,
    lane = CASE WHEN w.due_at = 'infinity' THEN 1 ELSE w.lane END,
    due_at = CASE WHEN w.lease_expires_at > now() THEN w.due_at ELSE least(w.due_at, now()) END,
    priority_at = least(w.priority_at, now() + make_interval(secs => %(aging_seconds)s))
FROM (
    SELECT app_id, array_agg(project_id) AS project_ids
    FROM unnest(%(app_ids)s::text[], %(project_ids)s::text[]) AS named (app_id, project_id)
    GROUP BY app_id
) AS s
WHERE w.app_id = s.app_id;

-- name: known_orphans
-- Reported projects.
SELECT project_id FROM orphan_projects;

-- name: report_orphan
-- Record a project without a row, once.
INSERT INTO orphan_projects (project_id, project_name, app_id) VALUES (%(project_id)s, %(project_name)s, %(app_id)s)
ON CONFLICT (project_id) DO NOTHING
RETURNING project_id;

-- name: forget_orphans
-- Delete reported projects that a complete list does not contain.
DELETE FROM orphan_projects WHERE NOT project_id = ANY(%(seen)s);

-- name: claim_job
-- Lease a periodic job if it is due and not leased.
UPDATE periodic_jobs
SET lease_holder = %(owner)s,
    lease_token = lease_token + 1,
    lease_expires_at = now() + make_interval(secs => %(lease)s),
    started_at = now(),
    cycle_started_at = CASE WHEN checkpoint = '' THEN now() ELSE coalesce(cycle_started_at, now()) END
WHERE name = %(name)s
  AND (lease_expires_at IS NULL OR lease_expires_at < now())
  -- A start in the future dates from before the server's clock was set back.
  AND (started_at IS NULL OR started_at > now() + interval '1 minute'
       OR started_at <= now() - make_interval(secs => %(period)s))
RETURNING lease_token, checkpoint;

-- name: job_finished_at
-- When a periodic job last completed the whole fleet.
SELECT cycle_finished_at FROM periodic_jobs WHERE name = %(name)s;

-- name: renew_job
-- Renew the lease of a running job.
UPDATE periodic_jobs SET lease_expires_at = now() + make_interval(secs => %(lease)s)
WHERE name = %(name)s AND lease_token = %(token)s
RETURNING name;

-- name: finish_job
-- Release a job and store its checkpoint, and the time if it has completed the whole fleet.
UPDATE periodic_jobs
SET lease_holder = NULL,
    lease_expires_at = NULL,
    finished_at = now(),
    checkpoint = %(checkpoint)s,
    cycle_started_at = CASE WHEN %(complete)s THEN NULL ELSE cycle_started_at END,
    cycle_finished_at = CASE WHEN %(complete)s THEN now() ELSE cycle_finished_at END,
    cycle_seconds = CASE
        WHEN %(complete)s THEN extract(epoch FROM now() - coalesce(cycle_started_at, started_at)) ELSE cycle_seconds
    END
WHERE name = %(name)s AND lease_token = %(token)s;

-- name: release_jobs
-- Release every job of one holder, including one whose claim was cancelled.
UPDATE periodic_jobs SET lease_holder = NULL, lease_expires_at = NULL WHERE lease_holder = %(owner)s;

-- name: purge_tombstones
-- Delete rows whose tombstone has expired.
DELETE FROM app_metadata WHERE tombstone_until < now();

-- name: expire_keys
-- Delete the expired idempotency keys of a page. Returns the last key of the page, or no row at the end. A key that
-- a create has locked is skipped, so this never waits.
WITH page AS MATERIALIZED (
    SELECT owner_id, key, created_at FROM idempotency_keys
    WHERE (owner_id, key) > (%(owner_id)s, %(key)s)
    ORDER BY owner_id, key
    LIMIT %(limit)s
),
expired AS MATERIALIZED (
    SELECT e.owner_id, e.key
    FROM page CROSS JOIN LATERAL (
        SELECT k.owner_id, k.key FROM idempotency_keys k
        WHERE k.owner_id = page.owner_id AND k.key = page.key AND NOT is_live_key(k.created_at)
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS e
    WHERE NOT is_live_key(page.created_at)
),
dropped AS (
    DELETE FROM idempotency_keys k USING expired e WHERE k.owner_id = e.owner_id AND k.key = e.key
)
SELECT owner_id, key FROM page ORDER BY owner_id DESC, key DESC LIMIT 1;

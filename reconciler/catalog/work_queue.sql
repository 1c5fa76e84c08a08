-- The work queue and its leases. Times are the database's clock.

-- name: claim
-- Lease due apps by priority with aging, each under a new fencing token. Each further app of one tenant comes
-- behind the first ones of the others, including leased ones, however long it has been due: no tenant delays
-- another. A claim considers a bounded number of due apps, so its cost does not grow with the backlog.
WITH planned AS (
    SELECT app_id, priority_at, true AS leased FROM app_work WHERE due_at < 'infinity' AND lease_expires_at > now()
    UNION ALL
    (
        SELECT app_id, priority_at, false FROM app_work WHERE due_at <= now() ORDER BY priority_at, app_id LIMIT %(window)s
    )
), owned AS (
    SELECT p.*, (SELECT a.owner_id FROM app_metadata a WHERE a.app_id = p.app_id) AS owner_id FROM planned p
), ranked AS (
    SELECT app_id, leased, priority_at,
           greatest(priority_at, now()) + make_interval(secs => %(spacing)s * (row_number() OVER (
               PARTITION BY owner_id ORDER BY leased DESC, priority_at, app_id
           ) - 1)) AS position
    FROM owned
), next AS (
    -- More than the limit: concurrent claims may take some of them.
    SELECT app_id, position, priority_at FROM ranked WHERE NOT leased ORDER BY position, priority_at, app_id LIMIT %(limit)s + 64
), due AS MATERIALIZED (
    SELECT w.app_id
    FROM next n JOIN app_work w USING (app_id)
    WHERE w.due_at <= now()
    ORDER BY n.position, n.priority_at, w.app_id
    LIMIT %(limit)s
    FOR UPDATE OF w SKIP LOCKED
)
UPDATE app_work w
SET lease_holder = %(owner)s,
    lease_token = nextval('lease_tokens'),
    lease_expires_at = now() + make_interval(secs => %(lease)s),
    due_at = now() + make_interval(secs => %(lease)s)
FROM due
WHERE w.app_id = due.app_id
RETURNING w.app_id, w.attempts, w.wake_count, w.confirmed_missing, w.duplicate_ids, w.lease_token;

-- name: claimed
-- All inputs of a reconcile; a separate statement, so that it reads everything that the counted wake-ups concern.
SELECT clock_timestamp() AS promoted_at,
       a.*,
       (
           SELECT coalesce(jsonb_agg(to_jsonb(i) - 'app_id' ORDER BY i.create_seq), '[]')
           FROM create_intents i
           WHERE i.app_id = a.app_id
       ) AS intents
FROM app_metadata a
WHERE a.app_id = ANY(%(app_ids)s);

-- name: next_due
-- Seconds until the next row is due; null if none is scheduled.
SELECT extract(epoch FROM min(due_at) - now())::float8 AS seconds FROM app_work WHERE due_at < 'infinity';

-- name: renew
-- Renew leases that are still held.
UPDATE app_work w
SET lease_expires_at = now() + make_interval(secs => %(lease)s),
    due_at = now() + make_interval(secs => %(lease)s)
FROM unnest(%(app_ids)s::text[], %(tokens)s::bigint[]) AS leased (app_id, token)
WHERE w.app_id = leased.app_id AND w.lease_token = leased.token AND w.lease_expires_at IS NOT NULL
RETURNING w.app_id;

-- name: release
-- Release a lease and set the next due time: now if a wake-up arrived during the reconcile.
UPDATE app_work
SET lease_holder = NULL,
    lease_expires_at = NULL,
    attempts = CASE WHEN wake_count <> %(wake_count)s THEN 0 WHEN %(failed)s THEN attempts + 1 ELSE 0 END,
    confirmed_missing = confirmed_missing AND (%(after)s::float8 IS NOT NULL OR wake_count <> %(wake_count)s),
    lane = CASE WHEN wake_count <> %(wake_count)s THEN lane ELSE %(lane)s END,
    due_at = CASE
        WHEN wake_count <> %(wake_count)s THEN now()
        ELSE coalesce(now() + make_interval(secs => %(after)s), 'infinity')
    END,
    priority_at = CASE
        WHEN wake_count <> %(wake_count)s THEN now() + lane * make_interval(secs => %(aging_seconds)s)
        ELSE coalesce(now() + make_interval(secs => %(after)s + %(lane)s * %(aging_seconds)s), 'infinity')
    END
WHERE app_id = %(app_id)s AND lease_token = %(token)s AND lease_expires_at IS NOT NULL
RETURNING due_at = 'infinity' AS converged;

-- name: release_all
-- Release all leases of one holder: due now, attempts unchanged. By holder, since a claim that was cancelled
-- has taken leases that the process does not know.
UPDATE app_work
SET lease_holder = NULL, lease_expires_at = NULL, due_at = now(), priority_at = now()
WHERE lease_holder = %(owner)s;

-- The catalog's stats for metrics. Each statement reads only apps that have not converged.

-- name: apps
-- The number of apps per status, and how many seconds the oldest has not matched its desired state.
WITH unconverged AS MATERIALIZED (
    SELECT CASE
               WHEN delete_requested_at IS NOT NULL THEN 'deleting'
               WHEN status = 'ready' THEN 'updating'
               ELSE status
           END AS status,
           delete_requested_at IS NULL AS living,
           CASE
               WHEN delete_requested_at IS NOT NULL THEN delete_requested_at
               WHEN connected_at IS NULL THEN created_at
               ELSE coalesce(
                   (
                       SELECT min((c.doc ->> 'last_transition_time')::timestamptz)
                       FROM jsonb_array_elements(conditions) AS c (doc)
                       WHERE c.doc ->> 'status' <> 'True'
                   ),
                   updated_at
               )
           END AS since
    FROM app_metadata
    WHERE deleted_at IS NULL AND (status <> 'ready' OR observed_generation < generation)
)
SELECT status, count(*) AS apps, greatest(0, extract(epoch FROM clock_timestamp() - min(since)))::float8 AS oldest
FROM unconverged
GROUP BY status
UNION ALL
-- A living app that is not in the index is ready.
SELECT 'ready',
       (SELECT coalesce(sum(app_count), 0) FROM app_owners) - (SELECT count(*) FROM unconverged WHERE living),
       0
UNION ALL
SELECT 'deleted', count(*), 0 FROM app_metadata WHERE tombstone_until IS NOT NULL;

-- name: queue
-- Due apps by lane, the age of the oldest, and leased apps.
SELECT lane,
       count(*) FILTER (WHERE due_at <= now()) AS due,
       coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())), 0)::float8 AS oldest,
       count(*) FILTER (WHERE lease_expires_at > now()) AS leased
FROM app_work
WHERE due_at < 'infinity'
GROUP BY lane;

-- name: control_plane
-- Whether mutations are suspended, whether the catalog is quarantined, and the number of orphan projects.
SELECT quarantined_at IS NOT NULL
           OR mutation_stopped_at IS NOT NULL AND coalesce(stop_overridden_until, '-infinity') < now() AS stopped,
       quarantined_at IS NOT NULL AS quarantined,
       (SELECT count(project_id) FROM orphan_projects) AS orphans
FROM catalog_identity;

-- name: jobs
-- For each periodic job: seconds since it completed the whole fleet, or since the catalog exists, and the duration.
SELECT name,
       extract(epoch FROM now() - coalesce(cycle_finished_at, created_at))::float8 AS age,
       coalesce(cycle_seconds, 0) AS seconds
FROM periodic_jobs CROSS JOIN catalog_identity;

-- The catalog's own figures, for metrics: cheap with 100,000 apps, since each reads only what is not settled.

-- name: apps
-- How many apps have which status, and for how many seconds the oldest of each has not been as it was asked for.
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
-- Whoever lives and is not in the index is ready.
SELECT 'ready',
       (SELECT coalesce(sum(app_count), 0) FROM app_owners) - (SELECT count(*) FROM unconverged WHERE living),
       0
UNION ALL
SELECT 'deleted', count(*), 0 FROM app_metadata WHERE tombstone_until IS NOT NULL;

-- name: queue
-- What is due by lane, since when, and what somebody works on.
SELECT lane,
       count(*) FILTER (WHERE due_at <= now()) AS due,
       coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())), 0)::float8 AS oldest,
       count(*) FILTER (WHERE lease_expires_at > now()) AS held
FROM app_work
WHERE due_at < 'infinity'
GROUP BY lane;

-- name: control_plane
-- Whether changes at Neon are stopped, whether the catalog is in doubt, and how many projects of ours no app names.
SELECT quarantined_at IS NOT NULL
           OR mutation_stopped_at IS NOT NULL AND coalesce(stop_overridden_until, '-infinity') < now() AS stopped,
       quarantined_at IS NOT NULL AS quarantined,
       (SELECT count(project_id) FROM orphan_projects) AS orphans
FROM catalog_identity;

-- name: jobs
-- For each periodic job: seconds since the whole fleet was looked at, or since there is a fleet, and what that took.
SELECT name,
       extract(epoch FROM now() - coalesce(cycle_finished_at, created_at))::float8 AS age,
       coalesce(cycle_seconds, 0) AS seconds
FROM periodic_jobs CROSS JOIN catalog_identity;

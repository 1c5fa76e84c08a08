-- What the metrics read: when the fleet was last looked at as a whole, and an index of the apps that are not as they
-- were asked for, which are few.
-- depends: 0004.readiness

-- A round is one look at the whole fleet: a sweep's one run, the audit's dozen.
ALTER TABLE periodic_jobs
    ADD COLUMN cycle_started_at timestamptz,
    ADD COLUMN cycle_finished_at timestamptz,
    ADD COLUMN cycle_seconds double precision;

CREATE INDEX app_metadata_unconverged ON app_metadata (created_at)
    WHERE deleted_at IS NULL AND (status <> 'ready' OR observed_generation < generation);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        GRANT SELECT (name, cycle_finished_at, cycle_seconds) ON periodic_jobs TO morphik_apps_api;
        GRANT SELECT (project_id) ON orphan_projects TO morphik_apps_api;
        GRANT SELECT ON _yoyo_migration TO morphik_apps_reconciler;
    END IF;
END
$$;

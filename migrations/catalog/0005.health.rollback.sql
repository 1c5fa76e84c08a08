DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        REVOKE SELECT ON _yoyo_migration FROM morphik_apps_reconciler;
        REVOKE SELECT (project_id) ON orphan_projects FROM morphik_apps_api;
        REVOKE SELECT (name, cycle_finished_at, cycle_seconds) ON periodic_jobs FROM morphik_apps_api;
    END IF;
END
$$;
DROP INDEX app_metadata_unconverged;
ALTER TABLE periodic_jobs DROP COLUMN cycle_started_at, DROP COLUMN cycle_finished_at, DROP COLUMN cycle_seconds;

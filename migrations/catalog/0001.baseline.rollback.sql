DROP TABLE token_minimum_changes, token_minimums, neon_rate_limit, orphan_projects, periodic_jobs, idempotency_keys,
    app_events, create_intents, app_work, app_owners, app_metadata, catalog_identity;
DROP SEQUENCE lease_tokens;
DROP FUNCTION create_apps, add_create, count_creates, is_live_key, server_identity, reject_update;
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        REVOKE SELECT ON _yoyo_migration FROM morphik_apps_api;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_reconciler') THEN
        REVOKE SELECT ON _yoyo_migration FROM morphik_apps_reconciler;
    END IF;
END
$$;

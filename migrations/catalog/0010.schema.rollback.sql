DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        EXECUTE format('REVOKE USAGE ON SCHEMA %I FROM morphik_apps_api, morphik_apps_reconciler', current_schema());
    END IF;
END
$$;

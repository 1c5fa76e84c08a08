-- The catalog may be in a schema of its own, which its two roles may use; the schema public lets everybody.
-- depends: 0009.revocations

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO morphik_apps_api, morphik_apps_reconciler', current_schema());
    END IF;
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        REVOKE SELECT ON _yoyo_migration FROM morphik_apps_api;
    END IF;
END
$$;

-- The API says on /readyz whether the schema is current, so its role may read what was applied.
-- depends: 0003.owners

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        GRANT SELECT ON _yoyo_migration TO morphik_apps_api;
    END IF;
END
$$;

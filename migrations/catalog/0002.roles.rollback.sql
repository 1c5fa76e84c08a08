-- The roles stay, since other catalogs of the server may use them; what they may do here goes.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA public FROM morphik_apps_api, morphik_apps_reconciler;
        REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM morphik_apps_reconciler;
    END IF;
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        REVOKE UPDATE ON SEQUENCE lease_tokens FROM morphik_apps_reconciler;
    END IF;
END
$$;
DROP FUNCTION server_identity;
ALTER TABLE app_metadata DROP COLUMN hold_reason;
ALTER TABLE catalog_identity
    DROP COLUMN server_identity, DROP COLUMN verified_server_start, DROP COLUMN verified_at, DROP COLUMN quarantined_at,
    DROP COLUMN quarantine_reason, DROP COLUMN retired_catalogs, DROP COLUMN promoted_at;

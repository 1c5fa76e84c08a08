DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        REVOKE UPDATE ON SEQUENCE lease_tokens FROM morphik_apps_reconciler;
    END IF;
END
$$;
DROP FUNCTION server_identity;
ALTER TABLE app_metadata DROP COLUMN held_for;
ALTER TABLE catalog_identity
    DROP COLUMN server_identity, DROP COLUMN looked_start, DROP COLUMN looked_at, DROP COLUMN doubted_at,
    DROP COLUMN doubt_reason, DROP COLUMN set_aside, DROP COLUMN claimed_at;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        REVOKE UPDATE (fingerprint, app_id, created_at) ON idempotency_keys FROM morphik_apps_api;
        REVOKE SELECT, DELETE, UPDATE (created_at) ON idempotency_keys FROM morphik_apps_reconciler;
    END IF;
END
$$;
DELETE FROM periodic_jobs WHERE name = 'expire_idempotency_keys';

CREATE OR REPLACE FUNCTION create_apps(wanted jsonb) RETURNS TABLE (number integer, made_at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT w.number,
           create_app(w.app_id, w.owner_id, w.app_name, w.region, w.pg_version, w.min_cu, w.max_cu, w.suspend_seconds,
                      w.history_retention_seconds, w.quota, w.waiting, w.max_apps, w.request_id, w.key,
                      decode(w.fingerprint, 'hex'))
    FROM (
        SELECT *
        FROM jsonb_to_recordset(wanted) AS asked (
            number integer, app_id text, owner_id text, app_name text, region text, pg_version integer,
            min_cu double precision, max_cu double precision, suspend_seconds integer,
            history_retention_seconds integer, quota jsonb, waiting text, max_apps bigint, request_id text, key text,
            fingerprint text)
        ORDER BY asked.owner_id, asked.number
        OFFSET 0
    ) w;
END
$$;

DROP FUNCTION one_more_create;
DROP FUNCTION creates_within_day;
DROP FUNCTION is_living_key;
ALTER TABLE app_owners DROP COLUMN creates, DROP COLUMN creates_hour, DROP COLUMN keys;

-- How many living apps each owner has, and the one way to make an app, which takes its place under the limit without
-- counting.
-- depends: 0002.roles

CREATE TABLE app_owners (
    owner_id  text PRIMARY KEY,
    living    integer NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- Nobody may make or end an app between the count and the commit.
LOCK TABLE app_metadata IN SHARE ROW EXCLUSIVE MODE;

INSERT INTO app_owners (owner_id, living)
SELECT owner_id, count(*) FROM app_metadata WHERE delete_requested_at IS NULL GROUP BY owner_id;

-- The desired row, its work (due at once), the first line of its history, and what the client's key stands for; the time
-- of it all is the answer. Null when the owner has a living app of that name, or as many apps as one may have. The
-- owner's row is the lock under which the limit is exact. A function, since the server keeps its plans without a
-- prepared statement, which not every pooler lets through.
CREATE FUNCTION create_app(
    new_app_id text,
    new_owner_id text,
    new_app_name text,
    new_region text,
    new_pg_version integer,
    new_min_cu double precision,
    new_max_cu double precision,
    new_suspend_seconds integer,
    new_history_retention_seconds integer,
    new_quota jsonb,
    said text,
    most_apps bigint,
    asked_in text,
    client_key text,
    client_fingerprint bytea
) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    made_at timestamptz := clock_timestamp();
BEGIN
    IF EXISTS (
        SELECT FROM app_metadata
        WHERE owner_id = new_owner_id AND app_name = new_app_name AND delete_requested_at IS NULL
    ) THEN
        RETURN NULL;
    END IF;

    INSERT INTO app_owners AS o (owner_id, living) VALUES (new_owner_id, 1)
    ON CONFLICT (owner_id) DO UPDATE SET living = o.living + 1 WHERE o.living < most_apps;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    INSERT INTO app_metadata (app_id, owner_id, app_name, region, pg_version, min_cu, max_cu, suspend_seconds,
                              history_retention_seconds, quota, conditions, created_at, updated_at)
    VALUES (new_app_id, new_owner_id, new_app_name, new_region, new_pg_version, new_min_cu, new_max_cu,
            new_suspend_seconds, new_history_retention_seconds, new_quota,
            jsonb_build_array(jsonb_build_object(
                'type', 'Ready', 'status', 'False', 'reason', 'Queued', 'message', said,
                'last_transition_time', made_at, 'observed_generation', 0)),
            made_at, made_at);
    INSERT INTO app_work (app_id) VALUES (new_app_id);
    INSERT INTO app_events (app_id, type, reason, message, actor, generation, request_id)
    VALUES (new_app_id, 'Created', 'Requested', 'the app was asked for', new_owner_id, 1, asked_in);
    IF client_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (owner_id, key, fingerprint, app_id)
        VALUES (new_owner_id, client_key, client_fingerprint, new_app_id);
    END IF;
    RETURN made_at;
END
$$;

-- Several at once, each with its number; by their owners, so that no two of these wait for each other in a ring.
CREATE FUNCTION create_apps(wanted jsonb) RETURNS TABLE (number integer, made_at timestamptz) LANGUAGE plpgsql AS $$
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

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        GRANT SELECT, INSERT (owner_id, living), UPDATE (living) ON app_owners TO morphik_apps_api;
        GRANT INSERT (created_at, updated_at) ON app_metadata TO morphik_apps_api;
        GRANT SELECT ON app_owners TO morphik_apps_reconciler;
    END IF;
END
$$;

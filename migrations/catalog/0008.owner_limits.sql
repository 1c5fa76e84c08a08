-- Limits per owner: creates in a day, and living idempotency keys. Idempotency keys expire after 24 hours.
-- depends: 0007.identity

-- creates: how many apps the owner created in the hour `creates_hour` (hours since 1970), then in the hour before, and so
-- on for 25 hours, so that what it sums to covers any 24 hours.
-- keys: at least as many as the owner has living idempotency keys; counted anew when it reaches the limit.
ALTER TABLE app_owners
    ADD COLUMN creates       integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN creates_hour  bigint NOT NULL DEFAULT 0,
    ADD COLUMN keys          integer NOT NULL DEFAULT 0;

-- Whether an idempotency key still stands for its request. A key from more than a day ahead was written by a clock that
-- was wrong; without the second condition it would live until that time.
CREATE FUNCTION is_living_key(created_at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT created_at > now() - interval '24 hours' AND created_at < now() + interval '24 hours'
$$;

-- How many creates count in an hour. Where a clock was set back, an hour up to a day ahead counts as this one, and a later
-- one not at all, so that no owner is locked out until that time.
-- In PL/pgSQL, which keeps its plans, like the next one.
CREATE FUNCTION creates_within_day(creates integer[], creates_hour bigint, hour bigint)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    age     bigint := greatest(0, hour - creates_hour);
    counted bigint := 0;
BEGIN
    IF creates_hour > hour + 24 THEN
        RETURN 0;
    END IF;
    FOR place IN 1 .. least(25 - age, cardinality(creates)) LOOP
        counted := counted + creates[place];
    END LOOP;
    RETURN counted;
END
$$;

-- The creates with one more in an hour.
CREATE FUNCTION one_more_create(creates integer[], creates_hour bigint, hour bigint)
RETURNS integer[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE
        WHEN creates_hour NOT BETWEEN hour - 24 AND hour + 24 THEN ARRAY[1]
        WHEN hour <= creates_hour THEN (coalesce(creates[1], 0) + 1) || creates[2 : 25]
        ELSE 1 || array_fill(0, ARRAY[(hour - creates_hour)::integer - 1])
             || creates[1 : 25 - (hour - creates_hour)::integer]
    END;
END
$$;

-- The same function as before for a program that names no new limits. It does the work of create_app as well, which
-- only a later migration may drop. PL/pgSQL keeps its plans, and one made while the tables are small must stay right when
-- they have grown: no sequential scan, also for the foreign keys, and a comparison of rows with its order, for which
-- every index but that of (owner_id, app_name) costs more.
CREATE OR REPLACE FUNCTION create_apps(wanted jsonb) RETURNS TABLE (number integer, made_at timestamptz)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    w    record;
    hour bigint;
BEGIN
    -- In the order of owners, so that two of these do not wait for each other in a ring.
    FOR w IN
        SELECT asked.*
        FROM jsonb_to_recordset(wanted) AS asked (
            number integer, app_id text, owner_id text, app_name text, region text, pg_version integer,
            min_cu double precision, max_cu double precision, suspend_seconds integer,
            history_retention_seconds integer, quota jsonb, waiting text, max_apps bigint, max_creates bigint,
            max_keys bigint, request_id text, key text, fingerprint text)
        ORDER BY asked.owner_id, asked.number
    LOOP
        number := w.number;
        made_at := clock_timestamp();
        hour := floor(extract(epoch FROM made_at) / 3600);
        PERFORM FROM app_metadata a
        WHERE (a.owner_id, a.app_name) >= (w.owner_id, w.app_name)
          AND (a.owner_id, a.app_name) <= (w.owner_id, w.app_name)
          AND a.delete_requested_at IS NULL
        ORDER BY a.owner_id, a.app_name
        LIMIT 1;
        CONTINUE WHEN FOUND;

        -- The owner's row is the lock under which the limits are exact.
        INSERT INTO app_owners AS o (owner_id, living, creates, creates_hour, keys)
        VALUES (w.owner_id, 1, ARRAY[1], hour, (w.key IS NOT NULL)::integer)
        ON CONFLICT (owner_id) DO UPDATE
        SET living = o.living + 1,
            creates = one_more_create(o.creates, o.creates_hour, hour),
            creates_hour = hour,
            keys = o.keys + (w.key IS NOT NULL)::integer
        WHERE o.living < w.max_apps
          AND (w.max_creates IS NULL OR creates_within_day(o.creates, o.creates_hour, hour) < w.max_creates)
          AND (w.key IS NULL OR w.max_keys IS NULL OR o.keys < w.max_keys);
        CONTINUE WHEN NOT FOUND;

        INSERT INTO app_metadata (app_id, owner_id, app_name, region, pg_version, min_cu, max_cu, suspend_seconds,
                                  history_retention_seconds, quota, conditions, created_at, updated_at)
        VALUES (w.app_id, w.owner_id, w.app_name, w.region, w.pg_version, w.min_cu, w.max_cu, w.suspend_seconds,
                w.history_retention_seconds, w.quota,
                jsonb_build_array(jsonb_build_object(
                    'type', 'Ready', 'status', 'False', 'reason', 'Queued', 'message', w.waiting,
                    'last_transition_time', made_at, 'observed_generation', 0)),
                made_at, made_at);
        INSERT INTO app_work (app_id) VALUES (w.app_id);
        INSERT INTO app_events (app_id, type, reason, message, actor, generation, request_id)
        VALUES (w.app_id, 'Created', 'Requested', 'the app was asked for', w.owner_id, 1, w.request_id);
        IF w.key IS NOT NULL THEN
            INSERT INTO idempotency_keys AS k (owner_id, key, fingerprint, app_id)
            VALUES (w.owner_id, w.key, decode(w.fingerprint, 'hex'), w.app_id)
            ON CONFLICT (owner_id, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, app_id = excluded.app_id, created_at = excluded.created_at
            WHERE NOT is_living_key(k.created_at);
            IF NOT FOUND THEN
                RAISE unique_violation USING MESSAGE = 'the key was used meanwhile';
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

INSERT INTO periodic_jobs (name) VALUES ('expire_idempotency_keys');

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        GRANT INSERT (creates, creates_hour, keys), UPDATE (creates, creates_hour, keys) ON app_owners
            TO morphik_apps_api;
        GRANT UPDATE (fingerprint, app_id, created_at) ON idempotency_keys TO morphik_apps_api;
        -- An UPDATE, since only who may update a row may lock it.
        GRANT SELECT, DELETE, UPDATE (created_at) ON idempotency_keys TO morphik_apps_reconciler;
    END IF;
END
$$;

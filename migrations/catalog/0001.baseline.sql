-- The catalog: desired and observed state of each app, its work, its events, and the state of the control plane.
-- depends:

-- The identity of this catalog. A restored, cloned or failed-over copy is recognized by catalog_id and last_create_seq,
-- which the ownership annotations of every project contain, and by the identity of its server.
-- server_identity: the server of the catalog; null until the first verification.
-- verified_server_start, verified_at: the start of that server, and when the catalog was last compared with Neon.
-- quarantined_at, quarantine_reason: commits may be lost. Only an operator ends the quarantine.
-- retired_catalogs: earlier catalogs of the control plane, each with its last_create_seq.
CREATE TABLE catalog_identity (
    singleton                boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    catalog_id               uuid NOT NULL DEFAULT gen_random_uuid(),
    last_create_seq          bigint NOT NULL DEFAULT 0,
    control_plane_id         text,
    neon_api_url             text,
    org_id                   text,
    mutation_stopped_at      timestamptz,
    mutation_stop_reason     text,
    stop_overridden_until    timestamptz,
    automatic_deletes_since  timestamptz NOT NULL DEFAULT clock_timestamp(),
    automatic_deletes        integer NOT NULL DEFAULT 0,
    created_at               timestamptz NOT NULL DEFAULT clock_timestamp(),
    server_identity          text,
    verified_server_start    timestamptz,
    verified_at              timestamptz,
    quarantined_at           timestamptz,
    quarantine_reason        text,
    retired_catalogs         jsonb NOT NULL DEFAULT '{}',
    promoted_at              timestamptz
);
INSERT INTO catalog_identity DEFAULT VALUES;

CREATE TABLE app_metadata (
    -- Desired state: the API writes these.
    app_id                     text PRIMARY KEY CHECK (app_id ~ '^[a-z2-7]{24}$'),
    owner_id                   text NOT NULL CHECK (owner_id <> ''),
    app_name                   text NOT NULL CHECK (app_name <> ''),
    -- The document that AppSpec validates. The constraint holds its form, for a statement that an operator types.
    spec                       jsonb NOT NULL CONSTRAINT app_metadata_spec CHECK (
        jsonb_typeof(spec -> 'region') = 'string' AND jsonb_typeof(spec -> 'pg_version') = 'number'
        AND jsonb_typeof(spec -> 'quota') = 'object'
    ),
    incarnation                integer NOT NULL DEFAULT 1,
    generation                 bigint NOT NULL DEFAULT 1,
    created_at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
    delete_requested_at        timestamptz,
    -- Observed state: the reconciler writes these.
    status                     text NOT NULL DEFAULT 'pending',
    conditions                 jsonb NOT NULL DEFAULT '[]',
    observed_generation        bigint NOT NULL DEFAULT 0,
    org_id                     text,
    project_id                 text UNIQUE,
    project_recorded_at        timestamptz,
    role_number                integer NOT NULL DEFAULT 1,
    schema_version             text,
    data_key_sealed            bytea,
    data_key_wrapped_by        text,
    data_key_version           integer NOT NULL DEFAULT 0,
    connection_uri_sealed      bytea,
    pooled_uri_sealed          bytea,
    connected_at               timestamptz,
    missing_since              timestamptz,
    deleted_at                 timestamptz,
    recoverable_until          timestamptz,
    tombstone_until            timestamptz,
    -- An operator must decide. owner: the row was rebuilt, so its owner is uncertain. recovery: the project is missing
    -- and is not recovered without a decision.
    hold_reason                text CONSTRAINT app_metadata_hold_reason CHECK (hold_reason IN ('owner', 'recovery'))
);

-- A name is free again as soon as the deletion of its app is requested.
CREATE UNIQUE INDEX app_metadata_owner_name ON app_metadata (owner_id, app_name) WHERE delete_requested_at IS NULL;
CREATE INDEX app_metadata_owner ON app_metadata (owner_id, app_id);
CREATE INDEX app_metadata_tombstone ON app_metadata (tombstone_until) WHERE tombstone_until IS NOT NULL;
-- The metrics read only the few apps that have not converged.
CREATE INDEX app_metadata_unconverged ON app_metadata (created_at)
    WHERE deleted_at IS NULL AND (status <> 'ready' OR observed_generation < generation);

-- The counts against which the limits of an owner are checked. A create locks the owner's row.
-- creates: the apps created in the hour creates_hour (hours since 1970) and in each of the 24 hours before it.
-- key_count: at least the number of live idempotency keys. It is recounted when it reaches the limit.
CREATE TABLE app_owners (
    owner_id      text PRIMARY KEY,
    app_count     integer NOT NULL,
    creates       integer[] NOT NULL DEFAULT '{}',
    creates_hour  bigint NOT NULL DEFAULT 0,
    key_count     integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- The work queue: narrow and hot, so that a claim never rewrites the wide row.
-- A claim reads only due_at. It sets due_at to the end of the lease, so an expired lease makes the row due.
CREATE TABLE app_work (
    app_id             text PRIMARY KEY REFERENCES app_metadata ON DELETE CASCADE,
    due_at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    priority_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    lane               smallint NOT NULL DEFAULT 0,
    attempts           integer NOT NULL DEFAULT 0,
    wake_count         bigint NOT NULL DEFAULT 0,
    confirmed_missing  boolean NOT NULL DEFAULT false,
    duplicate_ids      text[] NOT NULL DEFAULT '{}',
    lease_holder       text,
    lease_token        bigint NOT NULL DEFAULT 0,
    lease_expires_at   timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX app_work_due ON app_work (due_at) WHERE due_at < 'infinity';

-- Every fencing token is larger than every earlier one.
CREATE SEQUENCE lease_tokens;

-- The intent to create commits before the request is sent. The ownership annotations of the project contain its nonce.
-- state: open (the request may have taken effect), rejected (it did not), recorded (the app has its project), absent
-- (its project is confirmed not to exist).
CREATE TABLE create_intents (
    app_id           text NOT NULL REFERENCES app_metadata ON DELETE CASCADE,
    create_seq       bigint NOT NULL,
    incarnation      integer NOT NULL,
    nonce            text NOT NULL,
    state            text NOT NULL CHECK (state IN ('open', 'rejected', 'recorded', 'absent')),
    sent_at          timestamptz NOT NULL,
    first_absent_at  timestamptz,
    PRIMARY KEY (app_id, create_seq)
);

-- The event history. It never contains a credential.
CREATE TABLE app_events (
    event_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app_id      text NOT NULL REFERENCES app_metadata ON DELETE CASCADE,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    type        text NOT NULL,
    reason      text NOT NULL,
    message     text NOT NULL,
    actor       text NOT NULL,
    generation  bigint NOT NULL,
    request_id  text
);
CREATE INDEX app_events_app ON app_events (app_id, event_id DESC);

CREATE TABLE idempotency_keys (
    owner_id     text NOT NULL,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL,
    app_id       text NOT NULL REFERENCES app_metadata ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (owner_id, key)
);
CREATE INDEX idempotency_keys_app ON idempotency_keys (app_id);

-- One daemon at a time runs each job. A cycle covers the whole fleet and may take several runs.
CREATE TABLE periodic_jobs (
    name               text PRIMARY KEY,
    started_at         timestamptz,
    finished_at        timestamptz,
    checkpoint         text NOT NULL DEFAULT '',
    lease_holder       text,
    lease_token        bigint NOT NULL DEFAULT 0,
    lease_expires_at   timestamptz,
    cycle_started_at   timestamptz,
    cycle_finished_at  timestamptz,
    cycle_seconds      double precision
);
INSERT INTO periodic_jobs (name) VALUES ('resync'), ('deep_resync'), ('expire_idempotency_keys');

-- Owned projects that no app records. The reconciler reports them and never changes them.
CREATE TABLE orphan_projects (
    project_id     text PRIMARY KEY,
    project_name   text NOT NULL,
    app_id         text NOT NULL,
    first_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The token bucket of requests to Neon, which all processes share.
-- closed_until: Neon returned 429; no request is sent before.
-- *_credit, *_requested_at: the tokens that a lower priority has earned, and its last request for them.
CREATE TABLE neon_rate_limit (
    singleton            boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    tokens               double precision NOT NULL DEFAULT 0,
    refilled_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_until         timestamptz NOT NULL DEFAULT clock_timestamp(),
    repair_credit        double precision NOT NULL DEFAULT 0,
    repair_requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    resync_credit        double precision NOT NULL DEFAULT 0,
    resync_requested_at  timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO neon_rate_limit DEFAULT VALUES;

-- The minimum token_version of an owner: the API rejects tokens below it. Only the role that owns the tables writes it.
CREATE TABLE token_minimums (
    owner_id         text PRIMARY KEY,
    minimum_version  bigint NOT NULL CHECK (minimum_version >= 0)
);

-- The record of its changes.
CREATE TABLE token_minimum_changes (
    change_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at                timestamptz NOT NULL DEFAULT clock_timestamp(),
    owner_id          text NOT NULL,
    previous_version  bigint NOT NULL,
    minimum_version   bigint NOT NULL,
    operator          text NOT NULL,
    login             text NOT NULL DEFAULT session_user
);

CREATE FUNCTION reject_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event history is append-only';
END
$$;
CREATE TRIGGER app_events_append_only BEFORE UPDATE ON app_events FOR EACH ROW EXECUTE FUNCTION reject_update();

-- The identity of the server. A restored dump and a clone differ in system, database or table; a failover and a
-- point-in-time recovery differ in the timeline; a branch of Neon differs in its own timeline. A part that the role may
-- not read is "-". It runs as the migrating role, so every login gets the same text.
CREATE FUNCTION server_identity(identity_table oid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    system_id    text := '-';
    timeline     text := '-';
    neon_branch  text := '-';
BEGIN
    BEGIN
        system_id := (SELECT system_identifier::text FROM pg_control_system());
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    BEGIN
        timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer::text;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    BEGIN
        neon_branch := coalesce(nullif(current_setting('neon.timeline_id', true), ''), '-');
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    RETURN format('system %s, database %s, table %s, timeline %s, branch %s', system_id,
                  (SELECT oid FROM pg_database WHERE datname = current_database()), identity_table, timeline, neon_branch);
END
$$;

-- Whether an idempotency key is live. A wrong clock may have written a time in the future: such a key is live for at
-- most 24 hours more.
CREATE FUNCTION is_live_key(created_at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT created_at > now() - interval '24 hours' AND created_at < now() + interval '24 hours'
$$;

-- How many creates count in an hour. After a clock was set back, a recorded hour up to a day ahead counts as this one,
-- and a later one does not count, so that no owner is locked out until that time.
-- In PL/pgSQL, which caches its plans, like the next function.
CREATE FUNCTION count_creates(creates integer[], creates_hour bigint, hour bigint)
RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    age   bigint := greatest(0, hour - creates_hour);
    total bigint := 0;
BEGIN
    IF creates_hour > hour + 24 THEN
        RETURN 0;
    END IF;
    FOR i IN 1 .. least(25 - age, cardinality(creates)) LOOP
        total := total + creates[i];
    END LOOP;
    RETURN total;
END
$$;

-- The creates with one more in an hour.
CREATE FUNCTION add_create(creates integer[], creates_hour bigint, hour bigint)
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

-- Create apps with their work and first events. It returns a row for each app that it creates: not where the owner has
-- an app of that name or has reached a limit. A function, because the server caches its plans without a prepared
-- statement, which not every pooler supports. A plan made while the tables are small must stay right when they have
-- grown: so no sequential scan, also for the foreign keys, and a row comparison with its order, for which every index
-- but that of (owner_id, app_name) costs more.
CREATE FUNCTION create_apps(requests jsonb) RETURNS TABLE (number integer, created_at timestamptz)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    r    record;
    hour bigint;
BEGIN
    -- In the order of owners, to avoid deadlocks between two calls.
    FOR r IN
        SELECT request.*
        FROM jsonb_to_recordset(requests) AS request (
            number integer, app_id text, owner_id text, app_name text, spec jsonb, queued_message text, max_apps bigint,
            max_creates bigint, max_keys bigint, request_id text, key text, fingerprint text)
        ORDER BY request.owner_id, request.number
    LOOP
        number := r.number;
        created_at := clock_timestamp();
        hour := floor(extract(epoch FROM create_apps.created_at) / 3600);
        PERFORM FROM app_metadata a
        WHERE (a.owner_id, a.app_name) >= (r.owner_id, r.app_name)
          AND (a.owner_id, a.app_name) <= (r.owner_id, r.app_name) AND a.delete_requested_at IS NULL
        ORDER BY a.owner_id, a.app_name LIMIT 1;
        CONTINUE WHEN FOUND;
        -- The lock on the owner's row makes the limits exact.
        INSERT INTO app_owners AS o (owner_id, app_count, creates, creates_hour, key_count)
        VALUES (r.owner_id, 1, ARRAY[1], hour, (r.key IS NOT NULL)::integer)
        ON CONFLICT (owner_id) DO UPDATE
        SET app_count = o.app_count + 1,
            creates = add_create(o.creates, o.creates_hour, hour),
            creates_hour = hour, key_count = o.key_count + (r.key IS NOT NULL)::integer
        WHERE o.app_count < r.max_apps
          AND (r.max_creates IS NULL OR count_creates(o.creates, o.creates_hour, hour) < r.max_creates)
          AND (r.key IS NULL OR r.max_keys IS NULL OR o.key_count < r.max_keys);
        CONTINUE WHEN NOT FOUND;

        INSERT INTO app_metadata (app_id, owner_id, app_name, spec, conditions, created_at, updated_at)
        VALUES (r.app_id, r.owner_id, r.app_name, r.spec,
                jsonb_build_array(jsonb_build_object(
                    'type', 'Ready', 'status', 'False', 'reason', 'Queued', 'message', r.queued_message,
                    'last_transition_time', create_apps.created_at, 'observed_generation', 0)),
                create_apps.created_at, create_apps.created_at);
        INSERT INTO app_work (app_id) VALUES (r.app_id);
        INSERT INTO app_events (app_id, type, reason, message, actor, generation, request_id)
        VALUES (r.app_id, 'Created', 'Requested', 'App creation requested.', r.owner_id, 1, r.request_id);
        IF r.key IS NOT NULL THEN
            INSERT INTO idempotency_keys AS k (owner_id, key, fingerprint, app_id)
            VALUES (r.owner_id, r.key, decode(r.fingerprint, 'hex'), r.app_id)
            ON CONFLICT (owner_id, key) DO UPDATE
            SET fingerprint = excluded.fingerprint, app_id = excluded.app_id, created_at = excluded.created_at
            WHERE NOT is_live_key(k.created_at);
            IF NOT FOUND THEN
                RAISE unique_violation USING MESSAGE = 'the idempotency key was used by a concurrent request';
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Two roles enforce the split of the columns: the API cannot write observed state, and a daemon cannot write desired
-- state. Grant them to the logins of `serve` and `reconcile`. Roles belong to the whole server, so they may exist.
-- Where the migrating role may not create them, the logins need the privileges of the owner.
DO $$
DECLARE
    missing text;
BEGIN
    FOREACH missing IN ARRAY ARRAY['morphik_apps_api', 'morphik_apps_reconciler'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = missing);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % was not created: the migrating role may not create roles', missing;
                RETURN;
        END;
    END LOOP;

    EXECUTE format('GRANT USAGE ON SCHEMA %I TO morphik_apps_api, morphik_apps_reconciler', current_schema());
    GRANT SELECT ON _yoyo_migration TO morphik_apps_api, morphik_apps_reconciler;

    GRANT SELECT ON app_metadata, app_work, app_events, app_owners, idempotency_keys, catalog_identity, token_minimums
        TO morphik_apps_api;
    GRANT SELECT (name, cycle_finished_at, cycle_seconds) ON periodic_jobs TO morphik_apps_api;
    GRANT SELECT (project_id) ON orphan_projects TO morphik_apps_api;
    GRANT INSERT (app_id, owner_id, app_name, spec, conditions, created_at, updated_at),
          UPDATE (app_name, spec, generation, updated_at, delete_requested_at)
        ON app_metadata TO morphik_apps_api;
    GRANT INSERT (app_id), UPDATE (due_at, priority_at, lane, attempts, wake_count) ON app_work TO morphik_apps_api;
    GRANT INSERT (owner_id, app_count, creates, creates_hour, key_count),
          UPDATE (app_count, creates, creates_hour, key_count)
        ON app_owners TO morphik_apps_api;
    GRANT INSERT ON app_events, idempotency_keys TO morphik_apps_api;
    GRANT UPDATE (fingerprint, app_id, created_at) ON idempotency_keys TO morphik_apps_api;

    GRANT SELECT ON app_metadata, app_work, app_events, app_owners, create_intents, idempotency_keys, catalog_identity,
                    periodic_jobs, orphan_projects, neon_rate_limit
        TO morphik_apps_reconciler;
    GRANT UPDATE (status, conditions, observed_generation, updated_at, org_id, project_id, project_recorded_at,
                  schema_version, data_key_sealed, data_key_wrapped_by, data_key_version, connection_uri_sealed,
                  pooled_uri_sealed, connected_at, missing_since, deleted_at, recoverable_until, tombstone_until),
          DELETE
        ON app_metadata TO morphik_apps_reconciler;
    GRANT UPDATE ON app_work, create_intents, catalog_identity, periodic_jobs, neon_rate_limit TO morphik_apps_reconciler;
    GRANT INSERT ON app_events, create_intents, orphan_projects TO morphik_apps_reconciler;
    GRANT DELETE ON orphan_projects TO morphik_apps_reconciler;
    -- Only a role with the UPDATE privilege may lock a row.
    GRANT DELETE, UPDATE (created_at) ON idempotency_keys TO morphik_apps_reconciler;
    GRANT USAGE, UPDATE ON SEQUENCE lease_tokens TO morphik_apps_reconciler;
END
$$;

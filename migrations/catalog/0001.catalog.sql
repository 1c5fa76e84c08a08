-- The catalog: desired state, observed state, the work to do, and the history of both.
-- depends:

-- Who this catalog is. A copy of it (a restore, a clone, a failover that lost commits) is recognised by
-- catalog_id and last_create_seq, which every project made from here carries in its annotations.
CREATE TABLE catalog_identity (
    singleton              boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    catalog_id             uuid NOT NULL DEFAULT gen_random_uuid(),
    last_create_seq             bigint NOT NULL DEFAULT 0,
    control_plane_id       text,
    neon_api_url           text,
    org_id                 text,
    mutation_stopped_at    timestamptz,
    mutation_stop_reason   text,
    stop_overridden_until  timestamptz,
    automatic_deletes_since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    automatic_deletes          integer NOT NULL DEFAULT 0,
    created_at             timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO catalog_identity DEFAULT VALUES;

CREATE TABLE app_metadata (
    -- desired state: the API writes these
    app_id                     text PRIMARY KEY CHECK (app_id ~ '^[a-z2-7]{24}$'),
    owner_id                   text NOT NULL CHECK (owner_id <> ''),
    app_name                   text NOT NULL CHECK (app_name <> ''),
    region                     text NOT NULL,
    pg_version                 integer NOT NULL,
    min_cu                     double precision NOT NULL,
    max_cu                     double precision NOT NULL,
    suspend_seconds            integer NOT NULL,
    history_retention_seconds  integer NOT NULL,
    quota                      jsonb NOT NULL DEFAULT '{}',
    incarnation                integer NOT NULL DEFAULT 1,
    generation                 bigint NOT NULL DEFAULT 1,
    created_at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at                 timestamptz NOT NULL DEFAULT clock_timestamp(),
    delete_requested_at        timestamptz,
    -- observed state: the reconciler writes these
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
    tombstone_until            timestamptz
);

-- A name is taken while its app is neither deleted nor deleting.
CREATE UNIQUE INDEX app_metadata_owner_name ON app_metadata (owner_id, app_name) WHERE delete_requested_at IS NULL;
CREATE INDEX app_metadata_owner ON app_metadata (owner_id, app_id);
CREATE INDEX app_metadata_tombstone ON app_metadata (tombstone_until) WHERE tombstone_until IS NOT NULL;

-- The work to do: narrow and hot, so that claims never rewrite the wide row.
-- due_at is the only thing a claim looks at: a claim moves it to the end of its lease, so expiry alone makes a row due.
CREATE TABLE app_work (
    app_id            text PRIMARY KEY REFERENCES app_metadata ON DELETE CASCADE,
    due_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    priority_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    lane              smallint NOT NULL DEFAULT 0,
    attempts          integer NOT NULL DEFAULT 0,
    wake_count             bigint NOT NULL DEFAULT 0,
    confirmed_missing boolean NOT NULL DEFAULT false,
    duplicate_ids       text[] NOT NULL DEFAULT '{}',
    lease_owner       text,
    lease_token       bigint NOT NULL DEFAULT 0,
    lease_expires_at  timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE INDEX app_work_due ON app_work (due_at) WHERE due_at < 'infinity';

-- Every fencing token is larger than every earlier one.
CREATE SEQUENCE lease_tokens;

-- The intent to create commits before the request is sent; its nonce goes into the project's annotations.
-- state: open (may have taken effect), refused (did not), recorded (its project is the app's), absent (proven not to exist).
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

-- What happened, append-only. Never a credential.
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

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the event history is append-only';
END
$$;

CREATE TRIGGER app_events_append_only BEFORE UPDATE ON app_events FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE idempotency_keys (
    owner_id     text NOT NULL,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL,
    app_id       text NOT NULL REFERENCES app_metadata ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (owner_id, key)
);

CREATE INDEX idempotency_keys_app ON idempotency_keys (app_id);

-- One daemon at a time runs each periodic job.
CREATE TABLE periodic_jobs (
    name              text PRIMARY KEY,
    started_at        timestamptz,
    finished_at       timestamptz,
    position          text NOT NULL DEFAULT '',
    lease_owner       text,
    lease_token       bigint NOT NULL DEFAULT 0,
    lease_expires_at  timestamptz
);

INSERT INTO periodic_jobs (name) VALUES ('resync'), ('deep_resync');

-- Projects with our mark that no row names: reported, never touched.
CREATE TABLE orphan_projects (
    project_id     text PRIMARY KEY,
    project_name   text NOT NULL,
    app_id         text NOT NULL,
    first_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The shared request budget: one bucket, leased to processes in slices.
CREATE TABLE request_budget (
    route        text PRIMARY KEY,
    tokens       double precision NOT NULL,
    refilled_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

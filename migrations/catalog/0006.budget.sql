-- The shared request budget as it is used: one bucket for every process that works with this catalog. Nothing has used
-- the table that was meant for it before.
-- depends: 0005.health

DROP TABLE request_budget;

CREATE TABLE request_budget (
    singleton         boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    tokens            double precision NOT NULL DEFAULT 0,
    refilled_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Neon refused a request for there being too many: nothing is sent before.
    closed_until      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What work that waits for others has a right to, and when it last asked.
    repair_credit      double precision NOT NULL DEFAULT 0,
    repair_requested_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    resync_credit       double precision NOT NULL DEFAULT 0,
    resync_requested_at   timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

INSERT INTO request_budget DEFAULT VALUES;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        GRANT SELECT, UPDATE ON request_budget TO morphik_apps_reconciler;
    END IF;
END
$$;

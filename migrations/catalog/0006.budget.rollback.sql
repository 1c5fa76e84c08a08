DROP TABLE request_budget;

CREATE TABLE request_budget (
    route        text PRIMARY KEY,
    tokens       double precision NOT NULL,
    refilled_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        GRANT SELECT, INSERT, UPDATE ON request_budget TO morphik_apps_reconciler;
    END IF;
END
$$;

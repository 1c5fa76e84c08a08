-- The minimum token_version of an owner, below which tokens are refused, and the audit record of its changes. Only the
-- role that owns the tables writes them.
-- depends: 0008.owner_limits

CREATE TABLE token_minimums (
    owner_id         text PRIMARY KEY,
    minimum_version  bigint NOT NULL CHECK (minimum_version >= 0)
);

CREATE TABLE token_minimum_changes (
    change_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at                timestamptz NOT NULL DEFAULT clock_timestamp(),
    owner_id          text NOT NULL,
    previous_version  bigint NOT NULL,
    minimum_version   bigint NOT NULL,
    operator          text NOT NULL,
    login             text NOT NULL DEFAULT session_user
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        GRANT SELECT ON token_minimums TO morphik_apps_api;
    END IF;
END
$$;

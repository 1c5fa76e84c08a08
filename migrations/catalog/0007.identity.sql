-- Which Postgres this catalog belongs to, and what is known when it is found on another one, or older than what it made.
-- depends: 0006.budget

-- server_identity: the server that the catalog belongs to; null until the first look at Neon.
-- verified_server_start, verified_at: the start of that server under which Neon's list was last compared with the catalog, and when.
-- quarantined_at, quarantine_reason: whether this is the right catalog is not certain; only a person's claim ends that.
-- retired_catalogs: other catalogs under the same plane that a person declared to be no more, each with its last create.
ALTER TABLE catalog_identity
    ADD COLUMN server_identity  text,
    ADD COLUMN verified_server_start     timestamptz,
    ADD COLUMN verified_at        timestamptz,
    ADD COLUMN quarantined_at       timestamptz,
    ADD COLUMN quarantine_reason     text,
    ADD COLUMN retired_catalogs        jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN promoted_at       timestamptz;

-- What a person has to say about an app after a claim: owner (the row was rebuilt; whose is it?), recovery (its project
-- was deleted while nobody knew by whom; shall it be recovered?). Not validated, so that no row is read for it.
ALTER TABLE app_metadata ADD COLUMN hold_reason text;
ALTER TABLE app_metadata ADD CONSTRAINT app_metadata_held_for CHECK (hold_reason IN ('owner', 'recovery')) NOT VALID;

-- What the server says of itself. A dump that was restored, a copy and a clone differ in system, database or table; a
-- failover and a recovery to a point in time in the timeline; a branch at Neon in its name. What may not be asked is "-".
-- Run as the migrating role, so that every login gets the same answer.
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

-- After a loss the tokens that were given out before must not come again.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'morphik_apps_api') THEN
        GRANT UPDATE ON SEQUENCE lease_tokens TO morphik_apps_reconciler;
    END IF;
END
$$;

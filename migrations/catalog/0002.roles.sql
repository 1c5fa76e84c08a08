-- Two roles that make the split of the columns real: the API cannot write what was observed, a daemon cannot write
-- what is wanted. Grant them to the logins of `serve` and `reconcile`. Roles belong to the whole server, so they may
-- be there already; where the migrating role may not make them, everything works without.
-- depends: 0001.catalog

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['morphik_apps_api', 'morphik_apps_reconciler'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % was not made: the migrating role may not create roles', wanted;
                RETURN;
        END;
    END LOOP;

    GRANT SELECT ON app_metadata, app_work, app_events, idempotency_keys, catalog_identity
        TO morphik_apps_api;
    GRANT INSERT (app_id, owner_id, app_name, region, pg_version, min_cu, max_cu, suspend_seconds,
                  history_retention_seconds, quota, conditions),
          UPDATE (app_name, min_cu, max_cu, suspend_seconds, history_retention_seconds, quota, generation, updated_at,
                  delete_requested_at)
        ON app_metadata TO morphik_apps_api;
    GRANT INSERT (app_id), UPDATE (due_at, priority_at, lane, attempts, wake_count) ON app_work TO morphik_apps_api;
    GRANT INSERT ON app_events, idempotency_keys TO morphik_apps_api;

    GRANT SELECT ON app_metadata, app_work, app_events, create_intents, catalog_identity, periodic_jobs,
                    orphan_projects, request_budget
        TO morphik_apps_reconciler;
    GRANT UPDATE (status, conditions, observed_generation, updated_at, org_id, project_id, project_recorded_at,
                  schema_version, data_key_sealed, data_key_wrapped_by, data_key_version, connection_uri_sealed,
                  pooled_uri_sealed, connected_at, missing_since, deleted_at, recoverable_until, tombstone_until),
          DELETE
        ON app_metadata TO morphik_apps_reconciler;
    GRANT UPDATE ON app_work, create_intents, catalog_identity, periodic_jobs, request_budget
        TO morphik_apps_reconciler;
    GRANT INSERT ON app_events, create_intents, orphan_projects, request_budget TO morphik_apps_reconciler;
    GRANT DELETE ON orphan_projects TO morphik_apps_reconciler;
    GRANT USAGE ON SEQUENCE lease_tokens TO morphik_apps_reconciler;
END
$$;

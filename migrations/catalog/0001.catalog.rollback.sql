DROP TABLE request_budget, orphan_projects, periodic_jobs, idempotency_keys, app_events, create_intents, app_work,
    app_metadata, catalog_identity;
DROP FUNCTION refuse_change();
DROP SEQUENCE lease_tokens;

-- name: no_statement_timeout
-- Waiting for another starter may take longer than a role's usual limit.
SET LOCAL statement_timeout = 0

-- name: no_idle_timeout
-- The same for a server that ends idle transactions.
SET LOCAL idle_in_transaction_session_timeout = 0

-- name: lock_timeout
-- A migration that cannot get its locks gives up instead of queueing everybody behind it.
SET LOCAL lock_timeout = '60s'

-- name: lock
-- One starter at a time; the number means nothing, it only has to stay the same.
SELECT pg_advisory_xact_lock(7164531902)

-- name: is_set_up
-- Whether yoyo has ever been here.
SELECT to_regclass('_yoyo_migration') IS NOT NULL AS is_set_up

-- name: applied
-- What was applied.
SELECT migration_id FROM _yoyo_migration

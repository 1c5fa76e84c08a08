-- The minimum token_version of owners whose tokens an operator revoked.

-- name: minimums
-- The minimums of some owners; zero is none.
SELECT owner_id, minimum_version
FROM token_minimums
WHERE owner_id = ANY(%(owner_ids)s) AND minimum_version > 0

-- name: ensure
-- A row to lock.
INSERT INTO token_minimums (owner_id, minimum_version) VALUES (%(owner_id)s, 0) ON CONFLICT DO NOTHING

-- name: lock
-- The current minimum; concurrent changes of one owner are serialized.
SELECT minimum_version FROM token_minimums WHERE owner_id = %(owner_id)s FOR NO KEY UPDATE

-- name: change
-- The new minimum.
UPDATE token_minimums SET minimum_version = %(minimum)s WHERE owner_id = %(owner_id)s

-- name: record
-- The record of changes; time and login are the server's own.
INSERT INTO token_minimum_changes (owner_id, previous_version, minimum_version, operator)
VALUES (%(owner_id)s, %(previous)s, %(minimum)s, %(operator)s)

-- The shared budget of requests to Neon: one row, locked for the moment of one lease.

-- name: lock_bucket
-- The bucket as it stands, locked until the transaction ends.
SELECT tokens, refilled_at, closed_until, repair_credit, repair_requested_at, resync_credit, resync_requested_at,
       clock_timestamp() AS now
FROM neon_rate_limit
FOR NO KEY UPDATE;

-- name: save_bucket
-- The bucket after a lease.
UPDATE neon_rate_limit
SET tokens = %(tokens)s,
    refilled_at = %(at)s,
    repair_credit = %(repair_credit)s,
    repair_requested_at = %(repair_requested_at)s,
    resync_credit = %(resync_credit)s,
    resync_requested_at = %(resync_requested_at)s;

-- name: close
-- Neon refused: the bucket was less full than it was thought to be.
UPDATE neon_rate_limit
SET tokens = 0,
    refilled_at = greatest(refilled_at, clock_timestamp()),
    closed_until = greatest(closed_until, clock_timestamp() + make_interval(secs => %(seconds)s));

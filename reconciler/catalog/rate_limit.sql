-- The request limit that all processes share: one row, locked during one lease of tokens.

-- name: lock_bucket
-- The bucket, locked until the end of the transaction.
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
-- After a 429: the bucket had fewer tokens than recorded.
UPDATE neon_rate_limit
SET tokens = 0,
    refilled_at = greatest(refilled_at, clock_timestamp()),
    closed_until = greatest(closed_until, clock_timestamp() + make_interval(secs => %(seconds)s));

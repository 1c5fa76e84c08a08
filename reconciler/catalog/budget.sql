-- The shared budget of requests to Neon: one row, locked for the moment of one lease.

-- name: look
-- The bucket as it stands, locked until the transaction ends.
SELECT tokens, refilled_at, closed_until, repairs_owed, repairs_asked_at, sweeps_owed, sweeps_asked_at,
       clock_timestamp() AS now
FROM request_budget
FOR NO KEY UPDATE;

-- name: keep
-- The bucket after a lease.
UPDATE request_budget
SET tokens = %(tokens)s,
    refilled_at = %(at)s,
    repairs_owed = %(repairs_owed)s,
    repairs_asked_at = %(repairs_asked_at)s,
    sweeps_owed = %(sweeps_owed)s,
    sweeps_asked_at = %(sweeps_asked_at)s;

-- name: close
-- Neon refused: the bucket was less full than it was thought to be.
UPDATE request_budget
SET tokens = 0,
    refilled_at = greatest(refilled_at, clock_timestamp()),
    closed_until = greatest(closed_until, clock_timestamp() + make_interval(secs => %(seconds)s));

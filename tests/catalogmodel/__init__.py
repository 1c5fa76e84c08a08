"""The catalog against its in-memory twin, operation by operation, on a real Postgres whose clock stands still."""

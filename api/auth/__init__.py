"""Authorization: tokens, their keys and revocation, and rate limits."""

"""Who calls: tokens, their keys, and their revocation."""

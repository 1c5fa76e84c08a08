"""The Neon API: `codec` says what a call and its answer mean and performs nothing; `client` performs it over HTTP."""

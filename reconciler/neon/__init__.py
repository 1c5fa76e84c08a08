"""The Neon API: `codec` says what a call and its response mean and performs nothing; `client` performs it over HTTP."""

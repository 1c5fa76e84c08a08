"""The shell around the core: it performs effects, claims work, keeps leases and runs the periodic periodic jobs."""

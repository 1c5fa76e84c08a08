"""Local Neon: an emulator of the part of Neon's management API that apps need, over a real Postgres.

The simulator is one pure state machine (``simulator``): requests and the time go in, responses and Postgres commands
come out. ``server`` serves it over HTTP, ``postgres.executor`` executes its commands in an embedded Postgres cluster.
Without those two the simulator responds in process, at whatever time its caller gives it.

Emulated: organizations and keys of every scope; projects; branches with their former roles and databases; snapshots,
endpoints, roles and databases; operations that take time or fail, and 423 while they run; soft deletion, recovery and
expiry; annotations; incomplete and delayed lists; quotas and consumption; limits. ``behaviors`` holds the table of all
behaviors, each with its source.

All branches share one Postgres, which has consequences. A branch of an earlier time has the current data. A copy ends
the connections to its source. Grants in the source hold in the copy for the same roles, not for the branch's own. A
role created by SQL belongs to the cluster, and no copy has one of its own.

Not emulated: backup schedules, separate hosts for read replicas, transfers.
"""

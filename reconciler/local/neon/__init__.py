"""Local Neon: a model of the part of Neon's management API that apps need, with a real Postgres behind it.

The model is one pure state machine (``machine``): requests and the time go in, answers and physical commands come out.
``server`` serves it over HTTP, ``backing`` carries its commands out in a Postgres cluster of our own. Without those two
the same machine answers in process, in whatever time its caller says it is.

Modelled: organizations and keys of every scope; projects, branches with the roles and databases of their past,
snapshots, endpoints, roles and databases; operations that take their time or go astray, and 423 while they run; soft
deletion, recovery and expiry; annotations; partial and late lists; quotas and consumption; limits. What each of these
does, and how that is known, is the table in ``behaviours``.

Where all branches share one Postgres: a point in the past has the data of now; a copy ends the connections to what is
copied, and what was granted there is granted in the copy to the same roles, not to the branch's own; a role that was
made by SQL is the cluster's, and no copy has one of its own.

Not modelled: backup schedules, the own hosts of read replicas, transfers.
"""

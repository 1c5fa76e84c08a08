"""Local Neon: a model of the part of Neon's management API that apps need, with a real Postgres behind it.

The model is one pure state machine (``machine``): requests and the time go in, answers and physical commands come out.
``server`` serves it over HTTP, ``backing`` carries its commands out in a Postgres cluster of our own. Without those two
the same machine answers in process, in whatever time its caller says it is.

Modelled: projects, branches, endpoints, roles and databases; operations that take their time, and 423 while they run;
soft deletion and recovery; annotations; partial lists; the limits on projects and requests.

Not modelled: history (a branch starts from its parent's present), snapshots, consumption, what a quota does, the own
hosts of read replicas, transfers, more than one organization.
"""

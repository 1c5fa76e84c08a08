"""The pure core: it decides, and never performs.

A reconcile is a generator that yields one *effect* at a time (``effects``) and is sent the answer, or has the error of
``reconciler.errors`` thrown in. Nothing here reads a clock, draws a random number or opens a connection: what a pass
may know is in its ``Snapshot``. So one core serves the daemon, the simulator and every other driver.

    reconcile      the order of one pass
    create         from intent to a recorded project, or back from an unknown outcome
    maintain       from a recorded project to a proven URI, and drift repaired
    vanish         a recorded project that Neon does not show
    delete         until Neon says gone
    surplus        projects of ours that are not the recorded one
    sweep          the fleet's list against the catalog, in one merge
    identity       whether this is the catalog that it says it is
    claim          what a person's word makes good where it was not
"""

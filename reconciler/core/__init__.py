"""The pure core: it decides and performs nothing.

A reconcile is a generator that yields one *effect* at a time (``effects``). The runtime sends the result, or throws an
error of ``reconciler.errors``. The core reads no clock, draws no random number and opens no connection: all inputs of
a reconcile are in its ``ReconcileContext``. So the daemon and the simulator run the same core.

    reconcile                  the order of the stages
    stages.create              from an intent to a recorded project; resolves unknown outcomes
    stages.sync                from a recorded project to a verified URI; repairs drift
    stages.missing             a recorded project that Neon does not return
    stages.delete              until Neon confirms the deletion
    stages.duplicates          owned projects that are not the recorded one
    fleet.resync               Neon's project list against the catalog
    recovery.catalog_identity  whether the catalog may have lost commits
    recovery.promotion         the recovery of lost rows when an operator promotes a catalog
"""

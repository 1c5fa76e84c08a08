"""The safeguards outside of the core, each of which can be switched off: those of catalog, driver and sweep."""

from __future__ import annotations

from typing import NamedTuple


class Safeguards(NamedTuple):
    """What the world around the core does.

    Attributes:
        fenced: a write needs the newest fencing token.
        compared: a project is recorded only where there is none, and under the fence.
        counted: a wake-up counts while somebody holds the lease.
        refused: no intent is opened for an app that shall be deleted.
        dated: a permission grows too old to send with.
        expiring: a lease runs out.
        buried: sweeps look at deleted apps until their tombstone ends.
        dropped: a deleted app keeps no credentials.
        confirming: a sweep tells passes that it has seen a project missing.
    """

    fenced: bool = True
    compared: bool = True
    counted: bool = True
    refused: bool = True
    dated: bool = True
    expiring: bool = True
    buried: bool = True
    dropped: bool = True
    confirming: bool = True


ALL = Safeguards()

"""How much of each thing there may be in a project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one project, by default those of the Scale plan (Neon documentation, Plans; Limits).

    Attributes:
        branches: branches, the default one included.
        root_branches: branches without a parent.
        protected_branches: branches that are protected.
        active_computes: computes that run at once, without those of the default branch.
        roles: roles of one branch.
        databases: databases of one branch.
        snapshots: snapshots made by hand. Neon's pages say 10 and 100; it is the lower one.
    """

    branches: int = 5000
    root_branches: int = 25
    protected_branches: int = 5
    active_computes: int = 20
    roles: int = 500
    databases: int = 500
    snapshots: int = 10
